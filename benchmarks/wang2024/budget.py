"""Budgets: how many seeds, frames, epochs and steps a run has, see the folder ``budgets``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.wang2024.table import read_yaml
from kan_heads.errors import ConfigError, unknown_name


@dataclass(frozen=True, eq=False)
class Budget:
    """What the runs of a budget share.

    Args:
        name: name of the file.
        about: one line on how long it takes where.
        controls: whether rows that the paper does not have are run.
        seeds: seeds by backbone (``mace``), and under ``default``.
        threads: threads of each run.
        device: ``cpu`` or ``cuda``.
        dynamics_steps: steps of 1 fs of the gate; 0 leaves it out.
        lammps_steps: steps of 1 fs of Table 4.
        data: frames of ``train``, ``val`` and ``test`` by data set.
        settings: overrides by backbone, and by whole configuration; the latter come last.
    """

    name: str
    about: str
    controls: bool
    seeds: dict[str, list[int]]
    threads: int
    device: str
    dynamics_steps: int
    lammps_steps: int
    data: dict[str, dict[str, int]]
    settings: dict[str, list[str]]

    def overrides(self, config: str) -> list[str]:
        """The overrides of a configuration, those of its backbone first."""
        return [*self.settings.get(config.split("/")[0], []), *self.settings.get(config, [])]

    def seeds_of(self, config: str) -> list[int]:
        """The seeds of a configuration."""
        return self.seeds.get(config.split("/")[0], self.seeds["default"])


def load_budget(folder: Path, name: str) -> Budget:
    """Reads ``folder/budgets/<name>.yaml``.

    Raises:
        ConfigError: there is no such budget, or it says what makes no sense.
    """
    known = [path.stem for path in (folder / "budgets").glob("*.yaml")]
    if not known:
        raise ConfigError(f"{folder}/budgets holds no budget; run in a checkout, or name it by --benchmarks")
    if name not in known:
        raise unknown_name("--budget", name, known)
    path = folder / "budgets" / f"{name}.yaml"
    content = {"name": name, **read_yaml(path)}
    fields = [f.name for f in dataclasses.fields(Budget)]
    for key in content:
        if key not in fields:
            raise unknown_name(str(path), key, fields)
    for key in fields:
        if key not in content:
            raise ConfigError(f"{path} lacks {key!r}; {known} are examples")
    _check(content, path)
    return Budget(**content)


def _check(content: dict[str, Any], path: Path) -> None:
    if "default" not in content["seeds"]:
        raise ConfigError(f"{path}: seeds lacks 'default', e.g. default: [1, 2, 3]")
    for backbone, seeds in content["seeds"].items():
        if not seeds or len(set(seeds)) != len(seeds) or not all(isinstance(s, int) for s in seeds):
            raise ConfigError(f"{path}: seeds of {backbone} must be different whole numbers, found {seeds}")
    for key, least in (("threads", 1), ("dynamics_steps", 0), ("lammps_steps", 1)):
        if not isinstance(content[key], int) or content[key] < least:
            raise ConfigError(f"{path}: {key} must be a whole number of at least {least}")
    if not isinstance(content["controls"], bool):
        raise ConfigError(f"{path}: controls must be true or false, found {content['controls']!r}")
    if content["device"] not in ("cpu", "cuda"):
        raise unknown_name(f"{path}: device", content["device"], ("cpu", "cuda"))
    for name, sizes in content["data"].items():
        if set(sizes) != {"train", "val", "test"} or not all(isinstance(n, int) for n in sizes.values()):
            raise ConfigError(
                f"{path}: data of {name} needs whole numbers train, val and test, found {sizes}"
            )
    for config, overrides in content["settings"].items():
        for override in overrides:
            if not isinstance(override, str) or not (override.startswith("~") or "=" in override):
                raise ConfigError(f"{path}: settings of {config} are key=value, found {override!r}")
