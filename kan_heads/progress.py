"""What something long says while it lasts: a listener that keeps silent, and the bar in a terminal."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

PATIENCE_S = 2.0
"""A bar that appears for less than this would only flicker."""

T = TypeVar("T")


class Progress:
    """Hears how something long goes; this one keeps silent, a subclass shows it."""

    def stage(self, text: str, total: int | None = None) -> contextlib.AbstractContextManager[object]:
        """Lasts as long as a stage of ``total`` steps, or of a length that is not known."""
        return contextlib.nullcontext()

    def step(self, number: int, what: str = "") -> None:
        """Called at each step of a stage."""

    def detail(self, text: str) -> None:
        """Called within a step that takes long."""

    def note(self, text: str) -> None:
        """Called with a fact that the user should know."""


class Bar:
    """A bar on standard error that appears once two seconds have passed, if that is a terminal.

    Args:
        what: text beside the bar.
        total: where it ends, if that is known.
        in_bytes: show amounts of data and their speed.
    """

    def __init__(self, what: str = "", total: int | None = None, in_bytes: bool = False) -> None:
        self._in_bytes, self._bar = in_bytes, None
        self._begin(what, total)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def update(self, done: int, what: str | None = None, total: int | None = None) -> None:
        """Shows that ``done`` items or bytes are there.

        Args:
            done: how many.
            what: another text than before begins a bar anew.
            total: where that one ends.
        """
        if what is not None and what != self._what:
            self._begin(what, total)
        if self._bar is None:
            if time.monotonic() - self._start < PATIENCE_S:
                return
            self._bar = self._appear()
            if self._bar is None:
                self._start = math.inf
                return
        self._bar.update(self._task, completed=done)

    def _begin(self, what: str, total: int | None) -> None:
        self._end()
        self._what, self._total = what, total
        self._start = time.monotonic()

    def _end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _appear(self) -> Any:
        """Returns a bar of rich that stands in the terminal; None where there is no terminal."""
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        console = Console(stderr=True)
        if not console.is_terminal:
            return None
        text = TextColumn("{task.description}")
        columns = (text, DownloadColumn(), TransferSpeedColumn()) if self._in_bytes else ()
        bar = Progress(*columns, console=console, transient=not self._in_bytes)
        bar.start()
        self._task = bar.add_task(self._what, total=self._total)
        return bar


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields the items and shows a :class:`Bar` meanwhile.

    Args:
        items: what to loop over.
        what: text beside the bar.
        total: number of items, if it is known.
    """
    with Bar(what, total) as bar:
        for done, item in enumerate(items):
            bar.update(done)
            yield item
