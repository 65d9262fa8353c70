"""What LAMMPS reads of a potential: its file, the commands of an input script, and a whole example."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kan_heads.eam.crystals import reference_crystal
from kan_heads.eam.potential import Potential
from kan_heads.errors import ConfigError
from kan_heads.lammps.names import quoted
from kan_heads.writing import write_text


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
