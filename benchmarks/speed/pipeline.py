"""One run of the measurement of whole models, case after case."""

from __future__ import annotations

import gc

from benchmarks.speed.config import ModelSpeedConfig
from kan_heads.progress import Progress
from kan_heads.speed.rows import Row


def run(config: ModelSpeedConfig, progress: Progress | None = None) -> list[Row]:
    """Measures every case.

    Args:
        config: what and how long.
        progress: hears how it goes.

    Returns:
        One row for each case, model and phase.

    Raises:
        ConfigError: a setting is not as it must be, or a case asked for by name cannot be measured.
    """
    progress = Progress() if progress is None else progress
    config.check()
    from benchmarks.speed import models
    from kan_heads.speed.recorder import Recorder
    from kan_heads.speed.timing import torch_threads

    cases = [case for case in config.model_cases if models.check_available(case, config, progress)]
    groups = [(case, basis) for case in cases for basis in config.model_bases]
    rows: list[Row] = []
    with progress.stage("measuring", len(groups)), torch_threads(config.threads):
        record = Recorder(config)
        for number, (case, basis) in enumerate(groups):
            progress.step(number, f"{case.name}, {basis}")
            gc.collect()  # here, because it rests while the clock runs
            rows += models.measure(case, basis, config, record, progress)
    return rows
