"""Heats a crystal at constant pressure until it melts, as the paper does."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kan_heads.eam.config import check_positive
from kan_heads.eam.crystals import check_box, crystal
from kan_heads.eam.export import export
from kan_heads.eam.lammps_files import Export
from kan_heads.eam.phases import STRUCTURES, blocks, common_neighbours, fractions, radial_distribution
from kan_heads.eam.potential import Potential
from kan_heads.eam.segments import Segments, Snapshot, Stage, check_interval, check_seed
from kan_heads.errors import ConfigError, SettingError
from kan_heads.lammps.names import PATTERNS, check_name
from kan_heads.locks import claimed
from kan_heads.writing import whole, write_text

_BIN = 0.05  # Å
_FARTHEST = 8.0  # Å
# Share of the samples' own highest crystallinity below which a crystal counts as molten.
_MOLTEN = 0.5
# K on either side of a temperature whose samples make its radial distribution function.
_WINDOW = 75.0


@dataclasses.dataclass(frozen=True)
class HeatingConfig:
    """How a crystal is heated.

    Args:
        size: rectangular cells along each direction; 10 is published.
        structure: see :func:`kan_heads.eam.crystals.crystal`.
        a: Å.
        c: Å.
        cold: K, where the ramp starts; 300 is published.
        hot: K, where it ends; "over 4000 K" is published.
        rate: K/ps.
        equilibration: ps at the start.
        timestep: fs.
        tdamp: ps, of the thermostat; 1.0 is published.
        pdamp: ps, of the barostat.
        pressure: bar; 0 is published.
        interval: steps from one sample to the next.
        distributions: temperatures in K whose radial distribution function is wanted; 1882 K (published
            change to fcc) and 2416 K (published melting point) among them.
        seed: of the velocities.
    """

    size: int = 10
    structure: str | None = None
    a: float | None = None
    c: float | None = None
    cold: float = 300.0
    hot: float = 4000.0
    rate: float = 5.0
    equilibration: float = 20.0
    timestep: float = 2.0
    tdamp: float = 1.0
    pdamp: float = 2.0
    pressure: float = 0.0
    interval: int = 1000
    distributions: tuple[float, ...] = (400.0, 1882.0, 2416.0, 3900.0)
    seed: int = 1

    def __post_init__(self) -> None:
        """Checks each value."""
        check_positive(self, "cold", "hot", "rate", "equilibration", "timestep", "tdamp", "pdamp")
        if self.hot <= self.cold:
            raise SettingError("hot", f"{self.hot:g} K", f"must be above cold, {self.cold:g} K")
        check_interval(self.interval)
        check_seed(self.seed)
        outside = [t for t in self.distributions if not self.cold <= t <= self.hot]
        if outside:
            raise ConfigError(
                f"--rdf {outside[0]:g}: lies outside the run, {self.cold:g} to {self.hot:g} K; leave it out"
            )

    @classmethod
    def quick(cls, **changes: Any) -> HeatingConfig:
        """Returns settings for a few minutes on one core: 864 atoms, 20 K/ps."""
        return cls(**{"size": 6, "rate": 20.0, "equilibration": 10.0, "interval": 500, **changes})

    def _steps(self, ps: float) -> int:
        """Whole sampling intervals, up to a rounding error no less than a time."""
        return max(1, math.ceil(1e3 * ps / self.timestep / self.interval - 1e-9)) * self.interval

    @property
    def end(self) -> float:
        """K at the end of the last sampling interval: ``hot`` or a little more, so that the rate is exact."""
        steps = self._steps((self.hot - self.cold) / self.rate)
        return self.cold + self.rate * 1e-3 * self.timestep * steps

    @property
    def stages(self) -> list[Stage]:
        """Equilibration and ramp."""

        def bath(start: float, end: float) -> tuple[str, ...]:
            p = self.pressure
            fix = f"npt temp {start!r} {end!r} {self.tdamp!r} aniso {p!r} {p!r} {self.pdamp!r}"
            return (f"fix integrate all {fix}", "fix still all momentum 1000 linear 1 1 1")

        # Half of it goes into the vibrations' potential energy.
        begin = (f"velocity all create {2 * self.cold!r} {self.seed} mom yes dist gaussian",)
        ramp = (self.hot - self.cold) / self.rate
        return [
            Stage("equilibrate", self._steps(self.equilibration), bath(self.cold, self.cold), begin),
            Stage("heat", self._steps(ramp), bath(self.cold, self.end)),
        ]


@contextlib.contextmanager
def workplace(potential: Potential, out: Path) -> Iterator[Export]:
    """Keeps a folder to one run, and writes what it needs.

    Yields:
        A setfl file, or for a pair potential a table that starts very close.

    Raises:
        ConfigError: if LAMMPS cannot use the folder, nothing can be written, or another process is at it.
    """
    check_name("--out", out, PATTERNS)
    config = potential.config
    with claimed(out, is_folder=True):
        if config.kind == "pair":
            yield export(potential, "table", out / f"{config.element}.table", inner=0.25 * config.inner)
        else:
            yield export(potential, "eam/fs", out / f"{config.element}.eam.fs")


def relaxation() -> tuple[str, ...]:
    """Commands that relax positions and the sides of the box, at least to the published tolerances."""
    return (
        "minimize 1e-10 1e-6 1000 10000",
        "fix cell all box/relax aniso 0.0 vmax 0.001",
        "minimize 1e-12 1e-6 1000 10000",
        "unfix cell",
    )


def heat(
    potential: Potential,
    out: str | Path,
    settings: HeatingConfig,
    say: Callable[[str, int, int], None] = lambda stage, step, steps: None,
) -> dict[str, Any]:
    """Heats a crystal, and writes ``heating.json``, ``heating.csv`` and ``rdf.csv``.

    A killed run goes on where it was when it is called again with the same folder and settings; a finished
    one goes on to a higher ``hot``.

    Args:
        potential: fitted.
        out: folder.
        settings: see :class:`HeatingConfig`.
        say: hears stage, step and number of steps.

    Returns:
        What ``heating.json`` holds: settings, the temperatures at which the crystal changes (None where
        it does not), and per sample temperature (K), potential energy (eV/atom), volume (Å^3/atom), sides of
        the box (Å) and the shares of crystal structures.

    Raises:
        ConfigError: if the settings make no sense, the folder holds another run, or another process is at it.
        ModelError: if LAMMPS stops, e.g. because atoms come too close.

    Source: An and Yeo, Int. J. AI Mater. Design 2(1), 21 (2025), sections 2.1 and 3.2.2, Figure 7.
    """
    out = Path(out)
    element = potential.config.element
    template = crystal(element, (settings.size,) * 3, settings.structure, settings.a, settings.c)
    check_box(template, potential.config.cutoff)
    edges = np.arange(0.0, min(_FARTHEST, 0.5 * template.cell.lengths().min()) + 1e-9, _BIN)

    def measure(now: Snapshot) -> dict[str, Any]:
        cold, hot = settings.cold, settings.end
        ramped = cold + (hot - cold) * (now.progress if now.stage == "heat" else 0.0)
        return {
            "target_K": ramped,
            "temperature_K": now.temperature,
            "energy_eV": now.energy,
            "volume_A3": now.volume,
            "pressure_bar": now.pressure,
            **dict(zip(("lx_A", "ly_A", "lz_A"), now.atoms.cell.lengths().tolist(), strict=True)),
            **fractions(common_neighbours(now.averaged)),
            "g": radial_distribution(now.atoms, edges),
        }

    record = {**dataclasses.asdict(settings), "potential": fingerprint(potential)}
    # The ramp has the same slope wherever it ends.
    depends = {name: value for name, value in record.items() if name not in ("hot", "distributions")}
    state = out / "heating-state"
    with workplace(potential, out) as files:
        run = Segments(state, files, depends, settings.stages, 1e-3 * settings.timestep, settings.interval)
        start = time.perf_counter()
        found = run.run(
            lambda: template, relaxation(), measure, template, lambda name, step: say(name, step, run.steps)
        )
        result = {
            "element": element,
            "n_atoms": len(template),
            "steps": run.steps,
            "seconds_since_start_or_resume": time.perf_counter() - start,
            "settings": record,
            **transitions(found),
            "samples": {name: found[name].tolist() for name in found if name != "g"},
            "rdf": _distributions(found, edges, settings),
        }
        _write_tables(out, result)
        write_text(out / "heating.json", json.dumps(result, indent=1) + "\n")
    return result


def fingerprint(potential: Potential) -> str:
    """Returns a checksum of everything that energies depend on."""
    import hashlib

    text = json.dumps([dataclasses.asdict(potential.config), list(potential.numbers().values())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def transitions(found: dict[str, np.ndarray]) -> dict[str, float | None]:
    """Finds where a heated crystal turns into another and where it melts.

    Args:
        found: samples with ``target_K`` and the shares of the structures, each ``(n_samples,)``.

    Returns:
        ``melting_K``: the temperature from which on the crystalline share stays below half of its
        largest value; a perfect crystal is overheated then, so it is above the melting point.
        ``change_K``: the temperature from which on, until it melts, another structure has most of the
        crystalline atoms than at the start; and its name, ``change_to``. None where it never happens.
    """
    share = sum(found[name] for name in STRUCTURES if name != "other")
    solid = share >= _MOLTEN * share.max()
    last = int(np.flatnonzero(solid)[-1])
    melting = float(found["target_K"][last + 1]) if last + 1 < len(solid) else None
    kinds = np.array([found[name][: last + 1] for name in STRUCTURES if name != "other"]).argmax(axis=0)
    change, name = None, None
    if len(kinds) > 1 and kinds[-1] != kinds[0]:
        first = int(np.flatnonzero(kinds != kinds[-1])[-1]) + 1
        change, name = float(found["target_K"][first]), STRUCTURES[kinds[-1]]
    return {"melting_K": melting, "change_K": change, "change_to": name}


def _distributions(
    found: dict[str, np.ndarray], edges: np.ndarray, settings: HeatingConfig
) -> dict[str, Any]:
    made: dict[str, Any] = {"r_A": (0.5 * (edges[1:] + edges[:-1])).tolist(), "window_K": _WINDOW, "at": []}
    for kelvin in settings.distributions:
        near = np.abs(found["target_K"] - kelvin) <= _WINDOW
        near &= found["stage"] == "heat"
        if near.any():
            mean, spread = blocks(found["g"][near])
            row = {
                "target_K": kelvin,
                "n_samples": int(near.sum()),
                "g": mean.tolist(),
                "std": spread.tolist(),
            }
            made["at"].append(row)
    return made


def _write_tables(out: Path, result: dict[str, Any]) -> None:
    samples = result["samples"]
    with whole(out / "heating.csv") as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(samples)
        writer.writerows(zip(*samples.values(), strict=True))
    rdf = result["rdf"]
    with whole(out / "rdf.csv") as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = [f"{name}_{row['target_K']:g}K" for row in rdf["at"] for name in ("g", "std")]
        writer.writerow(["r_A", *names])
        columns = [row[name] for row in rdf["at"] for name in ("g", "std")]
        writer.writerows(zip(rdf["r_A"], *columns, strict=True))
