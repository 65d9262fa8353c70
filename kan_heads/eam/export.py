"""Files with which LAMMPS runs a potential by its own pair styles."""

from __future__ import annotations

import dataclasses
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.data.structure import neighbours
from kan_heads.eam.potential import Potential
from kan_heads.errors import ConfigError
from kan_heads.lammps.names import quoted
from kan_heads.writing import write_text

if TYPE_CHECKING:
    from ase import Atoms

#: What ``kan-heads eam export`` writes.
FORMATS = ("eam/fs", "table", "overlay")

_LATTICES = ("sc", "fcc", "bcc", "hcp", "diamond")


@dataclasses.dataclass(frozen=True)
class Export:
    """A potential in LAMMPS' own form.

    Args:
        file: what LAMMPS reads.
        templates: commands of the input script, units ``metal``, with ``{file}`` where its name stands.
        inner: the shortest distance that the file knows, Å; 0 for ``eam/fs``.
        example: a whole input script that runs it; None if none was written.
    """

    file: Path
    templates: tuple[str, ...]
    inner: float
    example: Path | None = None

    def commands(self, folder: str | Path | None = None) -> list[str]:
        """Returns the pair_style and pair_coeff lines.

        Args:
            folder: where the file is looked for; None if LAMMPS is started where it lies.

        Raises:
            ConfigError: if LAMMPS cannot read the name, see :func:`kan_heads.lammps.names.check_name`.
        """
        name = quoted(self.file.name if folder is None else Path(folder) / self.file.name)
        return [template.replace("{file}", name) for template in self.templates]


def export(
    potential: Potential, style: str, path: str | Path, inner: float | None = None, n: int = 10_000
) -> Export:
    """Writes a potential in one of LAMMPS' forms, with an example input beside it.

    Args:
        potential: a fitted potential.
        style: one of ``eam/fs``, ``table`` and ``overlay``.
        path: the file; for ``overlay`` the folder. Folders above it are made.
        inner: where a table starts, Å; see :func:`kan_heads.eam.table.write_table`.
        n: points of a table; intervals of ``eam/fs``.

    Raises:
        ConfigError: if the style is unknown or does not fit the potential or the options, a folder stands
            where a file is to be written or the reverse, LAMMPS cannot read the name, or nothing was fitted.
        OSError: if nothing can be written there.
    """
    from kan_heads.eam.setfl import write_setfl
    from kan_heads.eam.table import write_overlay, write_table
    from kan_heads.kan.config import unknown_name

    if style not in FORMATS:
        raise unknown_name("--format", style, FORMATS)
    if style == "eam/fs" and inner is not None:
        raise ConfigError("--inner: a file for eam/fs starts at 0; leave it out")
    path = Path(path)
    if style == "overlay" and path.is_file():
        raise ConfigError(f"--out {path}: is a file; overlay writes a folder")
    if style != "overlay" and path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; name a file in it")
    if style == "eam/fs":
        return write_setfl(potential, path, n + 1, n + 1)
    write = write_table if style == "table" else write_overlay
    return write(potential, path, inner=inner, n=n)


def check_fitted(potential: Potential) -> None:
    """Refuses a potential that was never fitted.

    Raises:
        ConfigError: if it has no history.
    """
    if not potential.fitted:
        raise ConfigError("the potential was never fitted: LAMMPS would run noise; run kan-heads eam train")


def origin(potential: Potential) -> str:
    """Returns one line that says what a file holds."""
    config = potential.config
    kind = "pair potential" if config.kind == "pair" else "embedded-atom potential"
    return f"{config.element} KAN {kind}, cutoff {config.cutoff:g} A, written by kan-heads eam export"


def check_range(table: Potential | Export | float, atoms: Atoms) -> str | None:
    """Warns where atoms come closer than a table or a fit reaches.

    Args:
        table: what is to be run, or where its table starts in Å. Of a potential, where its grids start.
        atoms: the structure.

    Returns:
        The warning, which names the shortest distance; None if there is none.
    """
    if isinstance(table, Potential):
        inner, what = table.config.inner, "was fitted from {inner:g} Å on; below, it is extrapolated"
    else:
        inner = table.inner if isinstance(table, Export) else float(table)
        what = "starts at {inner:g} Å, where LAMMPS would stop; write it with a smaller inner"
    if inner <= 0:
        return None
    distances = neighbours(atoms, inner)[2]
    if not len(distances):
        return None
    name = "the potential" if isinstance(table, Potential) else "the table"
    text = f"two atoms are {distances.min():.4g} Å apart, and {name} {what.format(inner=inner)}"
    warnings.warn(text, stacklevel=2)
    return text


