"""What the scripts of this folder share: runs of programs, each recorded once."""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kan_heads.machine import machine

ROOT = pathlib.Path(__file__).parents[1]


def run(program: str, *words: object) -> None:
    """Runs a program of this environment on one thread; its last lines are shown if it fails."""
    command = [str(pathlib.Path(sys.executable).parent / program), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}")


def recorded(path: pathlib.Path, row: str, options: Any, make: Callable[[], dict]) -> dict:
    """Returns the record of a run; it is made, and timed, only if there is none yet.

    Args:
        path: where the record lies.
        row: name of the configuration.
        options: what the run changes in it; a record with others is not overwritten.
        make: does the run and returns what it measured.
    """
    if path.exists():
        record = json.loads(path.read_text())
        if record["options"] != options:
            sys.exit(f"{path} was made with other options; remove it to repeat the run")
        return record
    began = time.perf_counter()
    record = {
        "row": row,
        "options": options,
        **make(),
        "wall_s": round(time.perf_counter() - began, 1),
        "device": "1 thread of " + machine()["cpu"],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return record


def spread(values: list[float], digits: int) -> str:
    """Formats the mean, with the standard deviation where there is more than one value."""
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"
