"""The melting point from a box that is half crystal and half liquid."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.eam.config import check_positive
from kan_heads.eam.crystals import crystal
from kan_heads.eam.heating import fingerprint, relaxation, workplace
from kan_heads.eam.phases import STRUCTURES, common_neighbours
from kan_heads.eam.potential import Potential
from kan_heads.eam.segments import Segments, Snapshot, Stage, check_interval, check_seed
from kan_heads.eam.verdicts import conclusion, next_guess, one_phase_left, verdict
from kan_heads.errors import ConfigError, SettingError, first_line
from kan_heads.writing import write_text

if TYPE_CHECKING:
    from ase import Atoms

    from kan_heads.eam.lammps_files import Export

_BOLTZMANN = 8.617333262e-5  # eV/K
# Melting points of metals are near 0.03 of the cohesive energy; a start, which the run corrects.
_RULE = 0.03
# A crystal without a surface melts about a fifth above its melting point.
_OVERHEATING = 0.8
# Times the guess: half of the box is melted at that temperature. In the crystal's volume that is not always
# enough; the next attempt then takes more.
_MELTING, _MORE = 2.0, 1.5
_BINS = 24
_OTHER = STRUCTURES.index("other")


@dataclasses.dataclass(frozen=True)
class CoexistenceConfig:
    """How crystal and liquid are brought together.

    Args:
        width: Å, least sides across the interface, and at least twice the cutoff.
        length: Å, least length along it, and at least twice the cutoff; the interface is normal to it.
        structure: see :func:`kan_heads.eam.crystals.crystal`.
        a: Å.
        c: Å.
        guess: K, where it starts. Default: 0.8 of where ``heating.json`` of this potential in the folder has
            the overheated crystal melting, else from the cohesive energy.
        preparation: ps; the crystal takes that long, melting and cooling of the other half the same.
        run: ps at constant enthalpy; the second half of it is averaged.
        attempts: how often to start anew where one phase vanishes.
        timestep: fs.
        interval: steps from one sample to the next.
        seed: of the velocities.
    """

    width: float = 24.0
    length: float = 120.0
    structure: str | None = None
    a: float | None = None
    c: float | None = None
    guess: float | None = None
    preparation: float = 10.0
    run: float = 200.0
    attempts: int = 6
    timestep: float = 2.0
    interval: int = 500
    seed: int = 1

    def __post_init__(self) -> None:
        """Checks each value."""
        check_positive(self, "width", "length", "preparation", "run", "timestep")
        if self.guess is not None and not 0.0 < self.guess < 20_000:
            raise SettingError("guess", f"{self.guess:g} K", "must lie between 0 and 20000 K")
        check_interval(self.interval)
        if self.attempts < 1:
            raise SettingError("attempts", str(self.attempts), "must be at least 1")
        check_seed(self.seed)

    @classmethod
    def quick(cls, **changes: Any) -> CoexistenceConfig:
        """Returns settings for a few minutes on one core: about 1,200 atoms, 60 ps."""
        small = {
            "width": 16.0,
            "length": 64.0,
            "preparation": 4.0,
            "run": 60.0,
            "attempts": 4,
            "interval": 250,
        }
        return cls(**{**small, **changes})

    def stages(self, kelvin: float, hot: float) -> list[Stage]:
        """Crystal, one half melted and cooled back, both together, and then constant enthalpy.

        Args:
            kelvin: K, of both phases when they are brought together.
            hot: K, at which the half is melted.
        """

        def steps(ps: float, least: int = 2) -> int:
            return max(least, round(1e3 * ps / self.timestep / self.interval)) * self.interval

        bath = f"fix integrate all npt temp {kelvin!r} {kelvin!r} 0.2 aniso 0 0 2.0"
        still = "fix still all momentum 500 linear 1 1 1"
        # In the crystal's own volume, where the other half waits without moving: at such temperatures and
        # no pressure a liquid may boil.
        drive = "fix drive hot nve"
        drawn = "mom yes dist gaussian"
        return [
            Stage(
                "crystal",
                steps(self.preparation),
                (bath, still),
                (f"velocity all create {2 * kelvin!r} {self.seed} {drawn}",),
            ),
            Stage(
                "melt",
                steps(self.preparation),
                (drive, f"fix bath hot langevin {hot!r} {hot!r} 0.1 {self.seed}"),
                ("velocity cold set 0 0 0", f"velocity hot create {hot!r} {self.seed + 1} {drawn}"),
            ),
            Stage(
                "cool",
                steps(self.preparation),
                (drive, f"fix bath hot langevin {hot!r} {kelvin!r} 0.1 {self.seed}"),
            ),
            Stage(
                "join",
                steps(0.5 * self.preparation),
                (bath, still),
                (f"velocity cold create {kelvin!r} {self.seed + 2} {drawn}",),
            ),
            Stage("coexist", steps(self.run, 8), ("fix together all nph aniso 0 0 2.0", still)),
        ]


def melt(
    potential: Potential,
    out: str | Path,
    settings: CoexistenceConfig,
    say: Callable[[int, str, int, int], None] = lambda attempt, stage, step, steps: None,
) -> dict[str, Any]:
    r"""Finds the melting point at pressure 0: crystal and liquid side by side at constant enthalpy.

    Where both are left, the growing one gives or takes latent heat until the temperature is the melting
    point. Where one vanishes, the temperature at the end is a bound: of a frozen box a lower, of a molten
    one an upper one; the next attempt starts between them. Where the half that was to melt did not, the next
    attempt heats it more. Writes ``coexistence.json`` and goes on where it was if it was killed.

    Args:
        potential: fitted.
        out: folder.
        settings: see :class:`CoexistenceConfig`.
        say: hears attempt, stage, step and number of steps.

    Returns:
        What ``coexistence.json`` holds: ``melting_K`` and ``error_K`` (statistical, with the drift; None
        without coexistence), ``lower_K`` and ``upper_K`` (bounds or None), ``settled`` (whether neither
        phase still grew), and each attempt.

    Raises:
        ConfigError: if the settings make no sense, the folder holds another run, or another process is at it.
        ModelError: if LAMMPS stops.

    Source: Morris, Wang, Ho and Chan, PRB 49, 3109 (1994).
    """
    out = Path(out)
    template = _box(potential, settings)
    guess = settings.guess or _guess(potential, template, out)
    start = time.perf_counter()
    tried: list[dict[str, Any]] = []
    with workplace(potential, out) as files:
        for number in range(1, settings.attempts + 1):
            hot = guess * _MELTING * _MORE ** [row["outcome"] for row in tried].count("did not melt")
            tried.append(_attempt(potential, files, out, settings, template, guess, hot, number, say))
            if tried[-1]["outcome"] == "coexistence":
                break
            guess = next_guess(tried)
        result = {
            "element": potential.config.element,
            "n_atoms": len(template),
            **conclusion(tried),
            "seconds_since_start_or_resume": time.perf_counter() - start,
            "settings": dataclasses.asdict(settings),
            "attempts": tried,
        }
        write_text(out / "coexistence.json", json.dumps(result, indent=1) + "\n")
    return result


def _box(potential: Potential, settings: CoexistenceConfig) -> Atoms:
    """The crystal, atoms in the order of z: the second half of them is melted."""
    element, kind = potential.config.element, (settings.structure, settings.a, settings.c)
    cell = crystal(element, (1, 1, 1), *kind).cell.lengths()
    # Twice the cutoff, or an atom would see its own image.
    width, length = (max(side, 2.0 * potential.config.cutoff) for side in (settings.width, settings.length))
    wanted = (width, width, length)
    n = tuple(math.ceil(side / length) for side, length in zip(wanted, cell, strict=True))
    if n[2] % 2:
        n = (n[0], n[1], n[2] + 1)
    atoms = crystal(element, n, *kind)
    return atoms[np.argsort(atoms.positions[:, 2], kind="stable")]


def _guess(potential: Potential, atoms: Atoms, out: Path) -> float:
    from kan_heads.eam.ase_calculator import EAMCalculator

    heating = out / "heating.json"
    if heating.exists():
        try:
            record = json.loads(heating.read_text(encoding="utf-8"))
            melting, of = record["melting_K"], record["settings"]["potential"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{heating}: is damaged ({first_line(error)}); remove it") from None
        if melting is not None and of == fingerprint(potential):
            return _OVERHEATING * melting
    at_rest = atoms.copy()
    at_rest.calc = EAMCalculator(potential)
    cohesive = -at_rest.get_potential_energy() / len(atoms)
    if cohesive <= 0:
        raise ConfigError(
            f"the crystal has {-cohesive:.3g} eV per atom, so it is not bound; check --structure, --a and --c"
        )
    return _RULE * cohesive / _BOLTZMANN


def _attempt(
    potential: Potential,
    files: Export,
    out: Path,
    settings: CoexistenceConfig,
    template: Atoms,
    guess: float,
    hot: float,
    number: int,
    say: Callable[[int, str, int, int], None],
) -> dict[str, Any]:
    half = len(template) // 2
    middle = slice(half + half // 4, len(template) - half // 4)

    def measure(now: Snapshot) -> dict[str, Any]:
        crystalline = common_neighbours(now.averaged) != _OTHER  # (n_atoms,)
        height = now.averaged.get_scaled_positions(wrap=True)[:, 2]
        place = np.minimum((height * _BINS).astype(int), _BINS - 1)
        counts = np.bincount(place, minlength=_BINS)
        return {
            "temperature_K": now.temperature,
            "energy_eV": now.energy,
            "volume_A3": now.volume,
            "pressure_bar": now.pressure,
            "crystalline": crystalline.mean(),
            "crystalline_hot": crystalline[middle].mean(),
            "profile": np.bincount(place, crystalline, _BINS) / np.maximum(counts, 1),
        }

    start = {"start_K": guess, "hot_K": hot}
    record = {**dataclasses.asdict(settings), **start, "potential": fingerprint(potential)}
    run = Segments(
        out / "coexistence-state" / f"attempt-{number}",
        files,
        record,
        settings.stages(guess, hot),
        1e-3 * settings.timestep,
        settings.interval,
        setup=(f"group cold id <= {half}", f"group hot id > {half}"),
    )
    found = run.run(
        lambda: template,
        relaxation(),
        measure,
        template,
        lambda name, step: say(number, name, step, run.steps),
        one_phase_left,
    )
    return {
        "guess_K": guess,
        "hot_K": hot,
        **verdict(found),
        "samples": {k: v.tolist() for k, v in found.items()},
    }
