"""Run the stock programs in processes of their own, and say in one line why one failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kan_heads.errors import ModelError

_POLL_S = 0.2
_NOT_TELLING = re.compile(r"^(Set the environment variable|Epoch \d|Validation |[\s\W_]*$|.*━)")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_program(
    program: str,
    arguments: Sequence[str],
    log: Path,
    look: Callable[[int], None] = lambda pid: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs a program that lies beside this Python, with its output in ``log``.

    Args:
        program: name of the program.
        arguments: its arguments.
        log: file for its output.
        look: called with the process's number every 0.2 s while it runs and once after.
        environment: variables to set for it.

    Raises:
        ModelError: the program is missing or failed.
    """
    # Not resolved: the programs of a virtual environment lie beside the link, not beside its target.
    path = Path(sys.executable).parent / program
    if not path.is_file():
        extras = "mace" if program.startswith("mace_") else "allegro"
        raise ModelError(f"{path} does not exist; run: pip install 'kan-heads[{extras},bench]'")
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*_tether(), str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            while process.poll() is None:
                look(process.pid)
                time.sleep(_POLL_S)
            look(process.pid)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise ModelError(f"{program} was killed by {name}; did memory run out? (log: {log})")
    if process.returncode != 0:
        raise ModelError(f"{program} failed: {last_line(log)} (log: {log})")


def last_line(log: Path) -> str:
    """The line of a log that tells best why a program stopped: its last error, else its last words."""
    text = _ANSI.sub("", log.read_text(encoding="utf-8", errors="replace")).replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if not _NOT_TELLING.match(line.strip())]
    errors = [
        line for line in lines if re.match(r"(kan-heads: error:|[\w.]*(Error|Exception|Interrupt)\b)", line)
    ]
    chosen = (errors or lines or ["it wrote nothing"])[-1]
    return chosen.removeprefix("kan-heads: error: ")


def _tether() -> list[str]:
    """What to put before a command so that it ends with this process."""
    # A parent that is killed must not leave a training that writes into the next one's folder.
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("tether.py")), str(os.getpid())]
