"""Potentials as setfl files, for LAMMPS' ``pair_style eam/fs``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from kan_heads.eam.crystals import reference_crystal
from kan_heads.eam.lammps_files import Export, check_fitted, numbers, origin, save
from kan_heads.eam.potential import Potential
from kan_heads.errors import SettingError

# Nodes of F beyond density_range. LAMMPS goes on linearly from the slope at the last node, which is a
# backward difference: with some straight piece before it, that slope is exact.
_BEYOND = 8
# r * phi at r = 0, where phi is infinite, is the product of the nuclear charges.
_NEAR_ZERO = 1e-12


def write_setfl(
    potential: Potential, path: str | Path, n_rho: int = 10_001, n_r: int = 10_001, example: bool = True
) -> Export:
    r"""Writes a potential for ``pair_style eam/fs``: :math:`F(\rho)`, :math:`f(r)` and :math:`r\,\phi(r)`.

    LAMMPS puts a cubic through the two nearest nodes, with slopes from finite differences of fourth
    order, of lower order at both ends. At ``density_range`` the embedding function turns into a line, so
    a node lies there and a few follow. At density 0 the lower order shows: an atom with less than two
    steps of density (6e-4 by default), a lone pair near the cutoff, has forces off by about 1e-5 eV/Å.

    Args:
        potential: fitted; a pair potential gets zeros for F and f.
        path: file to write, e.g. ``Ru.eam.fs``; folders above it are made.
        n_rho: nodes of F.
        n_r: nodes of f and of r phi, from 0 to the cutoff.
        example: write an input script ``in.<file>`` beside it.

    Returns:
        The file and the lines of the input script.

    Raises:
        ConfigError: if the potential was never fitted, there are too few nodes, or LAMMPS cannot read the
            name.

    Source: LAMMPS manual, ``pair_style eam``; Finnis and Sinclair, Philos. Mag. A 50, 45 (1984).
    """
    check_fitted(potential)
    for name, nodes in (("n_rho", n_rho), ("n_r", n_r)):
        if nodes < 100:
            raise SettingError(name, str(nodes), "must be at least 100, the nodes of a function")
    config = potential.config
    made = Export(Path(path), ("pair_style eam/fs", f"pair_coeff * * {{file}} {config.element}"), inner=0.0)
    step_rho = config.density_range / (n_rho - 1 - _BEYOND)
    step_r = config.cutoff / (n_r - 1)
    rho = torch.arange(n_rho, dtype=torch.float64) * step_rho  # (n_rho,)
    r = torch.arange(n_r, dtype=torch.float64) * step_r  # (n_r,)
    with torch.no_grad():
        safe = r.clamp_min(_NEAR_ZERO)
        r_phi = safe * potential.pair(safe)  # (n_r,)
        zeros = torch.zeros(n_r, dtype=torch.float64)
        density = potential.density(r) if potential.density is not None else zeros
        embedding = potential.embedding(rho) if potential.embedding is not None else torch.zeros_like(rho)
    structure, a, _ = reference_crystal(config.element)
    header = [
        f"# UNITS: metal CONTRIBUTOR: kan-heads; {origin(potential)}",
        f"# {'; '.join(made.commands())}",
        f"# F(rho) in eV, linear beyond rho = {config.density_range:g}; f(r) without unit; r*phi(r) in eV A",
        f"1 {config.element}",
        f"{n_rho} {step_rho!r} {n_r} {step_r!r} {config.cutoff!r}",
        f"{config.atomic_number} {config.mass!r} {a:.6g} {structure}",
    ]
    blocks = "".join(numbers(np.asarray(block)) for block in (embedding, density, r_phi))
    return save(potential, made, "\n".join(header) + "\n" + blocks, example)
