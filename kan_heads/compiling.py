"""Compile a trained model with ``nequip-compile``, its B-spline layers frozen, and check the result."""

import contextlib
import dataclasses
import difflib
import logging
import os
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

import torch
from torch import Tensor

from kan_heads._compat import load_aotinductor
from kan_heads.compile_gate import COMPARED, compare, energy_shifts
from kan_heads.errors import ConfigError, DataError, ModelError, first_line, known_cause, unknown_name
from kan_heads.global_state import nequip_state
from kan_heads.kan.freeze import FreezeReport, freeze
from kan_heads.loading import check_device
from kan_heads.quiet import quiet

SUFFIXES = {"aotinductor": ".nequip.pt2", "torchscript": ".nequip.pth"}

Say = Callable[[str], contextlib.AbstractContextManager]


@dataclasses.dataclass(frozen=True)
class CompileResult:
    """What :func:`compile_model` did.

    Args:
        freezing: the layers frozen and left; ``None`` if it was not asked for.
        note: why nothing could be frozen, or empty.
        untrained: types of atoms that no training structure held, see :func:`untrained_types`.
        differences: largest absolute difference from the original by field; empty if not compared.
        relative: the same relative to the largest absolute value of the field, or for energies to that of
            the interaction, without per-type shifts.
        n_atoms: atoms of the structure that was compared.
    """

    freezing: Optional[FreezeReport]
    note: str
    untrained: Tuple[str, ...]
    differences: Dict[str, float]
    relative: Dict[str, float]
    n_atoms: int


def compile_model(
    source: str,
    output: str,
    mode: str = "aotinductor",
    device: str = "cpu",
    target: Optional[str] = None,
    freezing: bool = True,
    say: Say = contextlib.nullcontext,
) -> CompileResult:
    """Compiles a trained model by ``nequip-compile`` with the modifier ``freeze_kan``.

    Args:
        source: a checkpoint of ``nequip-train`` or a package of ``nequip-package``.
        output: file to write, ``*.nequip.pt2`` (aotinductor) or ``*.nequip.pth`` (torchscript).
        mode: ``aotinductor`` or ``torchscript``.
        device: ``cpu`` or ``cuda``.
        target: what will load the file, e.g. ``ase``, ``pair_allegro``, ``pair_nequip``; ``None`` stands for
            ``ase``, and for a model of a tensor for that tensor, its only target.
        freezing: turn B-spline layers into polynomials where that is faster.
        say: context manager around each long stage, called with its name.

    Returns:
        What was frozen, and how far the compiled model is from the original on a training structure.

    Raises:
        ConfigError: if an option is unknown or does not fit another.
        ModelError: if the file is missing or no model, or the compiled model differs.
    """
    _check_options(source, output, mode, device)
    with say("Starting nequip"):
        from nequip.scripts import compile as program
    targets = program.COMPILE_TARGET_DICT
    # A slip of the pen need not wait for the model; whether a tensor's name fits, only the model tells.
    if target not in (None, *targets) and difflib.get_close_matches(target, targets, cutoff=0.8):
        raise unknown_name("--target", target, targets)
    _check_versions(mode)
    return _compile(source, output, mode, device, target, freezing, say)


@nequip_state()
def _compile(
    source: str, output: str, mode: str, device: str, target: Optional[str], freezing: bool, say: Say
) -> CompileResult:
    from nequip.model.modify_utils import get_all_modifiers
    from nequip.scripts import compile as program

    targets = program.COMPILE_TARGET_DICT
    with say("Loading the model and a training structure"), quiet(logging.WARNING):
        model, data = _load(source)
    target = _fitting_target(target, model)
    original = _evaluate(model, data, targets[target], device)
    shifts = energy_shifts(model, targets[target]["data_settings"](dict(data))["atom_types"])
    report, note, untrained = None, "", tuple(untrained_types(model))
    if freezing:
        available = "freeze_kan" in get_all_modifiers(model)
        report = freeze(model)
        if report.frozen and not available:
            note = "the package is older than freezing; package the checkpoint again"
            report = None
    model_dtype = model.model_dtype
    del model
    arguments = [source, output, "--mode", mode, "--device", device]
    arguments += ["--target", target] if mode == "aotinductor" else []
    arguments += ["--modifiers", "freeze_kan"] if report is not None and report.frozen else []
    with say(f"Compiling with {mode}; this takes a minute or so"), quiet(logging.WARNING):
        try:
            program.main(arguments)
        except Exception as error:
            raise ModelError(f"nequip-compile failed on {source}: {first_line(error)}") from error
    if mode != "aotinductor":
        return CompileResult(report, note, untrained, {}, {}, 0)
    with say("Comparing with the original"), quiet(logging.WARNING):
        found = _evaluate(_compiled(output, targets[target]), data, targets[target], device)
    differences, relative = compare(output, original, found, model_dtype, shifts)
    return CompileResult(report, note, untrained, differences, relative, data["pos"].shape[0])


