"""Finds a basis by its name: those of this package, those registered in code, those of installed packages."""

import functools
import importlib.metadata
from typing import Callable, Dict, List, Type

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.kan.bases.base import Basis
from kan_heads.kan.bases.bspline import BSplineBasis
from kan_heads.kan.bases.chebyshev import ChebyshevBasis
from kan_heads.kan.bases.fourier import FourierBasis
from kan_heads.kan.bases.gaussian import GaussianBasis
from kan_heads.kan.config import KANConfig

#: Entry points of this group name bases of other packages, see docs/new-basis.md.
GROUP = "kan_heads.bases"

# Not by entry points: a packaged model has copies of these classes and no installed kan-heads.
_REGISTRY: Dict[str, Type[Basis]] = {
    cls.name: cls for cls in (BSplineBasis, ChebyshevBasis, FourierBasis, GaussianBasis)
}


def register_basis(name: str) -> Callable[[Type[Basis]], Type[Basis]]:
    """Class decorator that makes a basis known under ``name`` in every configuration.

    Raises:
        ConfigError: if the name is taken.
    """

    def register(cls: Type[Basis]) -> Type[Basis]:
        if name in _REGISTRY:
            raise ConfigError(f"basis {name!r} is registered already by {_REGISTRY[name].__qualname__}")
        _REGISTRY[name] = cls
        cls.name = name
        return cls

    return register


def basis_names() -> List[str]:
    """Returns the names of all bases that a configuration may name."""
    return sorted({*_REGISTRY, *_entry_points()})


def make_basis(in_features: int, config: KANConfig) -> Basis:
    """Builds the basis that ``config`` names.

    Raises:
        ConfigError: if no basis has that name, or the package that offers it cannot be imported.
    """
    basis = _find(config.basis)(in_features, config)
    if basis.name != config.basis:
        basis.name = config.basis  # kept with the object: a pickle is read where no entry point has been
    return basis


def _find(name: str) -> Type[Basis]:
    if name in _REGISTRY:  # a package cannot replace a basis of ours
        return _REGISTRY[name]
    point = _entry_points().get(name)
    if point is None:
        raise unknown_name("basis", name, basis_names())
    try:
        found = point.load()
    except Exception as error:  # whatever a foreign module raises
        raise ConfigError(f"basis {name!r}: {point.value} cannot be imported ({error}); repair it") from error
    # By name: inside a packaged model, Basis is a copy.
    if "Basis" not in [cls.__name__ for cls in getattr(found, "__mro__", ())]:
        raise ConfigError(f"basis {name!r}: {point.value} is no subclass of kan_heads.kan.Basis; make it one")
    return found


@functools.cache
def _entry_points() -> Dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
