"""MACE: one energy for each atom and head, from each readout."""

import re
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Tuple

import torch
from torch import Tensor

from kan_heads.data.structure import check_structure
from kan_heads.errors import DataError
from kan_heads.global_state import default_dtype
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.swap import Adapter, MLPWeights, SwapConfig, kans_of
from kan_heads.swap.adapter import Scope

if TYPE_CHECKING:
    from ase import Atoms

#: Modules whose outputs MACE only scales and sums: readouts of stock models, and those with KANs.
_READOUT = re.compile(r"readouts\.\d+\.((stock\.)?linear(_2)?|kans\.\d+)")


class MACEAdapter(Adapter):
    """KANs stand beside the linear map of each readout and in place of the radial MLPs.

    Scopes: ``output`` (all readouts), ``all`` (the radial MLPs as well). The model rebuilds itself from its
    settings, so single sites cannot be chosen.
    """

    name = "MACE"
    settings = MACEKANConfig

    def fits(self, model: torch.nn.Module) -> bool:
        """Tells whether the model is one of MACE's."""
        return any(kind.__module__ == "mace.modules.models" for kind in type(model).__mro__)

    def find(self, model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
        """Lists the readouts and radial networks without KANs."""
        from kan_heads.mace import sites

        held = kans_of(model)
        return {
            path: site
            for path, site in sites.find(model).items()
            if not any(kan == path or kan.startswith(f"{path}.") for kan in held)
        }

    def scopes(self) -> Mapping[str, Scope]:
        """Returns what each scope stands for."""
        return {
            "output": lambda path, mlp: path.startswith("readouts."),
            "all": lambda path, mlp: True,
        }

    def dims(self, mlp: torch.nn.Module) -> List[int]:
        """Returns the widths of a radial MLP; those of a readout's KAN are up to the settings."""
        return list(mlp.hs)

    def read(self, mlp: torch.nn.Module) -> MLPWeights:
        """Reads a radial MLP."""
        from kan_heads.mace.radial import read_radial

        return read_radial(mlp)

    def readouts(self, model: torch.nn.Module) -> Dict[str, str]:
        """Lists the last linear maps of the readouts and the KANs beside them."""
        return {path: "atoms" for path, _ in model.named_modules() if _READOUT.fullmatch(path)}

    def complete(self, model: torch.nn.Module, config: SwapConfig) -> SwapConfig:
        """Returns the settings; MACE checks them as it reads them, and widths once it is given a model."""
        return config

    def replace(self, model: torch.nn.Module, config: SwapConfig, keep_function: bool) -> List[str]:
        """Makes the model one of :class:`kan_heads.mace.models.ScaleShiftMACE`."""
        from kan_heads.mace.models import to_kan

        return list(kans_of(to_kan(model, config, keep_function=keep_function)))

    def run(self, model: torch.nn.Module, batch: Any) -> Any:
        """Evaluates a batch of MACE's loaders, or a list of its ``AtomicData``, without forces."""
        from kan_heads.mace.calibration import evaluate

        frames = batch if isinstance(batch, (list, tuple)) else batch.to_data_list()
        return evaluate(model, frames)

    def structure(self, model: torch.nn.Module, atoms: "Atoms") -> Any:
        """Returns MACE's graph of a structure; ``atoms.info["head"]`` names its head if there are several."""
        from ase import Atoms
        from ase.data import chemical_symbols
        from mace import data
        from mace.tools.torch_geometric.batch import Batch
        from mace.tools.utils import AtomicNumberTable

        numbers = [int(z) for z in model.atomic_numbers]
        check_structure(atoms, elements=[chemical_symbols[z] for z in numbers])
        heads = list(getattr(model, "heads", None) or ["Default"])
        head = str(atoms.info.get("head", heads[0] if len(heads) == 1 else "Default"))
        if head not in heads:
            raise DataError(
                f"head {head!r} is none of the model's; set info['head'] to one of {', '.join(heads)}"
            )
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        config = data.config_from_atoms(bare, data.KeySpecification(), head_name=head)
        with default_dtype(next(model.parameters()).dtype):
            graph = data.AtomicData.from_config(config, AtomicNumberTable(numbers), float(model.r_max), heads)
        return Batch.from_data_list([graph]).to(next(model.parameters()).device)

    def energy(self, model: torch.nn.Module, structure: Any) -> Tuple[Tensor, Tensor, Tensor]:
        """Evaluates the model without forces, at strained positions and shifts of periodic images."""
        data = structure.to_dict()
        positions = data["positions"].detach().clone().requires_grad_(True)
        strain = torch.zeros(3, 3, dtype=positions.dtype, device=positions.device, requires_grad=True)
        bend = 0.5 * (strain + strain.t())
        data["positions"] = positions + positions @ bend
        data["shifts"] = data["shifts"] + data["shifts"] @ bend
        data["cell"] = data["cell"] + data["cell"] @ bend
        return model(data, training=True, compute_force=False)["energy"].sum(), positions, strain
