"""Fit the grids of all KANs of a model to data."""

from typing import Any, Callable, Dict, Iterable, Mapping, Optional

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN
from kan_heads.kan.grid import inputs_seen
from kan_heads.swap.adapter import kans_of
from kan_heads.swap.registry import adapter_of

#: Evaluates one batch.
Run = Callable[[torch.nn.Module, Any], Any]


def calibrate(
    model: torch.nn.Module, batches: Iterable[Any], margin: float = 0.25, run: Optional[Run] = None
) -> Dict[str, KAN]:
    """Fits the grid of every KAN to the inputs that some batches give it, keeping its function.

    Call it before an optimiser or an average of the weights has seen the model. In a distributed run
    every process gets the grids of the first one.

    Args:
        model: changed in place.
        batches: typical data, as the model takes them.
        margin: how far a grid reaches beyond the data, as a share of their range.
        run: evaluates one batch, ``run(model, batch)``; the model's adapter knows how if ``None``.

    Returns:
        The KANs by module path.

    Raises:
        ConfigError: if there is no KAN or no batch, a KAN is not used, or its inputs are NaN or infinite.
    """
    kans = kans_of(model)
    if not kans:
        raise ConfigError("calibrate: the model holds no KAN; put some in with replace_mlps")
    for path, x in kan_inputs(model, kans, batches, run).items():
        kans[path].calibrate(x, margin)
    _share_with_all_ranks(kans)
    return kans


def kan_inputs(
    model: torch.nn.Module, kans: Mapping[str, KAN], batches: Iterable[Any], run: Optional[Run] = None
) -> Dict[str, Tensor]:
    """Returns what enters each KAN, shape ``(n_rows, in_features)`` by module path.

    Args:
        model: stays as it is.
        kans: the KANs to look at.
        batches: data, as for :func:`calibrate`.
        run: as for :func:`calibrate`.

    Raises:
        ConfigError: if there is no batch, or one of the KANs is not used.
    """
    run = adapter_of(model).run if run is None else run
    empty = True
    with inputs_seen(kans) as seen:
        for batch in batches:
            empty = False
            run(model, batch)
    if empty:
        raise ConfigError("calibrate: there are no data to fit the grids to")
    unused = [path for path, rows in seen.items() if not rows]
    if unused:
        raise ConfigError(f"no input reached {', '.join(unused)}; is it part of the model?")
    return {path: torch.cat([x.reshape(-1, x.shape[-1]) for x in rows]) for path, rows in seen.items()}


def _share_with_all_ranks(kans: Mapping[str, KAN]) -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        state = [{path: kan.state_dict() for path, kan in kans.items()}]
        torch.distributed.broadcast_object_list(state, src=0)
        for path, kan in kans.items():
            kan.load_state_dict(state[0][path])
