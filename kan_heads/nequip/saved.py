"""The builder that starts from a trained model."""

import contextlib
import os
from typing import Any, Dict, Mapping, Optional

import torch
from nequip.model import ModelFromCheckpoint, ModelFromPackage

from kan_heads.errors import ConfigError, ModelError, first_line
from kan_heads.swap import replace_mlps


def KANModelFromSaved(  # noqa: N802
    kan: Optional[Mapping[str, Any]] = None,
    checkpoint_path: Optional[str] = None,
    package_path: Optional[str] = None,
    compile_mode: str = "eager",
) -> torch.nn.Module:
    """Loads a trained model and turns its MLPs into KANs that start out equal to them.

    .. code-block:: yaml

        model:
          _target_: kan_heads.nequip.KANModelFromSaved
          checkpoint_path: /path/to/best.ckpt    # or package_path: /path/to/model.nequip.zip
          kan: {scope: output}

    Args:
        kan: ``scope`` and the options of :class:`kan_heads.kan.KANConfig`; the widths are the MLP's.
        checkpoint_path: a checkpoint of ``nequip-train``.
        package_path: a package of ``nequip-package``.
        compile_mode: ``eager`` or ``compile``, as in nequip's own builders.

    Returns:
        A ``ModuleDict`` of graph models, as nequip's own builders of saved models return.

    Raises:
        ConfigError: if not exactly one path is given or ``kan`` is not valid.
        ModelError: if the file cannot be read.
    """
    if (checkpoint_path is None) == (package_path is None):
        raise ConfigError("KANModelFromSaved: give exactly one of checkpoint_path and package_path")
    path = checkpoint_path if package_path is None else package_path
    if not os.path.isfile(path):
        raise ModelError(
            f"{path}: no such file; give the full path of the trained model, it is read at every start"
        )
    load = ModelFromCheckpoint if package_path is None else ModelFromPackage
    with _explain(path):
        models = load(path, compile_mode=compile_mode)
    for model in models.values():
        replace_mlps(model, kan=kan, keep_function=True)
    return models


@contextlib.contextmanager
def _explain(path: str) -> Any:
    """Turns whatever a loader raises into one line about the file."""
    try:
        yield
    except Exception as error:
        saved = "" if path.endswith(".nequip.zip") else _versions(path)
        raise ModelError(f"{path}: cannot be loaded ({first_line(error)}){saved}") from error


def _versions(path: str) -> str:
    """Names the versions that wrote a checkpoint where they differ from the installed ones."""
    from nequip.utils import get_current_code_versions

    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=False)
        written: Dict[str, str] = checkpoint["hyper_parameters"]["info_dict"]["versions"]
    except Exception:
        return "; is it a checkpoint of nequip-train?"
    here = get_current_code_versions(verbose=False)
    differ = [
        f"{name} {written[name]} (here {here[name]})" for name in written if here.get(name) != written[name]
    ]
    return f"; written by {', '.join(differ)}: install those versions or package it there" if differ else ""
