"""The cases, declared as data: blocks on their own, and whole models."""

from __future__ import annotations

from dataclasses import dataclass

#: What is done with a block or a model, see :mod:`kan_heads.speed.blocks`.
PHASES = ("forward", "forces", "train", "inference")

#: A shape is (rows, features).
Shape = tuple[int, int]
READOUT_SHAPES: tuple[Shape, ...] = (
    (71, 64),
    (2_000, 64),
    (20_000, 64),
    (5_000, 128),
    (20_000, 128),
    (50_000, 64),
)
QUICK_SHAPES: tuple[Shape, ...] = ((71, 64), (2_000, 64), (20_000, 64))


@dataclass(frozen=True)
class BlockCase:
    """A KAN against an MLP, each on its own.

    Args:
        name: as in the output.
        kan_hidden: hidden widths of the KAN.
        mlp_hidden: hidden widths of the MLP.
        out: number of outputs.
        shapes: rows and features that are measured.
        quick_shapes: those of ``--quick``.
        fixed_features: ``--features`` does not apply.
        reference: time the plain definition too, see :mod:`kan_heads.speed.reference`.
        rivals: time other libraries too, see :mod:`kan_heads.speed.rivals`.
    """

    name: str
    kan_hidden: tuple[int, ...]
    mlp_hidden: tuple[int, ...] = (32,)
    out: int = 1
    shapes: tuple[Shape, ...] = READOUT_SHAPES
    quick_shapes: tuple[Shape, ...] = QUICK_SHAPES
    fixed_features: bool = False
    reference: bool = False
    rivals: bool = False

    def kan_widths(self, features: int) -> list[int]:
        """Widths of the KAN from input to output."""
        return [features, *self.kan_hidden, self.out]

    def mlp_widths(self, features: int) -> list[int]:
        """Widths of the MLP from input to output."""
        return [features, *self.mlp_hidden, self.out]


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
            is measured and called as :func:`kan_heads.speed.nequip_models.build_pair` is.
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


BLOCK_CASES = (
    BlockCase("readout-1layer", kan_hidden=(), reference=True, rivals=True),
    BlockCase("readout-2layer-8", kan_hidden=(8,)),
    BlockCase("readout-2layer-32", kan_hidden=(32,), rivals=True),
    BlockCase(
        "latent",
        kan_hidden=(128,),
        mlp_hidden=(128,),
        out=128,
        shapes=((5_000, 192),),
        quick_shapes=((5_000, 192),),
        fixed_features=True,
    ),
)

_KAN = "training_module.model.kan"
_ONE_LAYER = (f"{_KAN}.basis={{basis}}", f"+{_KAN}.hidden=[]")
_NEQUIP_PAIR = "kan_heads.speed.nequip_models:build_pair"
_ETGNN_PAIR = "kan_heads.speed.etgnn_models:build_pair"
_MACE_PAIR = "kan_heads.speed.mace_models:build_pair"
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

CASE_NAMES = tuple(case.name for case in (*BLOCK_CASES, *MODEL_CASES))
