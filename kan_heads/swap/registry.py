"""Which adapters there are, and which one knows a model."""

import functools
import warnings
from importlib.metadata import entry_points
from typing import List, Type

import torch

from kan_heads.errors import ConfigError, ModelError, first_line
from kan_heads.swap.adapter import Adapter
from kan_heads.swap.stacks import StackAdapter

#: Packages name their adapters under this entry point, kan-heads as well; see ``docs/new-backbone.md``.
GROUP = "kan_heads.backbones"

_registered: List[Type[Adapter]] = []


def register_adapter(adapter: Type[Adapter]) -> Type[Adapter]:
    """Makes an adapter known to this process; serves as a decorator of its class.

    What is installed with an entry point ``kan_heads.backbones`` is known without.
    """
    if adapter not in _registered:
        _registered.append(adapter)
    return adapter


def adapters() -> List[Adapter]:
    """Returns one of each adapter, the one for any torch model last.

    Raises:
        ModelError: if kan-heads' own ones are missing, because it was not installed as it is.
    """
    kinds = [*_registered, *(kind for kind in _installed() if kind not in _registered), StackAdapter]
    return [kind() for kind in kinds]


def adapter_of(model: torch.nn.Module) -> Adapter:
    """Returns the adapter that knows a model; a subclass goes before the class that it specialises.

    Raises:
        ConfigError: if two adapters that have nothing to do with each other know the model.
    """
    fitting = [adapter for adapter in adapters()[:-1] if adapter.fits(model)]
    best = [
        adapter
        for adapter in fitting
        if not any(issubclass(type(other), type(adapter)) for other in fitting if other is not adapter)
    ]
    if len(best) > 1:
        names = ", ".join(f"{type(adapter).__module__}.{type(adapter).__qualname__}" for adapter in best)
        raise ConfigError(
            f"several adapters know the model: {names}; make one a subclass of the other, or narrow fits"
        )
    return best[0] if best else StackAdapter()


@functools.cache
def _installed() -> List[Type[Adapter]]:
    # A program that runs from a clone alone may have registered ours itself.
    found, own = [], any(kind.__module__.startswith("kan_heads.") for kind in _registered)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        own = own or point.value.startswith("kan_heads.")
        try:
            found.append(point.load())
        except Exception as error:  # another package may fail in any way
            warnings.warn(
                f"kan-heads: the backbone {point.name!r} ({point.value}) cannot be loaded "
                f"({first_line(error)}); repair or uninstall the package that names it",
                stacklevel=2,
            )
    if not own:
        raise ModelError(
            "the backbones of kan-heads are not registered: its code is newer than its installation; install "
            "it again, in a clone with `pip install -e .`"
        )
    return found
