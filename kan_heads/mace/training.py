"""What ``mace_run_train --kan`` does between building a model and training it."""

import argparse
import logging
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch

from kan_heads.errors import ConfigError
from kan_heads.mace.arguments import check_without_kan, settings_from
from kan_heads.mace.calibration import calibrate, calibration_frames
from kan_heads.mace.models import ScaleShiftMACE, record_of, restore, to_kan
from kan_heads.swap import kans_of


def configure(
    model: torch.nn.Module, args: argparse.Namespace, train_loader: Any, foundation: Optional[torch.nn.Module]
) -> torch.nn.Module:
    """Turns the model that MACE has built into a KAN model; the patched ``configure_model`` calls this.

    Args:
        model: the model; parts of it may be where the foundation model is.
        args: MACE's arguments with those of :func:`kan_heads.mace.arguments.add_arguments`.
        train_loader: MACE's loader; only its data set is read, so no random state moves.
        foundation: the model of ``--foundation_model``, if any.

    Returns:
        The same model, unchanged where neither ``--kan`` nor the foundation model asks for KANs.

    Raises:
        ConfigError: if options contradict each other or the checkpoint to restart from.
        ModelError: if the model cannot hold KANs.
    """
    inherited = isinstance(foundation, ScaleShiftMACE)
    if not args.kan:
        check_without_kan(args)
    if inherited and args.kan:
        _check_foundation(foundation, args)
    if args.kan or inherited:
        if getattr(args, "lora", False):
            raise ConfigError("--lora trains parts of linear maps only and freezes KANs; leave out --lora")
        model.to(args.device)
        if inherited:
            restore(model, foundation)
        else:
            model = _new_kans(model, args, train_loader, foundation is not None)
    elif args.kan_freeze_backbone:
        raise ConfigError("--kan_freeze_backbone needs --kan, or a foundation model that holds KANs")
    if getattr(args, "restart_latest", False):
        _check_checkpoints(model, args)
    if isinstance(model, ScaleShiftMACE):
        if args.kan_freeze_backbone:
            _freeze_backbone(model)
        _report(model, args.kan_freeze_backbone)
    return model


def _new_kans(model: torch.nn.Module, args: Any, train_loader: Any, trained: bool) -> ScaleShiftMACE:
    from e3nn import o3

    settings = settings_from(args)
    keep = trained or settings.preset == "recommended"
    model = to_kan(model, settings, o3.Irreps(args.MLP_irreps).count((0, 1)), keep_function=keep)
    if settings.calibrate:
        calibrate(model, calibration_frames(train_loader.dataset))
    return model


def _check_foundation(foundation: ScaleShiftMACE, args: argparse.Namespace) -> None:
    """Stops where the options ask for other KANs than the foundation model has."""
    settings = foundation.kan_settings()
    its, mine = settings.record(), settings_from(args).for_features(settings.features).record()
    if its != mine:
        raise ConfigError(
            f"--kan: the foundation model has KANs {its}, these options ask for {mine}; leave out --kan and "
            "its options to go on with those it has"
        )


def _check_checkpoints(model: torch.nn.Module, args: argparse.Namespace) -> None:
    """Stops before MACE reads weights of other functions: it would swallow the error and begin anew."""
    mine = model.kan_settings().record() if isinstance(model, ScaleShiftMACE) else None
    for path in _latest_checkpoints(args):
        try:
            its = record_of(torch.load(path, map_location="cpu", weights_only=False)["model"])
        except Exception as error:  # a torn file can fail in any way
            raise ConfigError(
                f"--restart_latest: {path} cannot be read ({type(error).__name__}); remove it, to restart "
                "from the one before, if MACE kept it (--keep_checkpoints), or to begin anew"
            ) from error
        if its != mine:
            found, expected = (record or "no KANs" for record in (its, mine))
            raise ConfigError(
                f"--restart_latest: {path} has {found}, this run has {expected}; give the options of that "
                "run, or another --name"
            )


def _latest_checkpoints(args: argparse.Namespace) -> List[Path]:
    """Returns those that MACE may restart from: the last of each stage."""
    from mace.tools.utils import get_tag

    tag = re.escape(get_tag(args.name, args.seed))
    last: Dict[str, Tuple[int, Path]] = {}
    for path in Path(args.checkpoints_dir).glob("*.pt"):
        match = re.fullmatch(rf"{tag}_epoch-(\d+)(_swa)?\.pt", path.name)
        if match:
            epoch, stage = int(match[1]), match[2] or ""
            last[stage] = max(last.get(stage, (epoch, path)), (epoch, path))
    return [path for _, path in last.values()]


def _freeze_backbone(model: ScaleShiftMACE) -> None:
    trainable = {id(p) for p in model.readouts.parameters()}
    trainable.update(id(p) for kan in kans_of(model).values() for p in kan.parameters())
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trainable)


def _report(model: ScaleShiftMACE, frozen: bool) -> None:
    settings, kans = model.kan_settings(), kans_of(model)
    options = ", ".join(f"{name}: {value}" for name, value in settings.to_dict().items())
    n_parameters = sum(p.numel() for kan in kans.values() for p in kan.parameters())
    logging.info(f"KAN: {options}")
    for path, kan in kans.items():
        logging.info(f"KAN: {path}: {kan.dims}")
    rest = "; the backbone is frozen" if frozen else ""
    logging.info(f"KAN: {n_parameters} parameters in {len(kans)} KANs{rest}")
