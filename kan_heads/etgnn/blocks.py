"""The layers of ETGNN: embeddings, the update of edges and the update of triplets.

The update blocks are those of DimeNet++. torch_geometric has them too; they are written again because one of
them does not sum triplets, because a KAN must find its way into each map, and because a packaged model should
not need torch_geometric. A test holds the edge update to torch_geometric's.
"""

from typing import Any

import torch
from nequip.nn import ScalarMLPFunction
from torch import Tensor

_ACTIVATIONS = {
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "mish": torch.nn.Mish,
    "silu": torch.nn.SiLU,
    "tanh": torch.nn.Tanh,
}


def make_activation(name: str) -> torch.nn.Module:
    """Builds a nonlinearity by name."""
    return _ACTIVATIONS[name]()


def make_mlp(widths: Any, activation: str, bias: bool = True) -> torch.nn.Module:
    """Builds nequip's MLP, which scopes of ``kan:`` find, with any nonlinearity between its layers.

    Args:
        widths: input, hidden (all equal) and output widths.
        activation: name of the nonlinearity.
        bias: whether layers have one.
    """
    depth = len(widths) - 2
    mlp = ScalarMLPFunction(
        input_dim=widths[0],
        output_dim=widths[-1],
        hidden_layers_depth=depth,
        hidden_layers_width=widths[1] if depth else None,
        nonlinearity="silu" if depth else None,
        bias=bias,
    )
    for name, module in mlp.mlp.named_children():
        if type(module) is torch.nn.SiLU:
            setattr(mlp.mlp, name, make_activation(activation))
    return mlp


class Dense(torch.nn.Module):
    """act(W x + b)."""

    def __init__(self, n_in: int, n_out: int, activation: str, bias: bool = True) -> None:
        super().__init__()
        self.linear = make_mlp([n_in, n_out], activation, bias)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, n_in)`` to ``(n, n_out)``."""
        return self.activation(self.linear(x))


class Projection(torch.nn.Module):
    """act(W x) between the features of an edge and the narrower messages; scope ``projections`` finds W."""

    def __init__(self, n_in: int, n_out: int, activation: str) -> None:
        super().__init__()
        self.projection = make_mlp([n_in, n_out], activation, bias=False)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, n_in)`` to ``(n, n_out)``."""
        return self.activation(self.projection(x))


class Residual(torch.nn.Module):
    """x + act(W2 act(W1 x + b1) + b2)."""

    def __init__(self, n: int, activation: str) -> None:
        super().__init__()
        self.mlp = make_mlp([n, n, n], activation)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(rows, n)`` to the same shape."""
        return x + self.activation(self.mlp(x))


class Gate(torch.nn.Module):
    """W2 W1 b: factors made from a basis, linear so that they vanish where the basis does."""

    def __init__(self, n_basis: int, width: int, n_out: int) -> None:
        super().__init__()
        self.inner = make_mlp([n_basis, width], "silu", bias=False)
        self.outer = make_mlp([width, n_out], "silu", bias=False)

    def forward(self, basis: Tensor) -> Tensor:
        """Maps ``(n, n_basis)`` to ``(n, n_out)``."""
        return self.outer(self.inner(basis))


class Messages(torch.nn.Module):
    """What the edge k -> j tells the edge j -> i, for each triplet."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        n, width, narrow = settings.num_features, settings.basis_width, settings.projection_width
        self.source = Dense(n, n, settings.activation)
        self.radial_gate = Gate(settings.num_bessels, width, n)
        self.down = Projection(n, narrow, settings.activation)
        self.angular_gate = Gate((settings.l_max + 1) * settings.num_bessels, width, narrow)

    def forward(self, edges: Tensor, radial: Tensor, angular: Tensor, kj: Tensor) -> Tensor:
        """Makes the messages.

        Args:
            edges: features of the edges that take part, ``(n_short, n_features)``.
            radial: their radial basis, ``(n_short, n_bessels)``.
            angular: basis of the triplets, ``(n_triplets, n_angular)``.
            kj: index of the edge k -> j, ``(n_triplets,)``.

        Returns:
            Shape ``(n_triplets, projection_width)``.
        """
        sources = self.down(self.source(edges) * self.radial_gate(radial))  # (n_short, narrow)
        return sources[kj] * self.angular_gate(angular)


class EdgeUpdate(torch.nn.Module):
    """The interaction block of DimeNet++.

    Source: Gasteiger et al., arXiv 2011.14115, Figure 1; one residual layer before the skip, two after.
    """

    def __init__(self, settings: Any, norm: float) -> None:
        super().__init__()
        n, activation = settings.num_features, settings.activation
        self.norm = norm
        self.messages = Messages(settings)
        self.target = Dense(n, n, activation)
        self.up = Projection(settings.projection_width, n, activation)
        self.before_skip = Residual(n, activation)
        self.skip = Dense(n, n, activation)
        self.after_skip = torch.nn.Sequential(Residual(n, activation), Residual(n, activation))

    def forward(
        self, edges: Tensor, radial: Tensor, angular: Tensor, short: Tensor, kj: Tensor, ji: Tensor
    ) -> Tensor:
        """Returns new features of all edges.

        Args:
            edges: ``(n_edges, n_features)``.
            radial: ``(n_edges, n_bessels)``.
            angular: ``(n_triplets, n_angular)``.
            short: edges that take part in triplets, ``(n_short,)``.
            kj: index among those of the edge k -> j, ``(n_triplets,)``.
            ji: the same of the edge j -> i.
        """
        messages = self.messages(edges[short], radial[short], angular, kj)
        heard = torch.zeros(edges.shape[0], messages.shape[1], dtype=edges.dtype, device=edges.device)
        heard = heard.index_add(0, short[ji], messages * self.norm)  # (n_edges, narrow)
        mixed = self.before_skip(self.target(edges) + self.up(heard))
        return self.after_skip(self.skip(mixed) + edges)


class TripletUpdate(torch.nn.Module):
    """The same for each triplet on its own, not summed over k, then gated by the radial basis."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        n, n_triplet, activation = settings.num_features, settings.num_triplet_features, settings.activation
        self.messages = Messages(settings)
        self.target = Dense(n, n, activation)
        self.up = Projection(settings.projection_width, n, activation)
        self.before_gate = torch.nn.Sequential(
            Residual(n, activation),
            Dense(n, n_triplet, activation),
            Residual(n_triplet, activation),
            Residual(n_triplet, activation),
        )
        self.radial_gate = Gate(settings.num_bessels, settings.basis_width, n_triplet)
        self.own = Dense(n_triplet, n_triplet, activation)
        self.after_gate = torch.nn.Sequential(*(Residual(n_triplet, activation) for _ in range(2)))

    def forward(
        self, triplets: Tensor, edges: Tensor, radial: Tensor, angular: Tensor, kj: Tensor, ji: Tensor
    ) -> Tensor:
        """Returns new features of the triplets.

        Args:
            triplets: ``(n_triplets, n_triplet_features)``.
            edges: features of the edges that take part in triplets, ``(n_short, n_features)``.
            radial: their radial basis, ``(n_short, n_bessels)``.
            angular: ``(n_triplets, n_angular)``.
            kj: index of the edge k -> j, ``(n_triplets,)``.
            ji: the same of the edge j -> i.
        """
        heard = self.up(self.messages(edges, radial, angular, kj))  # (n_triplets, n_features)
        mixed = self.before_gate(self.target(edges)[ji] + heard)  # (n_triplets, n_triplet_features)
        gated = mixed * self.radial_gate(radial)[ji] + self.own(triplets)
        return self.after_gate(gated) + triplets
