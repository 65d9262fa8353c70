"""The settings of a run, checked before anything long begins."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Any

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.lammps.names import PATTERNS, check_name

ENSEMBLES = ("nvt", "nve", "npt")
COUPLINGS = ("iso", "aniso", "tri")
DTYPES = ("float32", "float64")
_LARGEST_SEED = 2**31 - 1
# Nose-Hoover times, in steps, that LAMMPS' manual recommends.
_TDAMP_STEPS, _PDAMP_STEPS = 100, 1000


@dataclasses.dataclass(frozen=True)
class DynamicsConfig:
    """What is run.

    Args:
        ensemble: ``nvt`` and ``npt`` (Nose-Hoover) or ``nve``.
        temperature: K, of the first velocities and of the thermostat; None stands for 300.
        pressure: bar, for ``npt``; None stands for 0.
        coupling: how the cell changes in ``npt``: ``iso`` (as a whole), ``aniso`` (three lengths), ``tri``
            (angles too); None stands for ``iso``.
        steps: number of steps; 0 evaluates the structure once.
        timestep: fs.
        tdamp: time of the thermostat in fs; None stands for 100 steps.
        pdamp: time of the barostat in fs; None stands for 1,000 steps.
        keep_velocities: start with the velocities of the structure in place of random ones.
        seed: of the random velocities.
        thermo: steps from one row of output to the next.
        dump: file for a trajectory, ``*.lammpstrj``.
        dump_every: steps from one of its frames to the next.
        log: file for what LAMMPS writes itself.
        device: ``cpu`` or ``cuda``; a compiled model runs on the one that it was compiled for.
        dtype: precision of a MACE model, ``float32`` or ``float64``; None stands for ``float64``.
        head: head of a MACE model with several.
        threads: threads of torch; None keeps torch's number. A compiled model keeps the number that torch had
            when it was compiled.
        trust: load a MACE model although it is a pickle, which can run code.
    """

    ensemble: str = "nvt"
    temperature: float | None = None
    pressure: float | None = None
    coupling: str | None = None
    steps: int = 1000
    timestep: float = 1.0
    tdamp: float | None = None
    pdamp: float | None = None
    keep_velocities: bool = False
    seed: int = 1
    thermo: int = 100
    dump: str | None = None
    dump_every: int = 100
    log: str | None = None
    device: str = "cpu"
    dtype: str | None = None
    head: str | None = None
    threads: int | None = None
    trust: bool = False

    def check(self) -> None:
        """Raises ConfigError where an option is unknown, makes no sense or contradicts another."""
        _check_name("--ensemble", self.ensemble, ENSEMBLES)
        _check_name("--coupling", self.coupling, COUPLINGS)
        _check_name("--dtype", self.dtype, DTYPES)
        self._check_numbers()
        self._check_barostat()
        self._check_temperature()
        for option, path in (("--dump", self.dump), ("--log", self.log)):
            if path is not None:
                check_output(option, path)
        if self.dump is not None:
            # That of the log is no part of LAMMPS' input.
            check_name("--dump", self.dump, PATTERNS)
        if self.dump is not None and not self.dump.endswith(".lammpstrj"):
            raise ConfigError(f"--dump {self.dump}: holds a trajectory of LAMMPS; call it *.lammpstrj")

    @property
    def kelvin(self) -> float:
        """The temperature in K."""
        return 300.0 if self.temperature is None else self.temperature

    def integrator(self) -> str:
        """The command of LAMMPS that moves the atoms, without ``fix ID all``."""
        if self.ensemble == "nve":
            return "nve"
        values = self.as_dict()
        command = f"{self.ensemble} temp {self.kelvin!r} {self.kelvin!r} {values['tdamp'] / 1000!r}"
        if self.ensemble == "npt":
            pressure, coupling = values["pressure"], values["coupling"]
            # A flipped cell is the same crystal, but no longer the cell of the input.
            command += f" {coupling} {pressure!r} {pressure!r} {values['pdamp'] / 1000!r} flip no"
        return command

    def as_dict(self) -> dict[str, Any]:
        """The settings, with what stands for None where the ensemble has use for it."""
        values = dataclasses.asdict(self)
        if not (self.ensemble == "nve" and self.keep_velocities):
            values["temperature"] = self.kelvin
        if self.ensemble != "nve":
            values["tdamp"] = self.tdamp or _TDAMP_STEPS * self.timestep
        if self.ensemble == "npt":
            values["pressure"], values["coupling"] = self.pressure or 0.0, self.coupling or "iso"
            values["pdamp"] = self.pdamp or _PDAMP_STEPS * self.timestep
        return values

    def _check_numbers(self) -> None:
        for name, least in (("steps", 0), ("thermo", 1), ("dump_every", 1), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value <= _LARGEST_SEED:
                option = name.replace("_", "-")
                raise ConfigError(f"--{option}: {value} must be from {least} to {_LARGEST_SEED}")
        for name, unit in (("timestep", "fs, e.g. 1"), ("tdamp", "fs, e.g. 100"), ("pdamp", "fs, e.g. 1000")):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"--{name}: {value:g} must be a positive time in {unit}")
        if not 1 <= self.seed <= _LARGEST_SEED:
            raise ConfigError(f"--seed: {self.seed} must be from 1 to {_LARGEST_SEED}")

    def _check_barostat(self) -> None:
        for name in ("pressure", "coupling", "pdamp"):
            if getattr(self, name) is not None and self.ensemble != "npt":
                raise ConfigError(f"--{name}: {self.ensemble} has no barostat; add --ensemble npt")
        if self.pressure is not None and not math.isfinite(self.pressure):
            raise ConfigError(f"--pressure: {self.pressure:g} must be a number of bar, e.g. 1.01325")

    def _check_temperature(self) -> None:
        if self.ensemble == "nve" and self.tdamp is not None:
            raise ConfigError("--tdamp: nve has no thermostat; add --ensemble nvt or npt")
        if self.ensemble == "nve" and self.keep_velocities and self.temperature is not None:
            raise ConfigError("--temperature: nve with --keep-velocities has no use for it; leave one out")
        cold = self.kelvin == 0 and self.ensemble != "nve"
        if cold or not 0 <= self.kelvin < math.inf:
            raise ConfigError(f"--temperature: {self.kelvin:g} must be a positive number of K, e.g. 300")


def check_output(option: str, path: str, inputs: tuple[str, ...] = ()) -> None:
    """Finds what is wrong with the name of a file to write.

    Args:
        option: that named it.
        path: the file.
        inputs: files that must not be overwritten.

    Raises:
        ConfigError: if its folder is missing, it is a folder, or it is one of the inputs.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise ConfigError(f"{option} {path}: there is no folder {folder}; make it first")
    if os.path.isdir(path):
        raise ConfigError(f"{option} {path}: is a folder; name a file")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ConfigError(f"{option} {path}: cannot be written; name another file")
    if any(os.path.exists(name) and os.path.exists(path) and os.path.samefile(name, path) for name in inputs):
        raise ConfigError(f"{option} {path}: this is the input, and would be lost; name another file")


def _check_name(option: str, name: Any, valid: tuple[str, ...]) -> None:
    if name is not None and name not in valid:
        raise unknown_name(option, name, valid)
