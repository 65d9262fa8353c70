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

# One folder for all that is compiled, which can be written to whatever the home is. It is set before torch is
# imported, and the processes that compile ahead inherit it.
_SCRATCH = Path(tempfile.gettempdir()) / f"kan-heads-gpu-{os.getuid()}"
for _name, _folder in (
    ("TORCHINDUCTOR_CACHE_DIR", "inductor"),
    ("TRITON_CACHE_DIR", "triton"),
    ("KAN_HEADS_CACHE", "kan-heads"),
    ("MPLCONFIGDIR", "matplotlib"),
):
    os.environ.setdefault(_name, str(_SCRATCH / _folder))

import torch  # noqa: E402

from benchmarks.gpu.log import Log  # noqa: E402
from benchmarks.gpu.summary import summary  # noqa: E402

_GRACE = 20.0  # seconds after the end at which a run that hangs is ended
_AHEAD = 0.4  # share of the time until which compiling ahead may go on
_MOST_WORKERS = 12  # of some GB each


def main() -> None:
    """Runs everything, the most important first."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long the whole may take")
    parser.add_argument("--out", type=Path, help="file of the rows, one line of JSON each")
    parser.add_argument("--only", action="append", metavar="TEXT", help="parts whose names hold TEXT")
    parser.add_argument("--small", action="store_true", help="a rehearsal: few cases, few repetitions")
    parser.add_argument("--workers", type=int, help="processes that compile ahead; none on the processor")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device here; rehearse with --device cpu --small")
    _register_backbones()
    log = Log(options.minutes, options.device, options.out)
    _end_in_any_case(log)
    log.attempt("run", "settings of nequip", _set_state)
    if options.task is not None:
        from benchmarks.gpu.workers import perform

        os.nice(5)  # the checks that run meanwhile should not wait for the compilers
        perform(options.task, log, options.folder, options.small)
        return
    with tempfile.TemporaryDirectory() as folder:
        _run(log, Path(folder), options.workers, options.small, options.only or [""])
    print(f"\n{summary(log.rows)}", flush=True)


def _register_backbones() -> None:
    """Names the adapters: entry points belong to an installation, which need not be on this machine."""
    from kan_heads.backbones.allegro import AllegroAdapter
    from kan_heads.backbones.mace import MACEAdapter
    from kan_heads.swap import register_adapter

    register_adapter(AllegroAdapter)
    register_adapter(MACEAdapter)


def _set_state() -> None:
    """Sets torch up as nequip does, whatever part of the run comes first."""
    from nequip.utils.global_state import set_global_state

    set_global_state()


def _run(log: Log, folder: Path, most: int | None, small: bool, only: list[str]) -> None:
    from benchmarks.gpu.workers import Workers

    cores = len(os.sched_getaffinity(0))
    if most is None:
        most = 0 if log.device == "cpu" else min(_MOST_WORKERS, max(cores - 3, 1))
    workers = Workers(log, folder, most, small)
    try:
        for name, part in _parts(log, workers, folder, small):
            if not any(text in name for text in only):
                continue
            log.say(name)
            log.attempt("run", name, part, most=float("inf"))
            log.release()
    finally:
        workers.stop()


def _parts(log: Log, workers: object, folder: Path, small: bool) -> list[tuple[str, Callable[[], object]]]:
    """The parts of the run by name, in the order of their importance."""
    from benchmarks.gpu import carbon, dynamics
    from benchmarks.gpu.blocks import BLOCKS, Blocks
    from benchmarks.gpu.checks import check
    from benchmarks.gpu.silver import FIRST, MODELS, Silver

    blocks, silver = Blocks(log, small), Silver(log, small)
    one, *wider = BLOCKS
    rest = tuple(name for name in MODELS if name not in FIRST)
    ahead = _AHEAD * log.left
    return [
        ("layers against the definition", lambda: check(log, small)),
        ("waiting for the compilers", lambda: workers.wait(ahead - log.seconds)),
        ("one layer, eager", lambda: blocks.eager(*one)),
        ("one layer, compiled", lambda: blocks.compiled(*one)),
        ("Allegro, eager", lambda: silver.compare(FIRST, compiled=False)),
        ("Allegro, compiled", lambda: silver.compare(FIRST, compiled=True)),
        *((f"{list(block[0])}, eager", lambda b=block: blocks.eager(*b)) for block in wider),
        ("MACE", lambda: carbon.run(log, small)),
        ("Allegro with more KANs, eager", lambda: silver.compare(rest, compiled=False)),
        *((f"{list(block[0])}, compiled", lambda b=block: blocks.compiled(*b)) for block in wider),
        ("Allegro with more KANs, compiled", lambda: silver.compare(rest, compiled=True)),
        # Last: on one machine AOTInductor crashed on every model, the stock one too, and the process with it.
        ("dynamics with compiled models", lambda: dynamics.run(log, silver, folder, small)),
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