def numbers(values: np.ndarray, per_line: int = 5) -> str:
    """Writes numbers to the last digit, some on each line."""
    texts = [f"{value:.16e}" for value in np.asarray(values).tolist()]
    rows = [" ".join(texts[k : k + per_line]) for k in range(0, len(texts), per_line)]
    return "\n".join(rows) + "\n"


def save(potential: Potential, made: Export, text: str, example: bool) -> Export:
    """Writes a file, makes the folders above it, and adds an example if that is wanted.

    Raises:
        ConfigError: if LAMMPS cannot read the name; nothing is written then.
    """
    made.commands()  # refuses the name
    write_text(made.file, text)
    return _with_example(potential, made) if example else made


def _with_example(potential: Potential, made: Export) -> Export:
    """Writes ``in.<file>`` beside a file: the lines to paste on top, and a small run that uses them."""
    element, example = potential.config.element, made.file.with_name(f"in.{made.file.name}")
    script = shlex.quote(example.name)
    paste = ["units metal", *made.commands()]
    text = [
        f"# {origin(potential)}.",
        "# Units metal: eV, Angstrom, ps, bar. To use it in a script of yours, paste after the box is made:",
        *(f"#     {line}" for line in paste),
        "# Run it:              lmp -in " + script,
        "# 8 processes:         mpirun -np 8 lmp -in " + script,
        "# 4 threads (OPENMP):  lmp -sf omp -pk omp 4 -in " + script,
        "# A GPU (KOKKOS):      lmp -k on g 1 -sf kk -in " + script,
        "",
        "units metal",
        "boundary p p p",
        *lattice(element),
        "region cell block 0 4 0 4 0 4",
        "create_box 1 cell",
        "create_atoms 1 box",
        f"mass 1 {potential.config.mass!r}",
        "",
        *made.commands(),
        "neighbor 1.0 bin",
        "thermo_style custom step temp pe press vol",
        "thermo 100",
        "fix cell all box/relax aniso 0.0",
        "minimize 1e-12 1e-8 1000 10000",
        "unfix cell",
        "reset_timestep 0",
        "timestep 0.002",
        "velocity all create 600 1",
        "fix integrate all npt temp 300 300 0.2 aniso 0 0 2.0",
        "run 1000",
    ]
    write_text(example, "\n".join(text) + "\n")
    return dataclasses.replace(made, example=example)


def lattice(element: str) -> Sequence[str]:
    """Returns LAMMPS' lattice of an element, from ASE's table; a face-centred cube for rare crystals."""
    structure, a, covera = reference_crystal(element)
    if structure != "hcp":
        return [f"lattice {structure} {a:.6g}"]
    # LAMMPS' own hcp has the ideal c/a.
    return [
        f"lattice custom {a:.6g} a1 1 0 0 a2 0 {np.sqrt(3):.10f} 0 a3 0 0 {covera:.10f} &",
        f"  basis 0 0 0 basis 0.5 0.5 0 basis 0.5 {5 / 6:.10f} 0.5 basis 0 {1 / 3:.10f} 0.5",
    ]


def reference_crystal(element: str) -> tuple[str, float, float]:
    """Looks up an element's crystal in ASE's table.

    Returns:
        Structure (sc, fcc, bcc, hcp or diamond), lattice constant in Å, and c/a. Elements of other
        structures get a face-centred cube whose nearest neighbours touch.
    """
    from ase.data import atomic_numbers, covalent_radii, reference_states

    number = atomic_numbers[element]
    state = reference_states[number] or {}
    if state.get("symmetry") in _LATTICES and state.get("a"):
        return state["symmetry"], float(state["a"]), float(state.get("c/a") or np.sqrt(8 / 3))
    return "fcc", float(2.0 * np.sqrt(2.0) * covalent_radii[number]), 1.0
