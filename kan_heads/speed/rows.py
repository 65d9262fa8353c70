"""One line of the results."""

from __future__ import annotations

import dataclasses
from typing import Any

#: Who is measured: what it is ("kan", "mlp", ...) and its basis.
Who = tuple[str, str | None]
MLP: Who = ("mlp", None)


@dataclasses.dataclass(frozen=True)
class Row:
    """One measured figure, as ``--json`` writes it.

    Args:
        case: name of the case.
        basis: basis of the KAN; None for an MLP.
        rows: rows of the block's input; for whole models, rows that enter the readouts.
        dtype: precision.
        device: ``cpu`` or ``cuda``.
        threads: torch's threads.
        phase: one of :data:`kan_heads.speed.cases.PHASES`.
        median_ms: median time of a step in milliseconds.
        ratio_to_mlp: that time over the MLP's, from the same run.
        ratio_to_reference: that time over the plain definition's; None where that was not measured.
        peak_mb: largest memory, in 10^6 bytes, that a training step holds at once beyond what was
            there before; None for other phases.
        features: columns of the input.
        model: ``kan``, ``mlp``, ``reference``, or the name of another library.
        repeats: how many steps the median is taken over.
        ratio_error: standard error of ``ratio_to_mlp``, from its scatter between rounds; None where
            the two did not take turns.
        data: data set of a whole model; None for blocks.
        host: name of the processor, or of the graphics processor.
        torch: version of torch.
        kernels: what the KAN layers of kan-heads ran on.
        structures: structures in the batch of a whole model; None for blocks, and in older results.
    """

    case: str
    basis: str | None
    rows: int
    dtype: str
    device: str
    threads: int
    phase: str
    median_ms: float
    ratio_to_mlp: float | None
    ratio_to_reference: float | None
    peak_mb: float | None
    features: int
    model: str
    repeats: int
    ratio_error: float | None
    data: str | None
    host: str
    torch: str
    kernels: str
    structures: int | None = None

    @property
    def structures_per_second(self) -> float | None:
        """Structures that the step gets through in a second."""
        return None if self.structures is None else 1e3 * self.structures / self.median_ms

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data, floats with six significant digits."""
        plain = dataclasses.asdict(self)
        return {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in plain.items()}
