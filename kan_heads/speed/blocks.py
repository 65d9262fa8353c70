"""Blocks on their own: KANs, the MLP, the plain definition and other libraries at one shape."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kan_heads.errors import first_line
from kan_heads.kan import KAN, KANConfig
from kan_heads.progress import Progress
from kan_heads.speed.cases import PHASES, BlockCase, Shape
from kan_heads.speed.config import SpeedConfig
from kan_heads.speed.memory import peak_bytes
from kan_heads.speed.recorder import Recorder
from kan_heads.speed.reference import DEFINITIONS, reference
from kan_heads.speed.rivals import installed, rivals_of
from kan_heads.speed.rows import MLP, Row, Who
from kan_heads.speed.timing import Step, Timing, take_turns

_SLOW_PHASES = ("train", "inference")
_SLOW_ROUNDS = 3
# A plain definition takes a hundred times as long as the MLP and keeps a hundred times the input.
_LARGEST_REFERENCE = 20_000 * 64
_RIVAL_SHAPE = (2_000, 64)


def steps(model: torch.nn.Module, x: Tensor) -> dict[str, Step]:
    """What is done with a block, by phase.

    - ``forward``: values, no gradient.
    - ``forces``: energy and forces as training needs them, ready to be differentiated again.
    - ``train``: that, a loss on both, and its gradient by the input and by every parameter.
    - ``inference``: energy and forces with frozen parameters, as a deployed model has them.

    Args:
        model: maps (rows, features) to (rows, out); its energy is the sum of the output.
        x: input, shape (rows, features).
    """
    parameters = list(model.parameters())
    frozen = copy.deepcopy(model).requires_grad_(False)

    def energy_and_forces(block: torch.nn.Module, again: bool) -> tuple[Tensor, Tensor]:
        at = x.detach().requires_grad_()
        energy = block(at).sum()
        (slope,) = torch.autograd.grad(energy, at, create_graph=again)
        return energy, slope

    def forward() -> None:
        with torch.no_grad():
            model(x)

    def train() -> None:
        for parameter in parameters:
            parameter.grad = None
        energy, slope = energy_and_forces(model, again=True)
        (slope.square().mean() + energy.square()).backward()

    return {
        "forward": forward,
        "forces": lambda: energy_and_forces(model, again=True),
        "train": train,
        "inference": lambda: energy_and_forces(frozen, again=False),
    }


def make_mlp(widths: list[int]) -> torch.nn.Sequential:
    """The MLP of the stock models: linear maps without bias, SiLU in between."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [torch.nn.SiLU(), torch.nn.Linear(n_in, n_out, bias=False)]
    return torch.nn.Sequential(*layers[1:])


def measure(
    case: BlockCase, shape: Shape, config: SpeedConfig, record: Recorder, progress: Progress
) -> list[Row]:
    """Measures one case at one shape.

    Args:
        case: what is compared.
        shape: rows and features.
        config: bases, precision, device and time.
        record: knows the rest of a row.
        progress: hears which figure is being measured.

    Returns:
        One row for each model and phase.
    """
    rows, features = shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(rows, features).to(config.device, config.torch_dtype)
        kans = {b: KAN(case.kan_widths(features), KANConfig(basis=b)) for b in config.block_bases}
        fast = {MLP: make_mlp(case.mlp_widths(features)), **{("kan", b): m for b, m in kans.items()}}
    fast = {who: model.to(x) for who, model in fast.items()}
    rivals = _rivals(case, x, config, progress)
    slow = {**_references(case, kans, shape), **rivals}
    work = {who: steps(model, x) for who, model in {**fast, **slow}.items()}
    for who in rivals:
        _drop_failing(who, work, progress)

    times: dict[str, dict[Who, Timing]] = {}
    for phase in PHASES:
        progress.detail(f"{phase} of the MLP and {len(kans)} KANs")
        chosen = {who: work[who][phase] for who in fast}
        times[phase] = take_turns(chosen, config.device, config.rounds, config.slice_seconds)
    for phase in _SLOW_PHASES:
        chosen = {who: work[who][phase] for who in slow if phase in work[who]}
        if chosen:
            progress.detail(f"{phase} of {_names(chosen)}")
            slower = take_turns(chosen, config.device, _SLOW_ROUNDS, config.slice_seconds)
            times[phase].update(slower)
    progress.detail("memory of a training step")
    peaks = {who: peak_bytes(work[who]["train"], config.device) for who in times["train"]}

    about = {"case": case.name, "rows": rows, "features": features}
    return [
        record.row(who, phase, timing, times[phase], peaks if phase == "train" else {}, **about)
        for phase in PHASES
        for who, timing in times[phase].items()
    ]


def _references(case: BlockCase, kans: dict[str, KAN], shape: Shape) -> dict[Who, torch.nn.Module]:
    if not case.reference or shape[0] * shape[1] > _LARGEST_REFERENCE:
        return {}
    return {("reference", b): reference(kan) for b, kan in kans.items() if b in DEFINITIONS}


def _rivals(case: BlockCase, x: Tensor, config: SpeedConfig, progress: Progress) -> dict[Who, Any]:
    shapes = config.shapes(case)
    nearest = min(shapes, key=lambda s: abs(s[0] - _RIVAL_SHAPE[0]) + abs(s[1] - _RIVAL_SHAPE[1]))
    if not case.rivals or tuple(x.shape) != nearest:
        return {}
    found: dict[Who, Any] = {}
    for rival in rivals_of(config.block_bases):
        if not installed(rival):
            continue
        try:
            found[rival.name, rival.basis] = rival.make(case.kan_widths(x.shape[1]), KANConfig()).to(x)
        except Exception as error:  # whatever another library raises
            progress.note(f"{rival.name} is not timed: {first_line(error, limit=160)}")
    return found


def _drop_failing(who: Who, work: dict[Who, dict[str, Step]], progress: Progress) -> None:
    """Forgets what another library cannot do, such as a second derivative."""
    for phase in _SLOW_PHASES:
        try:
            work[who][phase]()
        except Exception as error:  # whatever another library raises
            progress.note(f"{who[0]}: {phase} is not timed, it fails: {first_line(error, limit=160)}")
            del work[who][phase]


def _names(chosen: dict[Who, Callable[[], object]]) -> str:
    return ", ".join(name if name != "reference" else f"{basis} by definition" for name, basis in chosen)
