"""One run of the measurement, case after case."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from kan_heads.speed.progress import Progress
from kan_heads.speed.rows import Row
from kan_heads.speed.settings import Settings


def run(settings: Settings, progress: Progress | None = None) -> list[Row]:
    """Measures every case.

    Args:
        settings: what and how long.
        progress: hears how it goes.

    Returns:
        One row for each case, shape, model and phase.

    Raises:
        ConfigError: a setting is not as it must be, or a case asked for by name cannot be measured.
    """
    progress = Progress() if progress is None else progress
    settings.check()
    from kan_heads.speed import blocks, models, rivals
    from kan_heads.speed.recorder import Recorder

    whole = [c for c in settings.model_cases if models.check_available(c, settings, progress)]
    block_groups = [(case, shape) for case in settings.block_cases for shape in settings.shapes(case)]
    model_groups = [(case, basis) for case in whole for basis in settings.model_bases]
    if any(case.rivals for case in settings.block_cases):
        for rival in rivals.rivals_of(settings.block_bases):
            if not rivals.installed(rival):
                progress.note(f"{rival.name} is not timed: not installed; {rival.remedy}")
    progress.start(len(block_groups) + len(model_groups))
    rows: list[Row] = []
    with _threads(settings.threads):
        record = Recorder(settings)
        for case, shape in block_groups:
            progress.group(f"{case.name}, {shape[0]:,} rows x {shape[1]} features")
            gc.collect()  # here, because it rests while the clock runs
            rows += blocks.measure(case, shape, settings, record, progress)
        for case, basis in model_groups:
            progress.group(f"{case.name}, {basis}")
            gc.collect()
            rows += models.measure(case, basis, settings, record, progress)
    return rows


@contextlib.contextmanager
def _threads(number: int | None) -> Iterator[None]:
    import torch

    previous = torch.get_num_threads()
    torch.set_num_threads(previous if number is None else number)
    try:
        yield
    finally:
        torch.set_num_threads(previous)
