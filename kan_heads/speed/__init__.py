"""Measure what KANs cost: against the MLPs that they replace, and against their plain definition."""

from kan_heads.speed.pipeline import run
from kan_heads.speed.progress import Progress
from kan_heads.speed.rows import Row
from kan_heads.speed.settings import Settings

__all__ = ["Progress", "Row", "Settings", "run"]
