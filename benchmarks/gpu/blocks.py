"""Blocks on their own against the MLP that they replace, eager and compiled."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from benchmarks.gpu.compare import MLP, compare
from benchmarks.gpu.log import OK, Log
from benchmarks.gpu.tracing import Compiled, compiled
from kan_heads.kan import KAN, KANConfig
from kan_heads.speed.blocks import make_mlp, steps

Widths = tuple[int, ...]
BASES = ("bspline", "gaussian", "chebyshev", "fourier")
PHASES = ("inference", "train")
#: Widths of the KAN, and of the MLP that it is compared with.
BLOCKS: tuple[tuple[Widths, Widths], ...] = (
    ((64, 1), (64, 32, 1)),
    ((64, 8, 1), (64, 32, 1)),
    ((64, 32, 1), (64, 32, 1)),
    ((192, 128, 128), (192, 128, 128)),
)
_EAGER, _COMPILED = "blocks, eager", "blocks, compiled"
_ROWS, _FEW_ROWS = (2_000, 20_000, 200_000), (200, 2_000)
_TRACED_ROWS = 2_000
_ROUNDS, _FEW_ROUNDS = 25, 3
#: How far a compiled block may be from the eager one, relative to its largest value.
_TOLERANCE = 1e-4


class Blocks:
    """Measures blocks; MLPs are compiled once and serve several.

    Args:
        log: takes the rows.
        small: few rows and few repetitions.
    """

    def __init__(self, log: Log, small: bool) -> None:
        self._log = log
        self._rows = _FEW_ROWS if small else _ROWS
        self._rounds = _FEW_ROUNDS if small else _ROUNDS
        self._mlps: dict[Widths, Compiled | None] = {}

    def eager(self, widths: Widths, mlp: Widths) -> None:
        """Measures a block of every basis as torch runs it, operation by operation."""
        for rows in self._rows:
            x = self._inputs(rows, widths[0])
            models = {MLP: _make(MLP, mlp, x), **{basis: _make(basis, widths, x) for basis in BASES}}
            work = {name: steps(model, x) for name, model in models.items()}
            for phase in PHASES:
                self._compare(_EAGER, {name: w[phase] for name, w in work.items()}, widths, rows, phase)

    def compiled(self, widths: Widths, mlp: Widths, bases: tuple[str, ...] = BASES) -> None:
        """Measures the same blocks compiled as nequip compiles models."""
        if mlp not in self._mlps:
            self._mlps[mlp] = self._compile(MLP, mlp)
        for basis in bases:
            models = {MLP: self._mlps[mlp], basis: self._compile(basis, widths)}
            if None in models.values():
                continue
            for rows in self._rows:
                x = self._inputs(rows, widths[0])
                work = {name: model.steps(x) for name, model in models.items()}
                for phase in PHASES:
                    self._compare(
                        _COMPILED, {name: w[phase] for name, w in work.items()}, widths, rows, phase
                    )

    def compile_all(self, widths: Widths, mlp: Widths, half: int) -> None:
        """Compiles the MLP and blocks of half of the bases, so that they lie in the cache."""
        models = [(MLP, mlp), *((basis, widths) for basis in BASES)]
        for name, mine in models[:3] if half == 0 else models[3:]:
            self._compile(name, mine)

    def _compare(self, section: str, work: dict, widths: Widths, rows: int, phase: str) -> None:
        about = {"widths": list(widths), "rows": rows, "phase": phase}
        compare(self._log, section, work, about, self._rounds, memory=phase == "train")
        self._log.release()

    def _compile(self, name: str, widths: Widths) -> Compiled | None:
        about = {"widths": list(widths), "quantity": "compiled equals eager"}
        made = self._log.attempt(_COMPILED, name, lambda: self._compile_now(name, widths), **about)
        if made is None:
            return None
        block, error, seconds = made
        about |= {"error": error, "tolerance": _TOLERANCE, "compile_s": seconds}
        self._log.row(_COMPILED, name, OK if error <= _TOLERANCE else "wrong", **about)
        return block

    def _compile_now(self, name: str, widths: Widths) -> tuple[Compiled, float, float]:
        began = time.perf_counter()
        x = self._inputs(_TRACED_ROWS, widths[0])
        model = _make(name, widths, x)
        block = compiled(model, x)
        work = block.steps(x)
        work["train"]()
        _, found = work["inference"]()
        seconds = time.perf_counter() - began
        at = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(model(at).sum(), at)
        return block, float((found - expected).abs().max() / expected.abs().max()), seconds

    def _inputs(self, rows: int, features: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(rows, features, generator=generator, dtype=torch.float32).to(self._log.device)


def _make(name: str, widths: Widths, x: Tensor) -> torch.nn.Module:
    model = make_mlp(list(widths)) if name == MLP else KAN(widths, KANConfig(basis=name))
    return model.to(x)
