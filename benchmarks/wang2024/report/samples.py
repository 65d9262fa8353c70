"""Samples: the values of one quantity over the seeds, and how two samples compare."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

#: Fewer seeds than this are marked, and no claim is judged by them.
LEAST_SEEDS = 3
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Sample:
    """Values of one quantity, one for each seed.

    Args:
        values: the values; ``None`` where a run diverged.
    """

    values: tuple[float | None, ...]

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Sample | None:
        """A sample of values; what is not finite has diverged, and nothing at all is no sample."""
        cleaned = tuple(v if v is not None and math.isfinite(v) else None for v in values)
        return cls(cleaned) if cleaned else None

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def finite(self) -> tuple[float, ...]:
        """The values that are numbers."""
        return tuple(v for v in self.values if v is not None)

    @property
    def diverged(self) -> int:
        """Number of seeds that diverged."""
        return self.n - len(self.finite)

    @property
    def mean(self) -> float | None:
        """Mean; ``None`` if any seed diverged, since the mean of the others would flatter."""
        return None if self.diverged else fmean(self.finite)

    @property
    def sd(self) -> float | None:
        """Standard deviation with n - 1; ``None`` for one seed, or if any diverged."""
        return None if self.diverged or self.n < 2 else stdev(self.finite)


def relative_change(value: Sample | None, baseline: Sample | None) -> float | None:
    """Change of the mean against that of the baseline in %; ``None`` where there is none."""
    if value is None or baseline is None or value.mean is None or not baseline.mean:
        return None
    return 100 * (value.mean - baseline.mean) / abs(baseline.mean)


def welch_interval(value: Sample, baseline: Sample) -> tuple[float, float]:
    """95 % interval of the difference of two means, value less baseline, by Welch.

    Two samples without any spread have an interval without width.

    Args:
        value: at least two finite values.
        baseline: at least two finite values.

    Source: B. L. Welch, Biometrika 34, 28 (1947).
    """
    from scipy.stats import t

    difference = value.mean - baseline.mean
    parts = [sample.sd**2 / sample.n for sample in (value, baseline)]
    variance = sum(parts)
    if not variance:
        return difference, difference
    freedom = variance**2 / sum(p**2 / (s.n - 1) for p, s in zip(parts, (value, baseline), strict=True))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, freedom)) * math.sqrt(variance)
    return difference - half, difference + half
