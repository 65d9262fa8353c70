"""Run a model of e3nn 0.4 and the one made out of it on one structure, and compare."""

from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor, nn

from kan_heads.errors import ModelError, first_line
from kan_heads.global_state import default_dtype

# Largest difference that rounding explains, relative to the largest value.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def compare(path: str, old: nn.Module, new: nn.Module) -> Tuple[Dict[str, float], int, str]:
    """Compares energies and forces of a generated crystal, for each head.

    Args:
        path: file of the old model, for messages.
        old: the model as it came out of its file.
        new: the model that takes its place.

    Returns:
        The largest difference in ``energy`` (eV) and ``forces`` (eV/Å), the number of atoms of the crystal,
        and why the old model cannot be run, or an empty text.

    Raises:
        ModelError: if the new model does not run, or differs by more than rounding.
    """
    try:
        _complete(old)
        batches = _batches(old)
        expected = [_evaluate(old, batch) for batch in batches]
    except Exception as error:
        return {}, 0, first_line(error, with_item=True)
    tolerance = _TOLERANCE.get(dtype_of(old), 1e-2)
    differences = {"energy": 0.0, "forces": 0.0}
    for batch, right in zip(batches, expected, strict=True):
        try:
            found = _evaluate(new, batch)
        except Exception as error:
            raise ModelError(
                f"{path}: the new model does not run ({first_line(error, with_item=True)})"
            ) from error
        for name, value in right.items():
            difference = float((found[name] - value).abs().max())
            if not difference <= tolerance * float(value.abs().max()):
                raise ModelError(
                    f"{path}: rebuilt by MACE, the model differs from the old one by {difference:.1e} in "
                    f"{name}, more than rounding explains: MACE does not carry everything over; nothing was "
                    "written"
                )
            differences[name] = max(differences[name], difference)
    return differences, int(batches[0]["positions"].shape[0]), ""


def heads_of(model: nn.Module) -> List[str]:
    """Returns the names of the heads of a MACE model; those of before there were heads have one."""
    return list(getattr(model, "heads", None) or ["Default"])


def dtype_of(model: nn.Module) -> torch.dtype:
    """Returns the precision of the parameters, as MACE determines it."""
    return next(model.parameters()).dtype


def _complete(model: nn.Module) -> None:
    """Gives modules of e3nn 0.4 the two attributes that the ``forward`` of a later version reads."""
    import e3nn.nn
    from e3nn import o3

    for module in model.modules():
        if isinstance(module, o3.SphericalHarmonics) and not hasattr(module, "sph_func"):
            module.sph_func = o3.SphericalHarmonics("0e", normalize=True).sph_func
        elif isinstance(module, e3nn.nn.Activation) and not hasattr(module, "paths"):
            inputs = zip(module.irreps_in, module.acts, strict=True)
            module.paths = [(mul, (ir.l, ir.p), act) for (mul, ir), act in inputs]


def _batches(model: nn.Module) -> List[Dict[str, Tensor]]:
    """Returns a crystal with every element of the model, its atoms displaced, once for each head."""
    import ase
    import numpy as np
    from mace import data
    from mace.tools import AtomicNumberTable, torch_geometric

    numbers = [int(z) for z in model.atomic_numbers]
    r_max = float(model.r_max)
    side = 3
    while side**3 < len(numbers):
        side += 1
    spacing = 0.45 * r_max  # (Å)
    sites = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)  # (n_atoms, 3)
    positions = spacing * (sites + np.random.default_rng(0).uniform(-0.1, 0.1, sites.shape))
    atoms = ase.Atoms(np.resize(numbers, len(sites)), positions, cell=[side * spacing] * 3, pbc=True)
    batches = []
    with default_dtype(dtype_of(model)):
        for head in heads_of(model):
            graph = data.AtomicData.from_config(
                data.config_from_atoms(atoms, head_name=head),
                z_table=AtomicNumberTable(numbers),
                cutoff=r_max,
                heads=heads_of(model),
            )
            batch = torch_geometric.Batch.from_data_list([graph])
            batches.append(batch.to(model.r_max.device).to_dict())
    return batches


def _evaluate(model: nn.Module, batch: Dict[str, Any]) -> Dict[str, Tensor]:
    batch = {name: value.clone() if isinstance(value, Tensor) else value for name, value in batch.items()}
    with default_dtype(dtype_of(model)):
        output = model(batch, compute_force=True)
    return {name: output[name].detach() for name in ("energy", "forces")}
