"""Which whole models are measured, and how long."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks.speed.cases import MODEL_CASES, ModelCase
from kan_heads.speed.config import TimingConfig

_BASES = ("bspline",)
# A step of a whole model takes a second, and differences of one per cent matter.
_ROUNDS, _QUICK_ROUNDS = 21, 9


@dataclasses.dataclass(frozen=True)
class ModelSpeedConfig(TimingConfig):
    """Which whole models are measured, and how long.

    Args:
        cases: names of the cases; None is all of them.
        bases: names of the bases; None is ``bspline``.
        dtype: ``float32`` or ``float64``.
        device: ``cpu`` or ``cuda``.
        threads: threads of torch; None keeps torch's number.
        seconds: time for one figure; a step that takes longer runs a few times all the same.
        quick: less time for each figure.
        configs: folder of the configurations; None is the one of the checkout.
    """

    configs: str | Path | None = None

    def check(self) -> None:
        """Raises ConfigError where a name is unknown or a number makes no sense."""
        super().check(case.name for case in MODEL_CASES)

    @property
    def model_cases(self) -> list[ModelCase]:
        """The whole models that are measured."""
        return [case for case in MODEL_CASES if self.cases is None or case.name in self.cases]

    @property
    def model_bases(self) -> list[str]:
        """The bases of their KANs."""
        return list(self.bases or _BASES)

    @property
    def rounds(self) -> int:
        """How often the models of a figure take turns."""
        return _QUICK_ROUNDS if self.quick else _ROUNDS
