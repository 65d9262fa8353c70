"""What the backends' backward passes share: which gradients are wanted, how they go on, in what precision."""

import functools
from typing import Any, Callable, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kan_heads import _compat

_Maybe = Optional[Tensor]


def wanted(ctx: Any, index: int, edge: int) -> bool:
    """Tells whether a gradient is needed, and not thrown away as in a pass for forces only.

    Args:
        ctx: of the backward pass that asks.
        index: place of the input among all arguments of the function.
        edge: its place among the tensors.
    """
    if not ctx.needs_input_grad[index]:
        return False
    nodes = getattr(ctx, "next_functions", ())
    return edge >= len(nodes) or _compat.will_run(nodes[edge][0])


def full_precision(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a backward pass run as the layer itself does: in the precision of its parameters.

    Forces are taken inside the region of an autocast, which would round every matrix product in them.
    """

    @functools.wraps(backward)
    def run(ctx: Any, *gradients: _Maybe) -> Any:
        device = next((g.device.type for g in gradients if g is not None), None)
        if device is None or not torch.is_autocast_enabled(device):
            return backward(ctx, *gradients)
        with torch.autocast(device, enabled=False):
            return backward(ctx, *gradients)

    return run


def through(
    formula: Callable[..., Sequence[Tensor]], inputs: Sequence[_Maybe], gradients: Sequence[_Maybe]
) -> Tuple[_Maybe, ...]:
    """Gradients that can be differentiated again, by differentiating a formula of the inputs.

    Args:
        formula: the results as a function of the inputs.
        inputs: tensors, or ``None`` where there is none.
        gradients: by each result, or ``None``.

    Returns:
        Gradients by each input; ``None`` where none is wanted.
    """
    with torch.enable_grad():
        # Aliases: where one input depends on another, the path between them belongs to the caller.
        inputs = [t.view_as(t) if t is not None and t.requires_grad else t for t in inputs]
        results = formula(*inputs)
    pairs = [(y, g) for y, g in zip(results, gradients, strict=True) if g is not None and y.requires_grad]
    wanted = [t for t in inputs if t is not None and t.requires_grad]
    if not pairs or not wanted:
        return tuple(None for _ in inputs)
    outputs, weights = zip(*pairs, strict=True)
    again = torch.is_grad_enabled()
    found = iter(torch.autograd.grad(outputs, wanted, weights, create_graph=again, allow_unused=True))
    return tuple(next(found) if t is not None and t.requires_grad else None for t in inputs)
