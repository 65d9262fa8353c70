"""Makes rows out of times."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from kan_heads.kan.backends.native.library import describe
from kan_heads.machine import machine
from kan_heads.speed.config import TimingConfig
from kan_heads.speed.rows import MLP, Row, Who
from kan_heads.speed.timing import Timing, ratio_error


class Recorder:
    """Knows what all rows of a run share.

    Args:
        config: of the run.
    """

    def __init__(self, config: TimingConfig) -> None:
        self._shared = {
            "dtype": config.dtype,
            "device": config.device,
            "threads": torch.get_num_threads(),
            "host": host(config.device),
            "torch": torch.__version__,
            "kernels": _kernels(config),
        }

    def row(
        self,
        who: Who,
        phase: str,
        timing: Timing,
        others: Mapping[Who, Timing],
        peaks: Mapping[Who, int],
        *,
        case: str,
        rows: int,
        features: int,
        data: str | None = None,
        structures: int | None = None,
    ) -> Row:
        """Makes a row.

        Args:
            who: the model.
            phase: what it did.
            timing: how long that took.
            others: times of all models in this phase.
            peaks: bytes of memory where they were measured.
            case: name of the case.
            rows: rows of the input.
            features: columns of the input.
            data: data set of a whole model.
            structures: structures in its batch.
        """
        model, basis = who
        mlp, definition = others.get(MLP), others.get(("reference", basis))
        turned = mlp is not None and who != MLP and len(mlp.turns) == len(timing.turns)
        return Row(
            case=case,
            basis=basis,
            rows=rows,
            phase=phase,
            median_ms=1e3 * timing.median,
            ratio_to_mlp=timing.median / mlp.median if mlp else None,
            ratio_to_reference=timing.median / definition.median if definition else None,
            peak_mb=1e-6 * peaks[who] if who in peaks else None,
            features=features,
            model=model,
            repeats=timing.repeats,
            ratio_error=ratio_error(timing, mlp) if turned else None,
            data=data,
            structures=structures,
            **self._shared,
        )


def _kernels(config: TimingConfig) -> str:
    return describe(getattr(torch, config.dtype)) if config.device == "cpu" else "torch formulas"


def host(device: str) -> str:
    """Name of the processor, or of the graphics processor."""
    return torch.cuda.get_device_name() if device == "cuda" else machine()["cpu"]
