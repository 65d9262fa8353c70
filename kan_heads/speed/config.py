"""What a measurement does, checked before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.speed.cases import BLOCK_CASES, BlockCase, Shape

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "cuda")
_SECONDS, _QUICK_SECONDS = 0.35, 0.15
_ROUNDS, _QUICK_ROUNDS = 9, 5


@dataclasses.dataclass(frozen=True)
class TimingConfig:
    """What measurements of layers and of whole models share.

    Args:
        cases: names of the cases; None is all of them.
        bases: names of the bases.
        dtype: ``float32`` or ``float64``.
        device: ``cpu`` or ``cuda``.
        threads: threads of torch; None keeps torch's number.
        seconds: time for one figure; a step that takes longer runs a few times all the same.
        quick: less time for each figure.
    """

    cases: tuple[str, ...] | None = None
    bases: tuple[str, ...] | None = None
    dtype: str = "float32"
    device: str = "cpu"
    threads: int | None = None
    seconds: float | None = None
    quick: bool = False

    def check(self, cases: Iterable[str]) -> None:
        """Raises ConfigError where a name is unknown or a number makes no sense.

        Args:
            cases: names of the cases that there are.
        """
        from kan_heads.kan import basis_names

        _check_names("--cases", self.cases, tuple(cases))
        _check_names("--basis", self.bases, basis_names())
        _check_names("--dtype", (self.dtype,), DTYPES)
        _check_names("--device", (self.device,), DEVICES)
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads {self.threads} must be at least 1")
        if self.seconds is not None and not 0.0 <= self.seconds < float("inf"):
            raise ConfigError(f"--seconds {self.seconds} must be a number of seconds, not negative")
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise ConfigError("--device cuda: torch finds no CUDA device here; use --device cpu")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        import torch

        return getattr(torch, self.dtype)

    @property
    def rounds(self) -> int:
        """How often the competitors of a figure take turns."""
        return _QUICK_ROUNDS if self.quick else _ROUNDS

    @property
    def slice_seconds(self) -> float:
        """How long a competitor runs at each of its turns, if not just once."""
        default, rounds = (_QUICK_SECONDS, _QUICK_ROUNDS) if self.quick else (_SECONDS, _ROUNDS)
        return (default if self.seconds is None else self.seconds) / rounds


@dataclasses.dataclass(frozen=True)
class SpeedConfig(TimingConfig):
    """Which layers are measured, and how long.

    Args:
        cases: names of the cases; None is all of them.
        bases: names of the bases; None is all of them.
        dtype: ``float32`` or ``float64``.
        device: ``cpu`` or ``cuda``.
        threads: threads of torch; None keeps torch's number.
        seconds: time for one figure; a step that takes longer runs a few times all the same.
        quick: a few shapes and less time each.
        rows: numbers of rows in place of those of the cases.
        features: numbers of features of the readouts in place of theirs.
    """

    rows: tuple[int, ...] | None = None
    features: tuple[int, ...] | None = None

    def check(self) -> None:
        """Raises ConfigError where a name is unknown or a number makes no sense."""
        super().check(case.name for case in BLOCK_CASES)
        for name in ("rows", "features"):
            if any(number < 1 for number in getattr(self, name) or ()):
                raise ConfigError(f"--{name} {min(getattr(self, name))} must be at least 1")

    @property
    def block_cases(self) -> list[BlockCase]:
        """The blocks that are measured."""
        return [case for case in BLOCK_CASES if self.cases is None or case.name in self.cases]

    @property
    def block_bases(self) -> list[str]:
        """The bases of the blocks."""
        from kan_heads.kan import basis_names

        return list(self.bases or basis_names())

    def shapes(self, case: BlockCase) -> list[Shape]:
        """Rows and features that a case is measured at."""
        shapes = case.quick_shapes if self.quick else case.shapes
        if self.rows is None and (self.features is None or case.fixed_features):
            return list(shapes)
        if case.fixed_features:
            return [(n, shapes[0][1]) for n in self.rows or ()]
        return [(n, m) for m in self.features or (64,) for n in self.rows or (20_000,)]


def _check_names(option: str, found: Iterable[str] | None, valid: Iterable[str]) -> None:

    for name in found or ():
        if name not in valid:
            raise unknown_name(option, name, valid)