def _check_options(source: str, output: str, mode: str, device: str) -> None:
    if mode not in SUFFIXES:
        raise unknown_name("--mode", mode, SUFFIXES)
    if not source.startswith("nequip.net:") and not os.path.isfile(source):
        raise ModelError(f"{source}: no such file; give a checkpoint (.ckpt) or a package (.nequip.zip)")
    if not output.endswith(SUFFIXES[mode]):
        raise ConfigError(f"{output}: the name of a model compiled with {mode} must end in {SUFFIXES[mode]}")
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise ConfigError(f"{output}: there is no folder {folder}; make it first")
    check_device(device)


def _fitting_target(target: Optional[str], model: torch.nn.Module) -> str:
    """Chooses the target of a model, or checks that the chosen one fits."""
    from nequip.scripts import compile as program

    from kan_heads.etgnn.targets import find_network, register_target

    network = find_network(model)
    if network is None:
        target = target or "ase"
        if target not in program.COMPILE_TARGET_DICT:
            raise unknown_name("--target", target, program.COMPILE_TARGET_DICT)
        return target
    field = network.tensor_field
    if target not in (None, field):
        raise ConfigError(f"--target: {target} does not fit; this model predicts {field}: leave --target out")
    return register_target(field)


def _check_versions(mode: str) -> None:
    from nequip.utils.versions import _TORCH_GE_2_10

    if mode == "torchscript" and _TORCH_GE_2_10:
        raise ConfigError(
            f"--mode: nequip compiles to torchscript only up to torch 2.9, here is {torch.__version__}; "
            "use aotinductor"
        )


def _load(source: str) -> Tuple[Any, Dict[str, Tensor]]:
    """Returns the eager model and a structure of its training data."""
    from nequip.model.saved_models import load_saved_model

    try:
        model, data = load_saved_model(source, return_data_dict=True)
    except Exception as error:
        ours = known_cause(error)
        if ours is not None:
            raise DataError(
                f"{source}: is loaded with a structure of its training data, and: {ours}; or package it "
                "where the data are (nequip-package build), and compile the package"
            ) from error
        raise ModelError(
            f"{source}: cannot be loaded as a checkpoint or package of the nequip framework together with "
            f"a structure of its training data ({first_line(error)})"
        ) from error
    return model, data


def untrained_types(model: torch.nn.Module) -> List[str]:
    """Returns the types of atoms that no training structure held, so that a model knows nothing of them.

    Statistics of the training data give such a type of a potential the scale or shift NaN; to one of an ETGNN
    model, which would carry NaN on to its neighbours, the data's manager gives 0.

    Args:
        model: any model of the nequip framework.
    """
    from kan_heads.etgnn.targets import find_network

    names = list(getattr(model, "type_names", ()))
    network = find_network(model)
    if network is not None:
        lost = [network.per_type_shifts == 0.0]
    else:
        modules = [m for m in model.modules() if type(m).__name__ == "PerTypeScaleShift"]
        lost = [torch.isnan(values) for m in modules for values in (m.scales, m.shifts)]
    found: Set[str] = set()
    for mask in lost:
        if mask.numel() == len(names) and not mask.all():  # else, none was taken from data
            found.update(name for name, gone in zip(names, mask.reshape(-1).tolist(), strict=True) if gone)
    return [name for name in names if name in found]


def _compiled(path: str, target: Dict[str, Any]) -> torch.nn.Module:
    from nequip.nn.compile import DictInputOutputWrapper

    loaded = load_aotinductor(path)
    return DictInputOutputWrapper(loaded, target["input"], target["output"])


def _evaluate(model: Any, data: Dict[str, Tensor], target: Dict[str, Any], device: str) -> Dict[str, Tensor]:
    """Returns energies and forces, or a tensor, of the structure in the form that the target passes it."""
    data = target["data_settings"](dict(data))
    inputs = {key: data[key].to(device) for key in target["input"]}
    if isinstance(model, torch.nn.Module):
        model = model.to(device)
    outputs = model(inputs)
    names = [name for name in COMPARED if name in target["output"]] or target["output"]
    return {name: outputs[name].detach().cpu() for name in names}
