"""Small MACE models and batches for the tests in this folder."""

import numpy as np
import torch
from ase.build import bulk
from e3nn import o3
from mace import data, modules
from mace.tools import torch_geometric, utils

from kan_heads.mace.models import to_kan
from kan_heads.mace.settings import MACEKANConfig

ELEMENTS = [6, 8]
E0S = [-1.5, -2.5]
R_MAX = 4.0


def stock(heads=("Default",), num_interactions=2, first="RealAgnosticInteractionBlock", seed=0, **changes):
    """Builds a model of MACE's own, with energies E0S for isolated atoms."""
    torch.manual_seed(seed)
    arguments = {
        "r_max": R_MAX,
        "num_bessel": 6,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
        "interaction_cls_first": modules.interaction_classes[first],
        "num_interactions": num_interactions,
        "num_elements": len(ELEMENTS),
        "hidden_irreps": o3.Irreps("8x0e+8x1o"),
        "MLP_irreps": o3.Irreps("8x0e"),
        "atomic_energies": np.array([E0S] * len(heads)),
        "avg_num_neighbors": 8.0,
        "atomic_numbers": ELEMENTS,
        "correlation": 2,
        "gate": torch.nn.functional.silu,
        "heads": list(heads),
        "atomic_inter_scale": [1.3] * len(heads),
        "atomic_inter_shift": [0.0] * len(heads),
        "radial_MLP": [8, 8],
    }
    return modules.ScaleShiftMACE(**{**arguments, **changes}).to(torch.get_default_dtype())


def kan(settings=None, keep_function=True, stir=True, **of_stock):
    """Builds a KAN model; stirred, its KANs are neither zero nor alike."""
    model = to_kan(stock(**of_stock), MACEKANConfig.from_dict(settings or {}), 8, keep_function)
    if stir:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def crystal():
    """Diamond with some oxygen and no symmetry."""
    atoms = bulk("C", "diamond", a=3.57).repeat(2)
    atoms.symbols[::5] = "O"
    atoms.rattle(0.1, seed=1)
    return atoms


def frame(atoms, heads=("Default",), head="Default"):
    """Returns MACE's own record of a structure."""
    config = data.config_from_atoms(atoms, head_name=head)
    table = utils.AtomicNumberTable(ELEMENTS)
    return data.AtomicData.from_config(config, z_table=table, cutoff=R_MAX, heads=list(heads))


def predict(model, *structures, heads=("Default",), head="Default", training=False):
    """Returns what the model says on structures, one after the other in one batch."""
    batch = torch_geometric.batch.Batch.from_data_list([frame(atoms, heads, head) for atoms in structures])
    return model(batch.to_dict(), training=training, compute_stress=True)


def difference(a, b):
    """Returns the largest difference of two predictions in energies, forces and stress."""
    return max(float((a[name] - b[name]).detach().abs().max()) for name in ("energy", "forces", "stress"))
