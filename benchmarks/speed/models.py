"""Whole models: a step of training and one of inference, with KANs and with MLPs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from dataclasses import dataclass

from benchmarks import datasets, find_configs
from benchmarks.speed.cases import ModelCase
from benchmarks.speed.config import ModelSpeedConfig
from kan_heads.errors import ConfigError
from kan_heads.global_state import global_state_kept
from kan_heads.progress import Progress
from kan_heads.speed.memory import peak_bytes
from kan_heads.speed.recorder import Recorder
from kan_heads.speed.rows import MLP, Row, Who
from kan_heads.speed.timing import Step, take_turns

MODEL_PHASES = ("train", "inference")


@dataclass(frozen=True)
class Pair:
    """A model without KANs and the same model with KANs, ready to run on one batch.

    Args:
        mlp: steps of the one by phase: ``train`` (forward, forces, loss, backward, no optimiser) and
            ``inference`` (energy and forces in evaluation mode, parameters frozen); tensors in place of
            energy and forces where the model predicts them.
        kan: steps of the other.
        rows: rows that enter the readouts in that batch.
        features: their features.
        data: data set of the batch.
        structures: structures in it; None where nobody counted.
    """

    mlp: dict[str, Step]
    kan: dict[str, Step]
    rows: int
    features: int
    data: str
    structures: int | None = None


def choose_system(systems: tuple[str, ...]) -> str:
    """Returns the first data set that is at hand; the last one can be made anywhere."""
    for system in systems[:-1]:
        if datasets.availability(datasets.lookup(system)) in ("folder", "cache"):
            return system
    return systems[-1]


def missing(case: ModelCase) -> str | None:
    """Says what a case lacks on this machine, if anything."""
    if importlib.util.find_spec(case.package) is None:
        return f"{case.package} is not installed; pip install 'kan-heads[{case.extra}]'"
    return None


def measure(
    case: ModelCase, basis: str, settings: ModelSpeedConfig, record: Recorder, progress: Progress
) -> list[Row]:
    """Measures one case with one basis.

    Args:
        case: what is compared.
        basis: basis of the KANs.
        settings: precision, device and time.
        record: knows the rest of a row.
        progress: hears which figure is being measured.

    Returns:
        One row for each model and phase.
    """
    kan: Who = ("kan", basis)
    rows = []
    with global_state_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        progress.detail("building both models")
        pair = _build(case, basis, settings)
        about = {"case": case.name, "rows": pair.rows, "features": pair.features}
        about |= {"data": pair.data, "structures": pair.structures}
        rounds = min(settings.rounds, case.most_rounds or settings.rounds)
        for phase in MODEL_PHASES:
            progress.detail(f"{phase} on {pair.data}, KAN and MLP in turn")
            steps = {MLP: pair.mlp[phase], kan: pair.kan[phase]}
            times = take_turns(steps, settings.device, rounds, settings.slice_seconds)
            peaks = {}
            if phase == "train":
                progress.detail("memory of a training step")
                peaks = {who: peak_bytes(step, settings.device) for who, step in steps.items()}
            rows += [record.row(who, phase, t, times, peaks, **about) for who, t in times.items()]
    return rows


def _build(case: ModelCase, basis: str, settings: ModelSpeedConfig) -> Pair:
    module, name = case.build.split(":")
    # Standard output belongs to --json; MACE prints on import.
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(importlib.import_module(module), name)(case, basis, settings)


def check_available(case: ModelCase, settings: ModelSpeedConfig, progress: Progress) -> bool:
    """Tells whether a case can be measured; a note says why not.

    Raises:
        ConfigError: the case was asked for by name.
    """
    reason = missing(case)
    if reason is None:
        try:
            # Now, not after all blocks have been measured.
            find_configs(settings.configs, case.configs(choose_system(case.systems)))
        except ConfigError as error:
            reason = str(error)
    if reason is None:
        return True
    if settings.cases is not None:
        raise ConfigError(f"{case.name}: {reason}")
    progress.note(f"{case.name} is left out: {reason}")
    return False
