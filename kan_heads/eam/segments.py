"""Long runs in LAMMPS, cut into segments that each go from one restart file to the next."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.eam.lammps_files import Export
from kan_heads.eam.native import create, lammps, positions_of
from kan_heads.errors import ConfigError, SettingError
from kan_heads.lammps.names import quoted
from kan_heads.writing import whole, write_text

if TYPE_CHECKING:
    from ase import Atoms

# Frames over which positions are averaged at the end of each sample, and steps from one to the next.
_FRAMES, _BETWEEN = 10, 10
_LARGEST_SEED = 2**31 - 3


def check_interval(steps: int) -> None:
    """Refuses samples that would overlap.

    Raises:
        ConfigError: if the interval is hardly longer than what a sample averages over.
    """
    average = _FRAMES * _BETWEEN
    if steps < average + _BETWEEN:
        problem = f"must be at least {average + _BETWEEN}; each sample averages {average}"
        raise SettingError("interval", f"{steps} steps", problem)


def check_seed(seed: int) -> None:
    """Refuses a seed that LAMMPS' generators do not take, itself or the next two.

    Raises:
        ConfigError: if it is not positive, or too large.
    """
    if not 1 <= seed <= _LARGEST_SEED:
        raise SettingError("seed", str(seed), f"must be from 1 to {_LARGEST_SEED}")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a run.

    Args:
        name: of the stage.
        steps: its length, a multiple of the sampling interval.
        commands: given before each segment: fixes.
        begin: given once, where the stage begins: velocities.
    """

    name: str
    steps: int
    commands: tuple[str, ...]
    begin: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The state at the end of a sampling interval.

    Args:
        stage: name of the stage.
        step: since the start.
        progress: share of the stage that is done.
        temperature: K.
        energy: potential energy, eV per atom.
        volume: Å^3 per atom.
        pressure: bar.
        atoms: present positions.
        averaged: positions averaged over the last 100 steps.
    """

    stage: str
    step: int
    progress: float
    temperature: float
    energy: float
    volume: float
    pressure: float
    atoms: Atoms
    averaged: Atoms


class Segments:
    """A run that a killed process does not lose.

    Every segment starts LAMMPS anew from a restart file, whether it follows another one or a crash, and
    writes its samples and then the next restart file, each in one step. So a resumed run does exactly
    what an uninterrupted one does, to the last bit.

    Args:
        folder: where the state is kept.
        export: the potential.
        settings: what the run depends on; a folder with others is refused.
        stages: in order.
        timestep: ps.
        interval: steps from one sample to the next.
        per_segment: samples in a segment.
        setup: further commands before each segment, such as groups.

    Raises:
        ConfigError: if the folder holds a run with other settings.
    """

    def __init__(
        self,
        folder: Path,
        export: Export,
        settings: Mapping[str, Any],
        stages: Sequence[Stage],
        timestep: float,
        interval: int,
        per_segment: int = 10,
        setup: Sequence[str] = (),
    ) -> None:
        self.folder, self.export, self.stages = folder, export, tuple(stages)
        self.timestep, self.interval, self.per_segment = timestep, interval, per_segment
        self.setup = tuple(setup)
        self._settings = json.loads(json.dumps(dict(settings)))

    @property
    def steps(self) -> int:
        """Length of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def run(
        self,
        start: Callable[[], Atoms],
        prepare: Sequence[str],
        measure: Callable[[Snapshot], dict[str, Any]],
        template: Atoms,
        say: Callable[[str, int], None] = lambda stage, step: None,
        enough: Callable[[dict[str, np.ndarray]], bool] = lambda found: False,
    ) -> dict[str, np.ndarray]:
        """Runs what is left to run.

        Args:
            start: makes the first structure; its cell is a block.
            prepare: commands for it, such as a minimisation.
            measure: turns a snapshot into numbers and arrays, always of the same shape.
            template: any structure with the right number of atoms.
            say: hears the name of the stage and the step after each sample.
            enough: asked with all samples after each segment whether the rest may be left out.

        Returns:
            What ``measure`` returned, stacked, ``(n_samples, ...)``, with ``step`` and ``stage``.
        """
        self._claim()
        if not self._restarts():
            self._first(start(), prepare)
        while (step := self._restarts()[-1]) < self.steps:
            if step > 0 and enough(self._found(step)):
                break
            self._segment(step, measure, template, say)
        return self._found(step)

    def _found(self, step: int) -> dict[str, np.ndarray]:
        """Stacks the samples up to a step; a part beyond it is of a segment that did not end."""
        paths = sorted(self.folder.glob("part.*.npz"))
        parts = [np.load(path) for path in paths if int(path.name.split(".")[1]) < step]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}

    def _claim(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "settings.json"
        if not path.exists():
            write_text(path, json.dumps(self._settings, indent=1) + "\n")
            return
        before = json.loads(path.read_text())
        names = [
            name for name in {**before, **self._settings} if before.get(name) != self._settings.get(name)
        ]
        if names:
            changed = ", ".join(f"{n} {before.get(n)} -> {self._settings.get(n)}" for n in sorted(names))
            raise ConfigError(
                f"{self.folder}: holds a run with other settings ({changed}); use the same, or another --out"
            )

    def _restarts(self) -> list[int]:
        return sorted(
            int(path.suffix[1:]) for path in self.folder.glob("restart.*") if path.suffix[1:].isdigit()
        )

    def _restart(self, step: int) -> Path:
        return self.folder / f"restart.{step:010d}"

    def _first(self, atoms: Atoms, prepare: Sequence[str]) -> None:
        with lammps() as lmp:
            create(lmp, atoms)
            self._potential(lmp)
            for command in (*prepare, "reset_timestep 0"):
                lmp.command(command)
            self._save(lmp, 0)

    def _save(self, lmp: Any, step: int) -> None:
        with whole(self._restart(step)) as new:
            lmp.command(f"write_restart {quoted(new)}")

    def _open(self, lmp: Any, step: int) -> None:
        lmp.command("atom_modify map array")
        lmp.command(f"read_restart {quoted(self._restart(step))}")
        self._potential(lmp)

    def _potential(self, lmp: Any) -> None:
        for command in (
            *self.export.commands(self.export.file.parent),
            "neighbor 0.3 bin",  # as published, section 2.1; also the fastest here
            "neigh_modify every 1 delay 0 check yes",
            "thermo_style custom step temp pe press vol",
            f"timestep {self.timestep!r}",
            *self.setup,
        ):
            lmp.command(command)

    def _segment(
        self,
        step: int,
        measure: Callable[[Snapshot], dict[str, Any]],
        template: Atoms,
        say: Callable[[str, int], None],
    ) -> None:
        first = 0
        for stage in self.stages:
            if step < first + stage.steps:
                break
            first += stage.steps
        last = first + stage.steps
        end = min(step + self.per_segment * self.interval, last)
        rows: list[dict[str, Any]] = []
        with lammps() as lmp:
            self._open(lmp, step)
            for command in (*(stage.begin if step == first else ()), *stage.commands):
                lmp.command(command)
            for sample in range(step + self.interval, end + 1, self.interval):
                averaged = self._advance(lmp, sample == step + self.interval, (first, last))
                snapshot = self._snapshot(lmp, stage, sample, (first, last), template, averaged)
                rows.append({"step": sample, "stage": stage.name, **measure(snapshot)})
                say(stage.name, sample)
            stacked = {name: np.array([row[name] for row in rows]) for name in rows[0]}
            part = self.folder / f"part.{step:010d}.npz"
            with whole(part) as new:
                np.savez(new, **stacked)
            self._save(lmp, end)
        self._restart(step).unlink()

    def _advance(self, lmp: Any, fresh: bool, stage: tuple[int, int]) -> np.ndarray:
        """Runs one sampling interval; returns positions averaged over its end, (n_atoms, 3)."""
        span = f"start {stage[0]} stop {stage[1]} post no"
        lmp.command(f"run {self.interval - _FRAMES * _BETWEEN} {span} pre {'yes' if fresh else 'no'}")
        total: np.ndarray | float = 0.0
        for _ in range(_FRAMES):
            lmp.command(f"run {_BETWEEN} {span} pre no")
            total = total + positions_of(lmp)[0]
        return total / _FRAMES

    def _snapshot(
        self,
        lmp: Any,
        stage: Stage,
        step: int,
        span: tuple[int, int],
        template: Atoms,
        averaged: np.ndarray,
    ) -> Snapshot:
        positions, lengths = positions_of(lmp)
        n = len(template)
        return Snapshot(
            stage=stage.name,
            step=step,
            progress=(step - span[0]) / (span[1] - span[0]),
            temperature=lmp.get_thermo("temp"),
            energy=lmp.get_thermo("pe") / n,
            volume=lmp.get_thermo("vol") / n,
            pressure=lmp.get_thermo("press"),
            atoms=_structure(template, positions, lengths),
            averaged=_structure(template, averaged, lengths),
        )


def _structure(template: Atoms, positions: np.ndarray, lengths: np.ndarray) -> Atoms:
    atoms = template.copy()
    atoms.set_cell(np.diag(lengths), scale_atoms=False)
    atoms.positions = positions
    atoms.pbc = True
    return atoms
