"""The cases, declared as data: whole models with KANs against the same models without."""

from __future__ import annotations

from dataclasses import dataclass

# Data sets and configurations have names of their own.
_CONFIG_OF = {"hfo2": "hfo2", "ag": "ag", "ag-emt": "ag", "sio2": "sio2", "cristobalite": "sio2"}


@dataclass(frozen=True)
class ModelCase:
    """A whole model with KANs against the same model without.

    Args:
        name: as in the output.
        package: module that must be importable.
        extra: extra of kan-heads that installs it.
        build: function that makes the pair of models, ``"module:name"``; it is imported when the case
            is measured and called as :func:`benchmarks.speed.nequip_models.build_pair` is.
        overrides: options of the model with KANs, hydra overrides or arguments of ``mace_run_train``;
            ``{basis}`` is filled in.
        systems: data sets, the preferred first; the first that is at hand is taken, or the last.
        shared_overrides: options of both models.
        mlp: configuration of the model with MLPs, below ``configs/``; ``{system}`` is filled in. Empty
            where options say it all.
        kan: configuration of the model with KANs.
        most_rounds: how often the models take turns at most; None leaves it to the settings.
    """

    name: str
    package: str
    extra: str
    build: str
    overrides: tuple[str, ...]
    systems: tuple[str, ...]
    shared_overrides: tuple[str, ...] = ()
    mlp: str = ""
    kan: str = ""
    most_rounds: int | None = None

    def configs(self, system: str) -> list[str]:
        """Names of both configurations, or none, for a data set."""
        return [name.format(system=_CONFIG_OF[system]) for name in (self.mlp, self.kan) if name]


_KAN = "training_module.model.kan"
_ONE_LAYER = (f"{_KAN}.basis={{basis}}", f"+{_KAN}.hidden=[]")
_NEQUIP_PAIR = "benchmarks.speed.nequip_models:build_pair"
_ETGNN_PAIR = "benchmarks.speed.etgnn_models:build_pair"
_MACE_PAIR = "benchmarks.speed.mace_models:build_pair"
# Everything else is the default of mace_run_train.
_MACE_SIZE = ("--num_channels=32", "--max_L=1", "--r_max=4.0")

MODEL_CASES = (
    ModelCase(
        name="allegro-output",
        package="allegro",
        extra="allegro",
        build=_NEQUIP_PAIR,
        mlp="allegro/{system}-mlp",
        kan="allegro/{system}-output-gaussian",
        overrides=_ONE_LAYER,
        systems=("hfo2", "ag-emt"),
    ),
    ModelCase(
        name="allegro-all",
        package="allegro",
        extra="allegro",
        build=_NEQUIP_PAIR,
        mlp="allegro/{system}-mlp",
        kan="allegro/{system}-all-gaussian",
        overrides=(f"{_KAN}.basis={{basis}}",),
        systems=("hfo2", "ag-emt"),
    ),
    ModelCase(
        name="nequip-output",
        package="nequip",
        extra="nequip",
        build=_NEQUIP_PAIR,
        mlp="nequip/{system}-mlp",
        kan="nequip/{system}-output-bspline",
        overrides=_ONE_LAYER,
        systems=("ag", "ag-emt"),
    ),
    ModelCase(
        name="mace-output",
        package="mace",
        extra="mace",
        build=_MACE_PAIR,
        overrides=("--kan_basis={basis}",),
        systems=("carbon", "diamond"),
        shared_overrides=_MACE_SIZE,
    ),
    ModelCase(
        name="mace-all",
        package="mace",
        extra="mace",
        build=_MACE_PAIR,
        overrides=("--kan_basis={basis}", "--kan_scope=all"),
        systems=("carbon", "diamond"),
        shared_overrides=_MACE_SIZE,
    ),
    ModelCase(
        name="etgnn-output",
        package="nequip",
        extra="etgnn",
        build=_ETGNN_PAIR,
        mlp="etgnn/{system}-mlp",
        kan="etgnn/{system}-output-bspline-1layer",
        overrides=(f"{_KAN}.basis={{basis}}",),
        systems=("sio2", "cristobalite"),
        most_rounds=9,  # of ten seconds on one thread, so they scatter little
    ),
)
