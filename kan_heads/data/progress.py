"""A progress bar for what turns out to take long."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

PATIENCE_S = 2.0
"""A bar that appears for less than this would only flicker."""

T = TypeVar("T")


class PatientBar:
    """A rich bar on standard error that appears once two seconds have passed, if that is a terminal.

    Args:
        what: text beside the bar.
        total: where it ends, if that is known.
        in_bytes: show amounts of data and their speed.
    """

    def __init__(self, what: str, total: int | None = None, in_bytes: bool = False) -> None:
        self._what, self._total, self._in_bytes = what, total, in_bytes
        self._start, self._bar = time.monotonic(), None

    def __enter__(self) -> PatientBar:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int) -> None:
        """Shows that ``done`` items or bytes are there."""
        if self._bar is None:
            if time.monotonic() - self._start < PATIENCE_S:
                return
            from rich.console import Console
            from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

            console = Console(stderr=True)
            if not console.is_terminal:
                self._start = math.inf
                return
            text = TextColumn("{task.description}")
            columns = (text, DownloadColumn(), TransferSpeedColumn()) if self._in_bytes else ()
            self._bar = Progress(*columns, console=console, transient=not self._in_bytes)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total)
        self._bar.update(self._task, completed=done)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields the items and shows a :class:`PatientBar` meanwhile.

    Args:
        items: what to loop over.
        what: text beside the bar.
        total: number of items, if it is known.
    """
    with PatientBar(what, total) as bar:
        for done, item in enumerate(items):
            bar.update(done)
            yield item
