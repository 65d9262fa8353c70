"""What torch, e3nn and nequip keep for a whole process, and what they leave behind of it.

A user may have models of MACE and of the nequip framework in one process, and their own code besides.
nequip sets torch's default precision and seeds all random numbers, once. e3nn 0.6 has two names for how it
compiles models, ``jit_script_fx`` and ``jit_mode``; nequip and MACE set the first to ``False`` for a while
and then back to ``True``, which turns the second from ``eager`` to ``script``. Models of MACE that are built
after that can neither be copied nor saved ("ScriptFunction cannot be pickled").
"""

from __future__ import annotations

import contextlib
import importlib.util
import random
import sys
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Sets torch's default precision while it lasts, also if an error ends it."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


@contextlib.contextmanager
def global_state_kept() -> Iterator[None]:
    """Undoes at its end what was done meanwhile to precision, random numbers, e3nn's and nequip's state."""
    python, dtype = random.getstate(), torch.get_default_dtype()
    numpy = np.random.get_state()  # noqa: NPY002, the generator that nequip seeds
    e3nn = importlib.import_module("e3nn") if importlib.util.find_spec("e3nn") else None
    compiling = e3nn.get_optimization_defaults() if e3nn else {}
    nequip_began = getattr(_nequip_state(), "_GLOBAL_STATE_INITIALIZED", False)
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            torch.set_default_dtype(dtype)
            if e3nn:
                e3nn.set_optimization_defaults(**compiling)  # jit_mode comes last, and wins
            if _nequip_state():
                # Without this, nequip's programs would later rely on a float64 that is no longer set.
                _nequip_state()._GLOBAL_STATE_INITIALIZED = nequip_began


def _nequip_state() -> object | None:
    return sys.modules.get("nequip.utils.global_state")


def start_nequip() -> None:
    """Sets what each program of nequip begins with."""
    from nequip.utils.global_dtype import _GLOBAL_DTYPE
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    torch.set_default_dtype(_GLOBAL_DTYPE)  # which that does only once in a process


@contextlib.contextmanager
def nequip_state() -> Iterator[None]:
    """Sets what each program of nequip begins with, and takes it back at its end."""
    with global_state_kept():
        start_nequip()
        yield
