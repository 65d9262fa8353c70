"""Writes a model with a solved head as a file of the kind that it came from."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from kan_heads.errors import ModelError
from kan_heads.loading import MACE
from kan_heads.writing import whole

_CHECKPOINT = ".ckpt"
KINDS = "a checkpoint (.ckpt) or a MACE .model"
ENDINGS = (_CHECKPOINT, *MACE)


def save(model: torch.nn.Module, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Writes a model.

    In a checkpoint of ``nequip-train`` the weights and, where the run kept it, their average both become
    those of the model; everything else stays as it was. A ``.model`` of MACE is the model itself.

    Args:
        model: what ``source`` holds, with other coefficients in its linear ends.
        source: the file that the model was loaded from.
        target: the file to write; it appears when it is complete.

    Raises:
        ModelError: if the source is of another kind than the target, or does not hold that model.
    """
    source, target = Path(source), Path(target)
    if not source.name.endswith(ENDINGS) or source.suffix != target.suffix:
        raise ModelError(f"{target}: the result is of the same kind as {source}; name it *{source.suffix}")
    if source.suffix in MACE:
        with whole(target) as path:
            torch.save(model, path)
        return
    checkpoint = torch.load(source, map_location="cpu", weights_only=False)
    _put(checkpoint["state_dict"], model, str(source))
    with whole(target) as path:
        torch.save(checkpoint, path)


def _put(state: dict[str, torch.Tensor], model: torch.nn.Module, source: str) -> None:
    """Sets the weights of a checkpoint, raw and averaged, to those of a model."""
    parameters = dict(model.named_parameters())
    first = next(iter(parameters))
    prefixes = [name.removesuffix(first) for name in state if name.endswith(f".{first}")]
    if len(prefixes) != 1:
        raise ModelError(
            f"{source}: holds {len(prefixes)} models; only one with a single model can be solved"
        )
    for place, (name, value) in enumerate(parameters.items()):
        # The average is kept by the places of the parameters.
        for key in (prefixes[0] + name, f"ema.ema_weight_{place}"):
            if key in state:
                state[key].copy_(value.detach())
