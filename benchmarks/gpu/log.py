"""The record of a run: a line of JSON for each row at once, and a clock that says what still fits."""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from kan_heads.errors import first_line

#: The status of a row whose figure is right, or has no right or wrong.
OK = "ok"
SKIPPED = "skipped: time"
_TRACE = 2000  # characters of a traceback that are kept
# Seconds that one attempt may take unless it says otherwise. A busy processor is slow to compile.
_MOST, _MOST_ON_PROCESSOR = 120.0, 900.0
_INSIST = 3.0  # seconds
_LEAST = 3.0  # seconds without which nothing is started


class Log:
    """Records rows and watches the clock.

    Args:
        minutes: how long the run may take.
        device: ``cuda`` or ``cpu``.
        path: file of the rows; None writes none.
    """

    def __init__(self, minutes: float, device: str, path: Path | None) -> None:
        self.device = device
        self.rows: list[dict[str, Any]] = []
        self._start = time.monotonic()
        self._end = self._start + 60.0 * minutes
        self._most = _MOST if device == "cuda" else _MOST_ON_PROCESSOR
        self._limits: list[float] = []
        self._file = None if path is None else path.open("w", encoding="utf-8")
        card = torch.cuda.get_device_name() if device == "cuda" and torch.cuda.is_available() else "none"
        self._about = {"device": device, "card": card, "torch": torch.__version__}

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return self._end - time.monotonic()

    def row(self, section: str, name: str, status: str = OK, **fields: Any) -> None:
        """Writes a row at once, so that a run that is cut off keeps it.

        Args:
            section: part of the run.
            name: what the row is about.
            status: ``ok``, ``wrong``, ``skipped: time`` or ``failed: `` and why.
            **fields: figures, and what tells the row from others of that name.
        """
        row = {"section": section, "name": name, "status": status, **fields}
        self.rows.append(row)
        if self._file is not None:
            plain = {**row, "at_s": round(self.seconds, 1), **self._about}
            self._file.write(json.dumps({key: _short(value) for key, value in plain.items()}) + "\n")
            self._file.flush()
        if status != OK:
            about = ", ".join(str(v) for k, v in fields.items() if k not in ("trace", "error", "tolerance"))
            print(f"{self.seconds:5.0f} s  {section} {name} {about}: {status}", flush=True)

    def say(self, text: str) -> None:
        """Prints a line of progress."""
        print(f"{self.seconds:5.0f} s  {text}", flush=True)

    def attempt(
        self,
        section: str,
        name: str,
        work: Callable[[], Any],
        seconds: float = _LEAST,
        most: float | None = None,
        **about: Any,
    ) -> Any:
        """Does something that may fail, and records that if it does.

        Args:
            section: see :meth:`row`.
            name: see :meth:`row`.
            work: what to do.
            seconds: it is not begun when less time is left.
            most: it is interrupted after so many seconds; if None, after two minutes on a GPU.
            **about: see :meth:`row`.

        Returns:
            What ``work`` returned; None if it failed or was not begun.
        """
        if self.left < seconds:
            self.row(section, name, SKIPPED, **about)
            return None
        most = self._most if most is None else most
        try:
            with self._time_limit(min(most, self.left)):
                return work()
        except (Exception, _OutOfTime) as error:  # whatever a compiler, a driver or another library raises
            reason = first_line(error, limit=300, with_item=True)
            here = f"{Path(__file__).parents[2]}/"  # a record says nothing of where it was made
            trace = traceback.format_exc().replace(here, "")[-_TRACE:]
        # Outside the handler, since the error holds on to the frames and these to their tensors.
        if _OutOfTime.__name__ in reason + trace:  # a compiler may have wrapped it
            late = f"failed: took longer than {most:.0f} s"
            status = SKIPPED if self.left < 1.0 else late
        else:
            status = f"failed: {reason}"
        self.row(section, name, status, **about, trace=trace)
        self.release()
        return None

    def release(self) -> None:
        """Frees what a failed or finished part of the run holds on the device."""
        gc.collect()
        if self.device == "cuda":
            with contextlib.suppress(RuntimeError):
                torch.cuda.empty_cache()

    @contextlib.contextmanager
    def _time_limit(self, seconds: float) -> Iterator[None]:
        """Interrupts Python code, such as a compiler, after so many seconds; limits may be nested."""
        signal.signal(signal.SIGALRM, _interrupt)
        until = time.monotonic() + seconds
        self._limits.append(min([until, *self._limits[-1:]]))
        self._arm()
        try:
            yield
        finally:
            self._limits.pop()
            self._arm()

    def _arm(self) -> None:
        left = max(self._limits[-1] - time.monotonic(), 0.05) if self._limits else 0.0  # 0 turns it off
        signal.setitimer(signal.ITIMER_REAL, left, _INSIST)  # again and again, if something catches it


class _OutOfTime(BaseException):  # not an Exception, which compilers catch to go on otherwise
    """What was attempted takes too long."""


def _interrupt(*_: object) -> None:
    raise _OutOfTime("it takes too long")


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
