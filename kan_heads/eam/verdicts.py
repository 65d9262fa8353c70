"""What became of a box of crystal and liquid, and where to start the next one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kan_heads.eam.phases import blocks

# Crystalline shares beyond which one of the two phases counts as gone.
_MELTED, _FROZEN = 0.15, 0.85
# Times the crystal's volume; beyond, the liquid has boiled.
_BOILED = 1.5


def verdict(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Judges one attempt.

    Args:
        found: samples with ``stage``, ``temperature_K``, ``volume_A3``, and the crystalline shares of all
            atoms and of the middle of the melted half.

    Returns:
        ``outcome``: coexistence, frozen, melted, "boiled", or "did not melt" where the half that was to
        melt kept its structure. ``temperature_K`` is the mean of the second half of the run, of its last
        quarter where one phase is left; ``error_K`` is the standard error of five blocks with half the
        drift within them. ``solid_share`` is that of the last quarter; ``settled`` tells whether it moved
        by less than 0.1 since the third.
    """

    def of(stage: str, name: str, share: float = 1.0) -> np.ndarray:
        values = found[name][found["stage"] == stage]
        return values[len(values) - max(1, round(share * len(values))) :]

    solid = of("crystal", "crystalline", 0.5).mean()
    liquid = of("melt", "crystalline_hot", 0.5).mean()
    kept = of("cool", "crystalline_hot", 0.25).mean()
    # Vibrations hide some of a hot crystal, and liquids look crystalline here and there.
    share = (of("coexist", "crystalline") - liquid) / max(solid - liquid, 1e-9)
    quarter = max(1, len(share) // 4)
    now, before = share[-quarter:].mean(), share[-2 * quarter : -quarter].mean()
    kelvin = of("coexist", "temperature_K", 0.5 if _MELTED <= now <= _FROZEN else 0.25)
    mean, spread = blocks(kelvin)
    drift = 0.5 * abs(kelvin[len(kelvin) // 2 :].mean() - kelvin[: len(kelvin) // 2].mean())
    if kept > 0.3 * solid:
        outcome = "did not melt"
    elif of("coexist", "volume_A3").max() > _BOILED * of("crystal", "volume_A3").mean():
        outcome = "boiled"
    elif now < _MELTED:
        outcome = "melted"
    else:
        outcome = "frozen" if now > _FROZEN else "coexistence"
    return {
        "outcome": outcome,
        "temperature_K": float(mean),
        "error_K": float(math.hypot(spread / math.sqrt(5), drift)),
        "solid_share": float(now),
        "settled": bool(abs(now - before) < 0.1),
    }


def one_phase_left(found: dict[str, np.ndarray]) -> bool:
    """Tells whether crystal or liquid has been gone for ten samples, so that nothing more will happen.

    Args:
        found: samples as in :func:`verdict`.
    """
    stage, share = found["stage"], found["crystalline"]
    last = share[stage == "coexist"][-10:]
    if len(last) < 10:
        return False
    solid = share[stage == "crystal"][1:].mean()
    return bool((last > 0.97 * solid).all() or (last < 0.03 * solid).all())


def next_guess(tried: list[dict[str, Any]]) -> float:
    """Chooses where the next attempt starts, K: between the bounds, or a little beyond the only one.

    Where nothing melted it starts there again; more heat is the caller's business.

    Args:
        tried: attempts with ``outcome``, ``guess_K`` and ``temperature_K``, none of them a coexistence.
    """
    last = tried[-1]
    if last["outcome"] == "did not melt":
        return last["guess_K"]
    if last["outcome"] == "boiled":
        return 0.8 * last["guess_K"]
    low = [row["temperature_K"] for row in tried if row["outcome"] == "frozen"]
    high = [row["temperature_K"] for row in tried if row["outcome"] == "melted"]
    if low and high:
        return 0.5 * (max(low) + min(high))
    return 0.95 * min(high) if high else 1.05 * max(low)


def conclusion(tried: list[dict[str, Any]]) -> dict[str, float | bool | None]:
    """Draws from all attempts what :func:`kan_heads.eam.coexistence.melt` returns of the melting point."""
    last = tried[-1]
    found = last["outcome"] == "coexistence"
    lower = [row["temperature_K"] for row in tried if row["outcome"] == "frozen"]
    upper = [row["temperature_K"] for row in tried if row["outcome"] == "melted"]
    return {
        "melting_K": last["temperature_K"] if found else None,
        "error_K": last["error_K"] if found else None,
        "settled": last["settled"] if found else None,
        "lower_K": max(lower, default=None),
        "upper_K": min(upper, default=None),
    }
