"""Put KANs in place of the scalar MLPs of a nequip-framework model."""

import fnmatch
from typing import Any, Dict, List, Mapping, Optional, Union

import torch

from kan_heads.errors import ConfigError, ModelError
from kan_heads.kan import KAN
from kan_heads.swap.config import SwapConfig

_WRAPPERS = ("model.", "func.", "sole_model.")

_NONLINEARITIES = {
    "SiLU": "silu",
    "Mish": "mish",
    "GELU": "gelu",
    "Tanh": "tanh",
    "ELU": "elu",
    "ShiftedSoftplus": "ssp",
}


def short_path(path: str) -> str:
    """Drops the wrappers in front of a module path: ``model.func.edge_readout`` -> ``edge_readout``."""
    while path.startswith(_WRAPPERS):
        path = path.split(".", 1)[1]
    return path


def find_mlps(model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
    """Lists the MLPs that a KAN can replace, by module path.

    These are nequip's ``ScalarMLPFunction`` modules with a hidden layer, and readouts and ETGNN's
    projections of any depth. The other single linear maps stay: a KAN inside an embedding would mix
    bases that must be mixed linearly. Classes are compared by name, because those of a packaged
    model are copies.
    """
    mlps = {}
    for path, module in model.named_modules():
        if type(module).__name__ == "ScalarMLPFunction" and (
            module.num_layers > 1 or is_readout(path) or is_projection(path)
        ):
            mlps[path] = module
    return mlps


def is_readout(path: str) -> bool:
    """Tells whether the module at ``path`` turns the last features into the output."""
    return path.endswith("readout.mlp_module")


def is_projection(path: str) -> bool:
    """Tells whether the module at ``path`` maps features to or from the messages of ETGNN."""
    return path.endswith(".projection")


def select(model: torch.nn.Module, scope: Union[str, tuple]) -> Dict[str, torch.nn.Module]:
    """Returns the MLPs in ``scope``, by module path.

    Raises:
        ConfigError: if nothing matches; the message lists what there is.
    """
    mlps = find_mlps(model)
    names = [short_path(path) for path in mlps]
    if scope == "all":
        chosen = mlps
    elif scope == "output":
        chosen = {path: mlp for path, mlp in mlps.items() if is_readout(path)}
    elif scope == "projections":
        chosen = {path: mlp for path, mlp in mlps.items() if is_projection(path)}
    elif scope == "embedding_latent":
        chosen = {path: mlp for path, mlp in mlps.items() if not is_readout(path)}
    else:
        chosen = {}
        for pattern in scope:
            found = {path: mlp for path, mlp in mlps.items() if _matches(path, pattern)}
            if not found:
                raise ConfigError(
                    f"kan.scope: {pattern!r} matches no MLP of this model; there are: {_listing(names)}"
                )
            chosen.update(found)
    if not chosen:
        kans = [short_path(path) for path, module in model.named_modules() if type(module).__name__ == "KAN"]
        already = f"; it holds KANs already: {', '.join(kans)}" if kans else ""
        raise ConfigError(
            f"kan.scope: {scope!r} matches no MLP of this model; there are: {_listing(names)}{already}"
        )
    return chosen


def replace_mlps(
    model: torch.nn.Module, section: Optional[Mapping[str, Any]], keep_function: bool = False
) -> List[str]:
    """Replaces the MLPs in scope, in place.

    Args:
        model: a nequip-framework model.
        section: the ``kan:`` section, see :class:`SwapConfig`.
        keep_function: start from the trained MLPs instead of new random weights.

    Returns:
        The paths of the modules that are KANs now.

    Raises:
        ConfigError: if the section is not valid, matches nothing, or asks for widths that cannot
            keep the function.
    """
    config = SwapConfig.from_dict(section)
    if not _is_loading():
        config.kan.check_smooth()
    chosen = select(model, config.scope)
    kans = {}
    for path, mlp in chosen.items():
        try:
            kans[path] = _trained_kan(mlp, config) if keep_function else _fresh_kan(mlp, config)
        except ConfigError as error:
            raise ConfigError(f"{short_path(path)}: {error}") from error
    for path, kan in kans.items():
        parent, name = path.rsplit(".", 1)
        setattr(model.get_submodule(parent), name, kan)
    return list(kans)


def _is_loading() -> bool:
    """Tells whether nequip builds a model to load a checkpoint into; what was trained once can be used."""
    from nequip.model import utils

    loading = getattr(utils, "_OVERRIDE_COMPILE_MODE", None)
    return loading is not None and loading.get()


def _fresh_kan(mlp: torch.nn.Module, config: SwapConfig) -> KAN:
    hidden = list(mlp.dims[1:-1]) if config.kan.hidden is None else list(config.kan.hidden)
    return KAN([mlp.dims[0], *hidden, mlp.dims[-1]], config.kan)


def _trained_kan(mlp: torch.nn.Module, config: SwapConfig) -> KAN:
    weights, biases, names = read_mlp(mlp)
    return KAN.from_mlp(weights, biases, names, config.kan)


def read_mlp(mlp: torch.nn.Module) -> tuple:
    """Reads weights ``(out, in)``, biases and the nonlinearity out of a ``ScalarMLPFunction``.

    Raises:
        ModelError: if it is built in a way that this release does not know.
    """
    inner = mlp.mlp
    if type(inner).__name__ == "DeepLinearMLP":
        weights = [weight.detach().t() for weight in inner.weights]  # nequip: (in, out)
        return [weights[0] * inner.alpha, *weights[1:]], None, None
    weights, biases, nonlinearity = [], [], None
    for module in inner:
        kind = type(module).__name__
        # A parametrised (e.g. weight-normed) layer goes by another name but still holds the product.
        if kind.endswith("ScalarLinearLayer"):
            weights.append((module.weight * module.alpha).detach().t())
            biases.append(None if module.bias is None else module.bias.detach())
        elif kind in _NONLINEARITIES:
            nonlinearity = _NONLINEARITIES[kind]
        elif kind != "Identity":
            known = ", ".join(_NONLINEARITIES)
            raise ModelError(f"an MLP holds a {kind}, which no KAN can start out equal to; known: {known}")
    return weights, biases, nonlinearity


def _matches(path: str, pattern: str) -> bool:
    name, pattern = short_path(path), short_path(pattern)
    return any(fnmatch.fnmatchcase(name, wanted) for wanted in (pattern, f"{pattern}.mlp_module"))


def _listing(names: List[str]) -> str:
    return ", ".join(names) if names else "none"
