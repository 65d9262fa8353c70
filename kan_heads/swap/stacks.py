"""The adapter for any torch model: linear maps with elementwise functions between them."""

from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from kan_heads.errors import ModelError
from kan_heads.swap.adapter import Adapter, MLPWeights, Scope

#: Classes of nonlinearities, by name, that a KAN has as base functions.
NONLINEARITIES = {
    "SiLU": "silu",
    "Mish": "mish",
    "GELU": "gelu",
    "Tanh": "tanh",
    "ELU": "elu",
    "ShiftedSoftplus": "ssp",
}

#: Options with which a nonlinearity is the one that a KAN has.
_PLAIN = {"GELU": ("approximate", "none"), "ELU": ("alpha", 1.0)}

#: What does nothing to a trained model.
_SILENT = ("Identity", "Dropout")

#: Reads weight ``(out, in)`` and bias of a linear map; ``None`` says that a module is none.
ReadLinear = Callable[[torch.nn.Module], Optional[Tuple[Tensor, Optional[Tensor]]]]


class StackAdapter(Adapter):
    """Replaces ``torch.nn.Linear``, and ``torch.nn.Sequential`` of such maps with activations between them.

    A stack begins and ends with a linear map; where an activation follows the last one, each map of the
    stack stands for itself. Scope ``all`` is every stack with a hidden layer; single maps are named by their
    paths. ``Dropout`` is left out. The model itself is never replaced, only what it holds.
    """

    name = "any torch model"

    def fits(self, model: torch.nn.Module) -> bool:
        """Every model is one."""
        return True

    def find(self, model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
        """Lists stacks, and linear maps outside of them."""
        stacks = {path: m for path, m in model.named_modules() if path and _is_stack(m)}
        inside = {id(layer) for stack in stacks.values() for layer in stack}
        return {
            path: module
            for path, module in model.named_modules()
            if path in stacks or (path and _is_linear(module) and id(module) not in inside)
        }

    def scopes(self) -> Mapping[str, Scope]:
        """``all`` is every stack with a hidden layer."""
        return {"all": lambda path, mlp: len(self.dims(mlp)) > 2}

    def dims(self, mlp: torch.nn.Module) -> List[int]:
        """Returns the widths from input to output."""
        layers = [layer for layer in _layers(mlp) if _is_linear(layer)]
        return [layers[0].in_features, *(layer.out_features for layer in layers)]

    def read(self, mlp: torch.nn.Module) -> MLPWeights:
        """Reads weights, biases and the nonlinearity."""
        return read_stack(_layers(mlp), _read_linear)


def read_stack(layers: Iterable[torch.nn.Module], read_linear: ReadLinear) -> MLPWeights:
    """Reads linear maps and the one nonlinearity that stands between all of them.

    Args:
        layers: the modules in their order.
        read_linear: reads one linear map.

    Raises:
        ModelError: if there is anything else, or nonlinearities differ or are missing in places.
    """
    weights, biases, between = [], [], []
    for layer in layers:
        kind = type(layer).__name__
        linear = read_linear(layer)
        if linear is not None:
            weights.append(linear[0].detach())
            biases.append(None if linear[1] is None else linear[1].detach())
        elif kind in NONLINEARITIES and _is_plain(layer):
            between.append((len(weights), NONLINEARITIES[kind]))
        elif kind not in _SILENT:
            known = ", ".join(NONLINEARITIES)
            raise ModelError(f"an MLP holds a {layer}, which no KAN can start out equal to; known: {known}")
    names = {name for _, name in between}
    if between and ([place for place, _ in between] != list(range(1, len(weights))) or len(names) > 1):
        raise ModelError(
            "an MLP does not have one and the same nonlinearity between all its layers, so no KAN can start "
            "out equal to it; replace it without keep_function"
        )
    return MLPWeights(weights, biases, names.pop() if names else None)


def _is_plain(layer: torch.nn.Module) -> bool:
    option, value = _PLAIN.get(type(layer).__name__, (None, None))
    return option is None or getattr(layer, option, value) == value


def _is_linear(module: torch.nn.Module) -> bool:
    # Not its subclasses: attention reads the weights of one without calling it.
    return type(module) is torch.nn.Linear


def _is_stack(module: torch.nn.Module) -> bool:
    """Tells whether a module is linear maps with activations between, not behind, them."""
    if type(module) is not torch.nn.Sequential:
        return False
    layers = [layer for layer in module if type(layer).__name__ not in _SILENT]
    linear = [_is_linear(layer) for layer in layers]
    return bool(layers) and linear[0] and linear[-1] and all(map(_is_elementwise, layers))


def _is_elementwise(layer: torch.nn.Module) -> bool:
    home = type(layer).__module__
    own = home == "torch.nn.modules.activation" and not isinstance(layer, torch.nn.MultiheadAttention)
    return _is_linear(layer) or own or type(layer).__name__ in NONLINEARITIES


def _layers(mlp: torch.nn.Module) -> List[torch.nn.Module]:
    return [mlp] if _is_linear(mlp) else list(mlp)


def _read_linear(layer: torch.nn.Module) -> Optional[Tuple[Tensor, Optional[Tensor]]]:
    return (layer.weight, layer.bias) if _is_linear(layer) else None
