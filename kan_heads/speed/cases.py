"""The cases, declared as data: a KAN and the MLP that it replaces, each on its own."""

from __future__ import annotations

from dataclasses import dataclass

#: What is done with a block, see :mod:`kan_heads.speed.blocks`.
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
