"""Perfect crystals in rectangular boxes, where dynamics start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kan_heads.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from ase import Atoms

_STRUCTURES = ("sc", "fcc", "bcc", "hcp", "diamond")


def crystal(
    element: str,
    repeat: tuple[int, int, int],
    structure: str | None = None,
    a: float | None = None,
    c: float | None = None,
) -> Atoms:
    """Builds a crystal from rectangular cells: 4 atoms each for hcp and fcc, 2 for bcc, 8 for diamond.

    Args:
        element: chemical symbol.
        repeat: cells along each direction.
        structure: sc, fcc, bcc, hcp or diamond. Default: the element's in ASE's table.
        a: lattice constant, Å. Default: from that table.
        c: second constant of hcp, Å.

    Raises:
        ConfigError: if the structure is unknown, or a constant is missing or makes no sense.
    """
    from ase.build import bulk

    known, known_a, known_ratio = reference_crystal(element)
    structure = structure or known
    if structure not in _STRUCTURES:
        raise unknown_name("--structure", structure, _STRUCTURES)
    if a is None and structure != known:
        raise ConfigError(
            f"--structure {structure}: the lattice constant of {element} is known for {known} only; add --a"
        )
    a = known_a if a is None else a
    if structure != "hcp" and c is not None:
        raise ConfigError(f"--c {c:g}: only hcp has a second lattice constant, not {structure}")
    for name, value in (("--a", a), ("--c", c)):
        if value is not None and not 0.5 < value < 30.0:
            raise ConfigError(f"{name} {value:g}: a lattice constant is between 0.5 and 30 Å")
    if min(repeat) < 1:
        raise ConfigError(f"--size {min(repeat)}: at least one cell is needed in each direction")
    if structure == "hcp":
        ratio = known_ratio if known == "hcp" else (8 / 3) ** 0.5
        cell = bulk(element, "hcp", a=a, c=c or ratio * a, orthorhombic=True)
    else:
        cell = bulk(element, structure, a=a, cubic=True)
    return cell.repeat(repeat)


def check_box(atoms: Atoms, cutoff: float) -> None:
    """Refuses a box in which an atom would see its own image.

    Raises:
        ConfigError: if a side is shorter than twice the cutoff.
    """
    shortest = float(atoms.cell.lengths().min())
    if shortest < 2.0 * cutoff:
        raise ConfigError(
            f"--size: the box is {shortest:.3g} Å wide, less than twice the cutoff of {cutoff:g} Å; "
            "take more cells"
        )


def reference_crystal(element: str) -> tuple[str, float, float]:
    """Looks up an element's crystal in ASE's table.

    Returns:
        Structure (sc, fcc, bcc, hcp or diamond), lattice constant in Å, and c/a. Elements of other
        structures get a face-centred cube whose nearest neighbours touch.
    """
    from ase.data import atomic_numbers, covalent_radii, reference_states

    number = atomic_numbers[element]
    state = reference_states[number] or {}
    if state.get("symmetry") in _STRUCTURES and state.get("a"):
        return state["symmetry"], float(state["a"]), float(state.get("c/a") or np.sqrt(8 / 3))
    return "fcc", float(2.0 * np.sqrt(2.0) * covalent_radii[number]), 1.0
