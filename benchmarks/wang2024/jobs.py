"""Jobs: one training or one run of dynamics each, and how they follow from tables and a budget."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.wang2024.budget import Budget
from benchmarks.wang2024.table import Table, read_yaml
from kan_heads.errors import ConfigError, first_line


@dataclass(frozen=True)
class Job:
    """A run.

    Args:
        kind: ``training`` (with errors and the gate) or ``dynamics`` (in LAMMPS, with the model of the
            training of the same configuration and seed).
        config: configuration below ``configs``, without ``.yaml``.
        seed: seed.
        data: data set of the table.
        budget: budget.
    """

    kind: str
    config: str
    seed: int
    data: str
    budget: Budget

    @property
    def name(self) -> str:
        """Name of its record and its folder."""
        prefix = "lammps-" if self.kind == "dynamics" else ""
        return f"{prefix}{self.config.replace('/', '-')}-seed{self.seed}"

    @property
    def backbone(self) -> str:
        """``allegro``, ``nequip``, ``mace`` or ``etgnn``."""
        return self.config.split("/")[0]

    @property
    def sizes(self) -> dict[str, int]:
        """Frames to train, validate and test on."""
        return self.budget.data[self.data]

    @property
    def overrides(self) -> list[str]:
        """What the budget changes in the configuration."""
        return self.budget.overrides(self.config)

    @property
    def training(self) -> Job:
        """The training whose model it uses."""
        return Job("training", self.config, self.seed, self.data, self.budget)

    def settings_sha256(self, configs: Path) -> str:
        """Checksum of everything but seed and frames that decides what it does, the same for all its seeds.

        Comments and paths do not count.
        """
        content = {
            "kind": self.kind,
            "config": composed(configs, self.config, tuple(self.overrides)),
            "sizes": self.sizes,
            "threads": self.budget.threads,
            "dynamics_steps": self.budget.dynamics_steps,
            "device": self.budget.device,
        }
        if self.kind == "dynamics":
            content["lammps_steps"] = self.budget.lammps_steps
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def jobs_of(tables: Iterable[Table], budget: Budget, seeds: list[int] | None = None) -> list[Job]:
    """The jobs of tables, each once; all rows of one seed before the next seed, trainings first.

    Args:
        tables: declared tables.
        budget: budget.
        seeds: only these; ``None`` is all of the budget.

    Raises:
        ConfigError: the budget does not know a data set, or has none of the seeds.
    """
    found: dict[Job, None] = {}
    for table in tables:
        if not any(row.config for row in table.rows):
            continue
        if table.data not in budget.data:
            raise ConfigError(f"the budget {budget.name} says nothing of the data set {table.data}")
        kinds = ("training", "dynamics") if table.kind == "dynamics" else ("training",)
        rows = [row for row in table.rows if row.config and (budget.controls or not row.control)]
        for config in (row.config for row in rows):
            for seed in budget.seeds_of(config):
                if seeds is None or seed in seeds:
                    found |= dict.fromkeys(Job(kind, config, seed, table.data, budget) for kind in kinds)
    if seeds is not None and not found:
        raise ConfigError(
            f"--seeds {', '.join(map(str, seeds))}: the budget {budget.name} has {budget.seeds}"
        )
    return sorted(
        found, key=lambda job: (job.kind == "dynamics", budget.seeds_of(job.config).index(job.seed))
    )


@functools.cache
def composed(configs: Path, config: str, overrides: tuple[str, ...]) -> Any:
    """A configuration with its overrides as plain lists and mappings, interpolations left as they are.

    Raises:
        ConfigError: the file is missing or an override does not fit.
    """
    if config.startswith("mace/"):
        for override in overrides:
            if "=" not in override:
                raise ConfigError(f"{config}: an override of MACE is key=value, found {override!r}")
        return {**read_yaml(configs / f"{config}.yaml"), **dict(o.split("=", 1) for o in overrides)}
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(configs.absolute()), version_base=None):
            return OmegaConf.to_container(compose(config, overrides=list(overrides)), resolve=False)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{config} with {' '.join(overrides)}: {first_line(error)}") from error
