"""The settings of a measurement, checked before anything runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kan_heads.errors import ConfigError
from kan_heads.speed.cases import BLOCK_CASES, CASE_NAMES, MODEL_CASES, BlockCase, ModelCase, Shape

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float64")
DEVICES = ("cpu", "cuda")
#: What whole models are measured with unless bases are named; blocks are measured with all.
_MODEL_BASES = ("bspline",)
_SECONDS, _QUICK_SECONDS = 0.35, 0.15
_ROUNDS, _QUICK_ROUNDS = 9, 5
# A step of a whole model takes a second, and differences of one per cent matter.
_MODEL_ROUNDS, _QUICK_MODEL_ROUNDS = 21, 9


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how long.

    Args:
        cases: names of the cases; None is all of them.
        bases: names of the bases; None is all of them for blocks and ``bspline`` for whole models.
        rows: numbers of rows in place of those of the cases.
        features: numbers of features of the readouts in place of theirs.
        dtype: ``float32`` or ``float64``.
        device: ``cpu`` or ``cuda``.
        threads: threads of torch; None keeps torch's number.
        seconds: time for one figure; a step that takes longer runs a few times all the same.
        quick: a few shapes and less time each.
        end_to_end: measure whole models too.
        configs: folder of the configurations; None is the one of the checkout.
    """

    cases: tuple[str, ...] | None = None
    bases: tuple[str, ...] | None = None
    rows: tuple[int, ...] | None = None
    features: tuple[int, ...] | None = None
    dtype: str = "float32"
    device: str = "cpu"
    threads: int | None = None
    seconds: float | None = None
    quick: bool = False
    end_to_end: bool = True
    configs: str | Path | None = None

    def check(self) -> None:
        """Raises ConfigError where a name is unknown or a number makes no sense."""
        from kan_heads.kan import basis_names

        _check_names("--cases", self.cases, CASE_NAMES)
        _check_names("--basis", self.bases, basis_names())
        _check_names("--dtype", (self.dtype,), DTYPES)
        _check_names("--device", (self.device,), DEVICES)
        for name in ("rows", "features"):
            if any(number < 1 for number in getattr(self, name) or ()):
                raise ConfigError(f"--{name} {min(getattr(self, name))} must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads {self.threads} must be at least 1")
        if self.seconds is not None and not 0.0 <= self.seconds < float("inf"):
            raise ConfigError(f"--seconds {self.seconds} must be a number of seconds, not negative")
        if self.cases and not self.end_to_end and set(self.cases) <= {case.name for case in MODEL_CASES}:
            raise ConfigError("--no-end-to-end leaves none of the --cases; name a block or drop the option")
        if self.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise ConfigError("--device cuda: torch finds no CUDA device here; use --device cpu")

    @property
    def block_cases(self) -> list[BlockCase]:
        """The blocks that are measured."""
        return [case for case in BLOCK_CASES if self.cases is None or case.name in self.cases]

    @property
    def model_cases(self) -> list[ModelCase]:
        """The whole models that are measured."""
        wanted = [case for case in MODEL_CASES if self.cases is None or case.name in self.cases]
        return wanted if self.end_to_end else []

    @property
    def block_bases(self) -> list[str]:
        """The bases of the blocks."""
        from kan_heads.kan import basis_names

        return list(self.bases or basis_names())

    @property
    def model_bases(self) -> list[str]:
        """The bases of the whole models."""
        return list(self.bases or _MODEL_BASES)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        import torch

        return getattr(torch, self.dtype)

    @property
    def rounds(self) -> int:
        """How often the models of a figure take turns."""
        return _QUICK_ROUNDS if self.quick else _ROUNDS

    @property
    def model_rounds(self) -> int:
        """The same for whole models."""
        return _QUICK_MODEL_ROUNDS if self.quick else _MODEL_ROUNDS

    @property
    def slice_seconds(self) -> float:
        """How long a model runs at each of its turns, if not just once."""
        default = _QUICK_SECONDS if self.quick else _SECONDS
        return (default if self.seconds is None else self.seconds) / self.rounds

    def shapes(self, case: BlockCase) -> list[Shape]:
        """Rows and features that a case is measured at."""
        shapes = case.quick_shapes if self.quick else case.shapes
        if self.rows is None and (self.features is None or case.fixed_features):
            return list(shapes)
        if case.fixed_features:
            return [(n, shapes[0][1]) for n in self.rows or ()]
        return [(n, m) for m in self.features or (64,) for n in self.rows or (20_000,)]


def _check_names(option: str, found: Iterable[str] | None, valid: Iterable[str]) -> None:
    from kan_heads.kan.config import unknown_name

    for name in found or ():
        if name not in valid:
            raise unknown_name(option, name, valid)
