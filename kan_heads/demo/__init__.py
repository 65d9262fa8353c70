"""The demonstration: train two readouts, compile one, run dynamics with it, show what came out.

Example:
    >>> from kan_heads.demo import Settings, run
    >>> results = run(Settings(out="demo", epochs=2, train=20))  # doctest: +SKIP
"""

from kan_heads.demo.pipeline import run
from kan_heads.demo.progress import Progress
from kan_heads.demo.settings import Settings

__all__ = ["Progress", "Settings", "run"]
