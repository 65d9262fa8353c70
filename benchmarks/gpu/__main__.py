"""Checks KANs on a graphics processor and measures them, in a few minutes; a failure is a row of the record.

    python -m benchmarks.gpu [--device cuda] [--minutes 8] [--out FILE.jsonl]

``make gpu-wheels`` collects what a machine without a network lacks, ``make gpu`` runs this.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

# One folder for all that is compiled, that can be written to whatever the home is; before torch is imported.
_SCRATCH = tempfile.mkdtemp(prefix="kan-heads-gpu-")
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{_SCRATCH}/inductor")
os.environ.setdefault("TRITON_CACHE_DIR", f"{_SCRATCH}/triton")
os.environ.setdefault("KAN_HEADS_CACHE", f"{_SCRATCH}/kan-heads")
os.environ.setdefault("MPLCONFIGDIR", f"{_SCRATCH}/matplotlib")

from benchmarks.gpu.log import Log  # noqa: E402
from benchmarks.gpu.summary import summary  # noqa: E402

_GRACE = 20.0  # seconds after the end at which a run that hangs is ended


def main() -> None:
    """Runs everything, the most important first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long the whole may take")
    parser.add_argument("--out", type=Path, help="file of the rows, one line of JSON each")
    parser.add_argument("--small", action="store_true", help="a rehearsal: few cases, few repetitions")
    options = parser.parse_args()
    log = Log(options.minutes, options.device, options.out)
    _end_in_any_case(log)
    for name, part in _parts(log, options.small):
        log.say(name)
        log.attempt("run", name, part)
        log.release()
    print(f"\n{summary(log.rows)}", flush=True)


def _parts(log: Log, small: bool) -> list[tuple[str, Callable[[], object]]]:
    """The parts of the run by name, in the order of their importance."""
    from benchmarks.gpu.blocks import BLOCKS, Blocks
    from benchmarks.gpu.checks import check

    blocks = Blocks(log, small)
    one, *wider = BLOCKS
    return [
        ("layers against the definition", lambda: check(log, small)),
        ("one layer, eager", lambda: blocks.eager(*one)),
        ("one layer, compiled", lambda: blocks.compiled(*one)),
        *((f"{list(block[0])}, eager", lambda b=block: blocks.eager(*b)) for block in wider),
        *((f"{list(block[0])}, compiled", lambda b=block: blocks.compiled(*b)) for block in wider),
    ]


def _end_in_any_case(log: Log) -> None:
    """Ends a run that hangs in something that no signal interrupts, with the table of what is known."""

    def end() -> None:
        print(f"\n{summary(log.rows)}\n\nThe run hung and was ended.", flush=True)
        os._exit(1)

    timer = threading.Timer(log.left + _GRACE, end)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    sys.exit(main())
