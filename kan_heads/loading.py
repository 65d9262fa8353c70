"""Reads a trained model from the file that a user has."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from typing import TYPE_CHECKING

from kan_heads.errors import ConfigError, KanHeadsError, ModelError, first_line
from kan_heads.quiet import quiet
from kan_heads.trust import require_trust

if TYPE_CHECKING:
    import torch
    from torch import nn

#: Endings of names: what ``kan-heads compile`` writes, what nequip's programs write, and MACE's models.
COMPILED = (".nequip.pt2", ".nequip.pth")
SAVED = (".ckpt", ".nequip.zip")
MACE = (".model",)
KINDS = "a compiled model (.nequip.pt2), a checkpoint (.ckpt), a package (.nequip.zip) or a MACE .model"

_POTENTIAL = (".json",)
_READABLE = "a checkpoint (.ckpt), a package (.nequip.zip), a MACE .model or a potential (.json)"


def load(path: str | os.PathLike[str], device: str = "cpu", trust: bool = False) -> nn.Module:
    """Loads a trained model in eager mode, to look at its KANs, change them or go on with them.

    .. code-block:: python

        from kan_heads.swap import kans_of

        model = kan_heads.load("best.ckpt")
        kans = kans_of(model)  # by module path

    The classes of a model from a package are copies of ours: compare them by name.

    Args:
        path: a checkpoint of ``nequip-train``, a package of ``nequip-package``, a ``.model`` of
            ``mace_run_train``, or a potential of ``kan-heads eam train`` (.json). Checkpoints and packages
            hold pickles, which can run code and are loaded without a question, as nequip's own programs do:
            only use files from sources you trust.
        device: ``cpu`` or ``cuda``.
        trust: load a ``.model`` although it is a pickle, see :func:`kan_heads.trust.require_trust`.

    Returns:
        The model in evaluation mode, in the precision that it was saved in.

    Raises:
        ModelError: if the file is missing, compiled, of another kind, or cannot be loaded.
        ConfigError: if the device is not there, or a ``.model`` is a pickle and ``trust`` is not given.
    """
    path = os.fspath(path)
    place = check_device(device)
    if path.endswith(COMPILED):
        raise ModelError(
            f"{path}: is compiled, and its layers are no more to be seen; give the checkpoint or package, or "
            "run it by kan_heads.lammps.models.load_calculator"
        )
    check_file(path, (*SAVED, *MACE, *_POTENTIAL), _READABLE, trust)
    try:
        with quiet(logging.WARNING):
            return _read(path).eval().to(place)
    except (KanHeadsError, ModuleNotFoundError):
        raise
    except Exception as error:  # whatever the damage of a file leads to
        raise ModelError(
            f"{path}: cannot be loaded ({first_line(error)}); {remedy(error, _READABLE)}"
        ) from error


def check_file(path: str, endings: tuple[str, ...], kinds: str, trust: bool = False) -> None:
    """Finds what is wrong with the name of a model, and loads nothing.

    Args:
        path: the file.
        endings: those of the names that are welcome.
        kinds: the same in words.
        trust: see :func:`load`.

    Raises:
        ModelError: if there is no such file, or its name says no such kind of model.
        ConfigError: if a ``.model`` is a pickle and not trusted.
    """
    if not os.path.isfile(path):
        raise ModelError(f"{path}: no such file; give {kinds}")
    if not path.endswith(endings):
        raise ModelError(f"{path}: the name says no kind of model; give {kinds}")
    if path.endswith(MACE):
        require_trust(path, trust)


def check_device(name: str) -> torch.device:
    """Returns a device that is there.

    Args:
        name: e.g. ``cpu`` or ``cuda``.

    Raises:
        ConfigError: if it is unknown or not on this machine.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device: {name!r} is no device of torch; e.g. cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device: {name} is neither cpu nor cuda; use one of them")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"--device: {name} is not available here; use cpu or a machine that has it")
    return device


def remedy(error: Exception, kinds: str) -> str:
    """Says what to do about a file that cannot be loaded."""
    if "too many values to unpack" in str(error):
        return "if it is of e3nn 0.4, run: kan-heads migrate-mace OLD.model NEW.model --trust"
    return f"give {kinds}"


def _read(path: str) -> nn.Module:
    if path.endswith(_POTENTIAL):
        from kan_heads.eam import load_potential

        return load_potential(path)
    from kan_heads.global_state import global_state_kept, nequip_state

    if path.endswith(MACE):
        # MACE prints which accelerators it could use, and standard output may be for results.
        with global_state_kept(), contextlib.redirect_stdout(io.StringIO()):
            import mace.modules  # noqa: F401
            import torch

            return torch.load(path, map_location="cpu", weights_only=False)
    from nequip.model.saved_models import load_saved_model

    with nequip_state():
        return load_saved_model(path)
