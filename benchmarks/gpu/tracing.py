"""Energy and gradient of a block, traced and compiled as nequip does it with a whole model."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from kan_heads.speed.timing import Step

#: (rows, features) -> the sum of the outputs, and its gradient.
Function = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass
class Compiled:
    """A block compiled once, for any number of rows.

    Args:
        train: with parameters that are trained.
        inference: with frozen ones.
        parameters: those that are trained.
        seconds: how long tracing took; what compiles at the first call is not part of it.
    """

    train: Function
    inference: Function
    parameters: list[torch.nn.Parameter]
    seconds: float

    def steps(self, x: Tensor) -> dict[str, Step]:
        """The steps of :func:`kan_heads.speed.blocks.steps` that are compared."""

        def train() -> None:
            for parameter in self.parameters:
                parameter.grad = None
            energy, slope = self.train(x)
            (slope.square().mean() + energy.square()).backward()

        def inference() -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                return self.inference(x)

        return {"train": train, "inference": inference}


def compiled(model: torch.nn.Module, x: Tensor) -> Compiled:
    """Traces a block with nequip's decompositions and hands it to ``torch.compile``.

    Args:
        model: maps (rows, features) to (rows, out).
        x: inputs to trace with, shape (rows, features).
    """
    from nequip.utils.fx import _nequip_make_fx

    began = time.perf_counter()
    module = copy.deepcopy(model)
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def energy_and_slope(at: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        at = at.detach().requires_grad_()
        energy = functional_call(module, dict(zip(tensors, values, strict=True)), (at,)).sum()
        (slope,) = torch.autograd.grad(energy, at, create_graph=True)
        return energy, slope

    # Weights are inputs, as nequip has them, so that they can be trained; sizes are symbols.
    graph = _nequip_make_fx(energy_and_slope, [x, *tensors.values()])
    function = torch.compile(graph, dynamic=True, fullgraph=False)
    frozen = [value.detach() for value in tensors.values()]
    return Compiled(
        lambda at: function(at, *tensors.values()),
        lambda at: function(at, *frozen),
        list(module.parameters()),
        time.perf_counter() - began,
    )
