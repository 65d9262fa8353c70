"""One run of the measurement, case after case."""

from __future__ import annotations

import gc

from kan_heads.progress import Progress
from kan_heads.speed.config import SpeedConfig
from kan_heads.speed.rows import Row


def run(config: SpeedConfig, progress: Progress | None = None) -> list[Row]:
    """Measures every case.

    Args:
        config: what and how long.
        progress: hears how it goes.

    Returns:
        One row for each case, shape, model and phase.

    Raises:
        ConfigError: a setting is not as it must be.
    """
    progress = Progress() if progress is None else progress
    config.check()
    from kan_heads.speed import blocks, rivals
    from kan_heads.speed.recorder import Recorder
    from kan_heads.speed.timing import torch_threads

    groups = [(case, shape) for case in config.block_cases for shape in config.shapes(case)]
    if any(case.rivals for case in config.block_cases):
        for rival in rivals.rivals_of(config.block_bases):
            if not rivals.installed(rival):
                progress.note(f"{rival.name} is not timed: not installed; {rival.remedy}")
    rows: list[Row] = []
    with progress.stage("measuring", len(groups)), torch_threads(config.threads):
        record = Recorder(config)
        for number, (case, shape) in enumerate(groups):
            progress.step(number, f"{case.name}, {shape[0]:,} rows x {shape[1]} features")
            gc.collect()  # here, because it rests while the clock runs
            rows += blocks.measure(case, shape, config, record, progress)
    return rows
