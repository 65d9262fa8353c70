"""The demonstration: train two readouts, compile one, run dynamics with it, show what came out.

Example:
    >>> from benchmarks.demo import DemoConfig, run
    >>> results = run(DemoConfig(out="demo", epochs=2, train=20))  # doctest: +SKIP
"""

from benchmarks.demo.config import DemoConfig
from benchmarks.demo.pipeline import run

__all__ = ["DemoConfig", "run"]
