"""Other libraries of KANs, timed where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from kan_heads.kan import KANConfig


@dataclass(frozen=True)
class Rival:
    """A library.

    Args:
        name: as in the output.
        module: what is imported.
        basis: the basis that it has.
        make: builds a network of given widths on the grid of a configuration.
        remedy: how to install it.
    """

    name: str
    module: str
    basis: str
    make: Callable[[list[int], KANConfig], torch.nn.Module]
    remedy: str


def _pykan(widths: list[int], config: KANConfig) -> torch.nn.Module:
    import numpy as np

    # Its constructor seeds every generator there is.
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            return importlib.import_module("kan").KAN(
                width=widths,
                grid=config.grid_size,
                k=3,
                grid_range=list(config.grid_range),
                symbolic_enabled=False,  # as fast as it can be
                save_act=False,
                auto_save=False,  # or it writes to ./model
            )
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _efficient_kan(widths: list[int], config: KANConfig) -> torch.nn.Module:
    network = importlib.import_module("efficient_kan").KAN
    return network(widths, grid_size=config.grid_size, spline_order=3, grid_range=list(config.grid_range))


def _fastkan(widths: list[int], config: KANConfig) -> torch.nn.Module:
    network = importlib.import_module("fastkan").FastKAN
    lower, upper = config.grid_range
    return network(widths, grid_min=lower, grid_max=upper, num_grids=config.grid_size + 1)


RIVALS = (
    Rival("pykan", "kan", "bspline", _pykan, "pip install 'kan-heads[rivals]'"),
    Rival(
        "efficient-kan",
        "efficient_kan",
        "bspline",
        _efficient_kan,
        "pip install --no-deps git+https://github.com/Blealtan/efficient-kan",
    ),
    Rival(
        "fastkan",
        "fastkan",
        "gaussian",
        _fastkan,
        "pip install --no-deps git+https://github.com/ZiyaoLi/fast-kan",
    ),
)


def rivals_of(bases: Sequence[str]) -> list[Rival]:
    """The libraries that have one of the bases."""
    return [rival for rival in RIVALS if rival.basis in bases]


def installed(rival: Rival) -> bool:
    """Tells whether there is a module of its name; importing it may still fail."""
    return importlib.util.find_spec(rival.module) is not None
