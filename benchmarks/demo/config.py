"""The settings of the demonstration, and what they mean on this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from kan_heads.errors import ConfigError

SYSTEMS = ("hfo2", "ag-emt")
SYSTEM_NAMES = {
    "hfo2": "hafnia, Hf32O64, PBE labels",
    "ag-emt": "stand-in: silver labelled with ASE's EMT",
}
#: Frames that neither training nor validation sees.
N_TEST = 50
PACKAGES = ("torch", "nequip", "allegro", "ase", "matplotlib")


@dataclass(frozen=True)
class DemoConfig:
    """What the demonstration does.

    Args:
        out: folder for everything that it writes.
        epochs: epochs of each training.
        train: frames to train on.
        val: frames to validate on.
        system: ``hfo2`` or ``ag-emt``; None takes hfo2 where its files are on this machine.
        steps: steps of 1 fs of the dynamics.
        seed: seed of the initial weights, the order of the frames, and the initial velocities. The
            split of the data does not depend on it.
        configs: folder of the configurations; None is the one of the checkout.
        force: train again even where a finished run with the same settings exists.
    """

    out: str | Path = "demo"
    epochs: int = 20
    train: int = 200
    val: int = 50
    system: str | None = None
    steps: int = 1000
    seed: int = 1
    configs: str | Path | None = None
    force: bool = False

    def check(self) -> None:
        """Raises ConfigError where a number or a name makes no sense."""
        for name, least in (("epochs", 1), ("train", 1), ("val", 1), ("steps", 2)):
            if getattr(self, name) < least:
                raise ConfigError(f"--{name} {getattr(self, name)} must be at least {least}")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must not be negative")
        if self.system is not None and self.system not in SYSTEMS:
            raise ConfigError(f"unknown --system '{self.system}'; choose one of: {', '.join(SYSTEMS)}")


def require_packages() -> None:
    """Raises ModuleNotFoundError before minutes of training rather than after."""
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def choose_system(system: str | None) -> str:
    """The system asked for, else hfo2 where its files are on this machine, else the stand-in."""
    if system is not None:
        return system
    from benchmarks import datasets

    return "hfo2" if datasets.availability(datasets.lookup("hfo2")) in ("folder", "cache") else "ag-emt"
