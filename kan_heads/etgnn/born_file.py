"""The BORN file of phonopy, written and read back by phonopy's own functions."""

import dataclasses
import logging
from typing import Any

import numpy as np
from ase import Atoms

from kan_heads.errors import ConfigError, DataError, first_line
from kan_heads.etgnn.structures import whole_file
from kan_heads.quiet import quiet


@dataclasses.dataclass(frozen=True)
class BornFile:
    """What :func:`write_born` wrote.

    Args:
        independent: numbers, from 1, of the atoms in the file.
        change: largest difference of an element from the prediction, where symmetry and the acoustic sum rule
            put it, in e.
    """

    independent: "tuple[int, ...]"
    change: float


def parse_dielectric(text: str) -> np.ndarray:
    """Reads a dielectric tensor: one number, the three of the diagonal, or all nine.

    Args:
        text: numbers with blanks or commas between them.

    Returns:
        Shape ``(3, 3)``.

    Raises:
        ConfigError: if these are other numbers, or the tensor is not symmetric and positive.
    """
    try:
        numbers = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError as error:
        raise ConfigError(f'--dielectric: {text!r} is not a list of numbers; e.g. "2.4 2.4 2.5"') from error
    if numbers.size not in (1, 3, 9):
        raise ConfigError(
            f"--dielectric: {numbers.size} numbers; give 1, 3 (xx yy zz) or 9 (xx xy xz yx ... zz)"
        )
    tensor = numbers.reshape(3, 3) if numbers.size == 9 else np.diag(np.broadcast_to(numbers, 3))
    lopsided = np.abs(tensor - tensor.T).max() > 1e-2 * np.abs(tensor).max()
    if not np.isfinite(tensor).all() or lopsided or np.linalg.eigvalsh(tensor + tensor.T).min() <= 0:
        raise ConfigError(
            f"--dielectric: {text!r} is no dielectric tensor; it must be symmetric and positive"
        )
    return tensor


def require_phonopy() -> None:
    """Raises ConfigError where phonopy is not installed."""
    try:
        import phonopy  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "a BORN file is written by phonopy, which is not installed: pip install 'kan-heads[etgnn]'"
        ) from error


def write_born(
    path: str, atoms: Atoms, charges: np.ndarray, dielectric: np.ndarray, symprec: float = 1e-5
) -> BornFile:
    """Writes BORN: the charges of the symmetry-independent atoms, averaged over the symmetry.

    phonopy writes it, and reads it back before it gets its name: the charges of all atoms must come out.

    Args:
        path: the file.
        atoms: a crystal; phonopy must be run with this cell, or with a primitive cell that it finds in it.
        charges: Born effective charges in e, ``(n_atoms, 3, 3)``; the first index is that of the field, as
            VASP prints them.
        dielectric: high-frequency dielectric tensor, ``(3, 3)``.
        symprec: tolerance of the search for symmetry in Angstrom; phonopy must read the file with the same.

    Returns:
        What is in the file.

    Raises:
        DataError: if the structure is no crystal, phonopy finds no symmetry in it, or the file cannot be
            written.
    """
    require_phonopy()
    from phonopy.file_IO import get_BORN_lines, parse_BORN
    from phonopy.structure.symmetry import Symmetry, symmetrize_borns_and_epsilon

    if not atoms.pbc.all():
        raise DataError("BORN is for crystals; this structure is not periodic in all three directions")
    cell = _phonopy_cell(atoms)
    try:
        with quiet(logging.WARNING):
            expected, _ = symmetrize_borns_and_epsilon(charges, dielectric, cell, symprec=symprec)
            lines = get_BORN_lines(cell, charges, dielectric, symprec=symprec)
    except Exception as error:
        raise DataError(
            f"phonopy finds no symmetry with symprec {symprec:g} ({first_line(error)}); try another --symprec"
        ) from error
    with whole_file(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            with quiet(logging.WARNING):
                found = parse_BORN(cell, symprec=symprec, filename=part)["born"]
        except Exception as error:
            raise DataError(
                f"phonopy cannot read its own BORN ({first_line(error)}); try another --symprec"
            ) from error
        difference = float(np.abs(found - expected).max())
        if not difference <= _rounding(atoms, charges, symprec):
            raise DataError(
                f"phonopy reads charges from BORN that differ by {difference:.1e} e from those it averaged; "
                "try another --symprec"
            )
    independent = Symmetry(cell, symprec=symprec).get_independent_atoms() + 1
    return BornFile(tuple(independent.tolist()), float(np.abs(found - charges).max()))


def _rounding(atoms: Atoms, charges: np.ndarray, symprec: float) -> float:
    """Returns how far charges may move where a cell is as symmetric as the tolerance asks, and no more.

    phonopy turns charges by the symmetry of the fractional coordinates, which is a rotation only so far.
    """
    tilt = symprec / atoms.cell.lengths().min()
    return 1e-6 + 4.0 * tilt * float(np.abs(charges).max())


def _phonopy_cell(atoms: Atoms) -> Any:
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(
        symbols=list(atoms.symbols),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(wrap=False),
    )
