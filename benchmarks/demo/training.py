"""Train and compile with nequip's own programs, watch them, and keep what is finished."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.demo.records import finish_record, read_json, read_record, start_record, write_json
from benchmarks.programs import run_program
from kan_heads.data.folder import digest
from kan_heads.errors import ModelError
from kan_heads.machine import machine

LOG = "nequip-train.log"
_FORCE = "val0_epoch/forces_mae"
_ENERGY = "val0_epoch/per_atom_energy_mae"


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, what it recorded, and whether it was there already."""

    folder: Path
    record: dict[str, Any]
    reused: bool

    @property
    def checkpoint(self) -> Path:
        """The checkpoint with the best validation error."""
        return self.folder / "best.ckpt"


def train(
    folder: Path,
    config: str,
    configs: Path,
    data: Path,
    n_epochs: int,
    seed: int,
    force: bool = False,
    on_epoch: Callable[[int, float], None] = lambda done, mae: None,
) -> Run:
    """Trains with ``nequip-train``, or takes the finished run that is there.

    ``run.json`` holds the settings from the start and ``done`` only at the end, so a run that was
    killed counts as unfinished and starts anew.

    Seconds per epoch are the times between the moments at which the validation row of one epoch and
    of the next appear in ``metrics.csv``, which is looked at every 0.2 s. The first epoch counts from
    nequip's log line "TRAIN RUN START"; it holds the warm-up of TorchScript, so that medians leave it out.

    Args:
        folder: folder of the run.
        config: configuration below ``configs``, without ``.yaml``.
        configs: absolute path of the configurations.
        data: folder that ``benchmarks.datasets.prepare`` wrote.
        n_epochs: epochs.
        seed: seed.
        force: train even if a finished run with these settings exists.
        on_epoch: called with the epochs done and the validation force MAE in eV/Angstrom.

    Raises:
        ModelError: ``nequip-train`` failed; the message has its last line and the path of its log.
        ConfigError: ``folder`` holds what this function did not write.
    """
    settings = {
        "config": config,
        "n_epochs": n_epochs,
        "seed": seed,
        "configs_sha256": _configs_digest(configs, config),
        "data": json.loads((data / "split.json").read_text(encoding="utf-8"))["files"],
    }
    done = read_record(folder, settings)
    if done is not None and (folder / "best.ckpt").is_file() and not force:
        return Run(folder, done, reused=True)
    start_record(folder, settings)
    overrides = {
        "n_epochs": n_epochs,
        "seed": seed,
        "data_dir": _quoted(data.absolute()),
        "hydra.run.dir": _quoted(folder.absolute()),
    }
    arguments = ["-cp", str(configs), "-cn", config, *(f"{k}={v}" for k, v in overrides.items())]
    clock = EpochClock(folder, n_epochs, on_epoch)
    where = machine()
    began = time.monotonic()
    run_program("nequip-train", arguments, folder / LOG, lambda pid: clock.look())
    seconds = time.monotonic() - began
    history = validation_history(folder / "metrics.csv")
    best = history.pop(n_epochs, None)  # nequip validates the best checkpoint after the last epoch
    if best is None or not history:
        raise ModelError(
            f"nequip-train left no validation errors in {folder}/metrics.csv; see {folder / LOG}"
        )
    record = {
        "machine": where,
        "seconds": round(seconds, 3),
        "epoch_seconds": [round(s, 3) for s in clock.seconds()],
        "validation_force_mae_eV_per_A": [history[e][0] for e in sorted(history)],
        "validation_energy_mae_meV_per_atom": [history[e][1] for e in sorted(history)],
        "best_validation_force_mae_eV_per_A": best[0],
        "best_validation_energy_mae_meV_per_atom": best[1],
    }
    finish_record(folder, record)
    return Run(folder, record, reused=False)


def compile_model(run: Run, force: bool = False) -> tuple[Path, float]:
    """Compiles the checkpoint of a run for ASE with ``nequip-compile``, unless that was done already.

    Returns:
        Path of the compiled model, and the seconds that it took to make.

    Raises:
        ModelError: ``nequip-compile`` failed.
    """
    import torch

    target, note = run.folder / "kan.nequip.pt2", run.folder / "compile.json"
    about = {"checkpoint_sha256": digest(run.checkpoint), "torch": torch.__version__}
    old = read_json(note)
    if not force and target.is_file() and all(old.get(k) == v for k, v in about.items()):
        return target, old["seconds"]
    note.unlink(missing_ok=True)
    target.unlink(missing_ok=True)
    options = ["--mode", "aotinductor", "--target", "ase", "--device", "cpu"]
    began = time.monotonic()
    arguments = [str(run.checkpoint.absolute()), str(target.absolute()), *options]
    run_program("nequip-compile", arguments, run.folder / "nequip-compile.log")
    seconds = round(time.monotonic() - began, 3)
    write_json(note, about | {"seconds": seconds})
    return target, seconds


def validation_history(metrics: Path) -> dict[int, tuple[float, float]]:
    """Validation errors of the finished epochs: force MAE in eV/Angstrom, energy MAE in meV/atom.

    A file that is being written, or does not exist yet, gives what can be read of it.
    """
    history = {}
    try:
        with metrics.open(newline="", encoding="utf-8") as f:
            for row in csv.DictReader(f):
                if row.get(_FORCE) and row.get(_ENERGY):
                    history[int(row["epoch"])] = (float(row[_FORCE]), 1000 * float(row[_ENERGY]))
    except (OSError, ValueError, csv.Error):
        pass
    return history


class EpochClock:
    """Notes when epochs end, see :func:`train`."""

    def __init__(
        self,
        folder: Path,
        n_epochs: int,
        on_epoch: Callable[[int, float], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._n_epochs, self._on_epoch, self._now = folder, n_epochs, on_epoch, now
        self._start: float | None = None
        self._stamps: list[float] = []

    def look(self) -> None:
        """Looks for new epochs."""
        if self._start is None and not self._started():
            return
        history = validation_history(self._folder / "metrics.csv")
        finished = sorted(e for e in history if e < self._n_epochs)
        if len(finished) > len(self._stamps):
            self._stamps += [self._now()] * (len(finished) - len(self._stamps))
            self._on_epoch(len(finished), history[finished[-1]][0])

    def _started(self) -> bool:
        log = self._folder / LOG
        if log.is_file() and "TRAIN RUN START" in log.read_text(encoding="utf-8", errors="replace"):
            self._start = self._now()
        return self._start is not None

    def seconds(self) -> list[float]:
        """Seconds of each epoch."""
        marks = [self._start or 0.0, *self._stamps]
        return [b - a for a, b in itertools.pairwise(marks)]


def _configs_digest(configs: Path, config: str) -> str:
    h = hashlib.sha256()
    for path in [configs / f"{config}.yaml", *sorted((configs / "parts").rglob("*.yaml"))]:
        h.update(path.relative_to(configs).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return h.hexdigest()


def _quoted(path: Path) -> str:
    escaped = str(path).replace("'", "\\'")  # hydra's grammar
    return f"'{escaped}'"
