"""Measure what KAN layers cost: against the MLPs that they replace, and against their plain definition."""

from kan_heads.speed.config import SpeedConfig
from kan_heads.speed.pipeline import run
from kan_heads.speed.rows import Row

__all__ = ["Row", "SpeedConfig", "run"]
