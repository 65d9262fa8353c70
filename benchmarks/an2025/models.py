"""The five models of Table 1, as section 2 of An and Yeo 2025 describes them.

Each maps a batch of inputs to normalised targets ``(n, 3)``: energy and two force components. Where the
text leaves something open, the docstring says what was chosen.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn

from kan_heads.kan import KAN, KANConfig

N_TARGETS = 3
_HIDDEN = 128  # SchNet and ANI


def kan(n_inputs: int) -> KAN:
    """A KAN [n, 4, 3] of cubic B-splines on 8 intervals.

    Chosen as in pykan, which the authors used: functions need not vanish at 0, and splines fade outside the
    grid, where the base branch goes on. The grids follow the data in training, see :mod:`.training`.

    Args:
        n_inputs: principal components, 3 for the coordinates.

    Source: section 2.4.
    """
    config = KANConfig(grid_size=8, order=3, extrapolation="zero", zero_at_origin=False, units="value")
    return KAN([n_inputs, 4, N_TARGETS], config)


class CalHousNet(nn.Module):
    """Three inputs, three hidden nodes with ReLU, one output node; one such network for each target.

    The text gives one output node and Table 1 energies with forces, so each target has a network of its own.

    Args:
        n_inputs: principal components.

    Source: section 2.5.
    """

    def __init__(self, n_inputs: int = 3) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(n_inputs, 3), nn.ReLU(), nn.Linear(3, 1)) for _ in range(N_TARGETS)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, n_inputs)`` to ``(n, 3)``."""
        return torch.cat([network(x) for network in self.networks], dim=-1)


class CrystalGNN(nn.Module):
    r"""Three graph convolutions 64, 128, 256 with ReLU, global maximum, dense layers 128 and 3.

    The convolution is not named. Chosen is the plainest one with weighted edges,
    :math:`h_i = W x_i + U \sum_j x_j / d_{ij} + b`, with distances in units of their mean. Nodes are Z / 44
    and, as published, the atom's forces, which are also what is predicted; without them nodes are all alike.

    Args:
        sender: atom j of each edge, ``(n_edges,)``.
        receiver: atom i of each edge, ``(n_edges,)``.
        n_nodes: atoms.
        n_features: features of a node: 4 with forces, 1 without.

    Source: section 2.6, eq. VIII and IX; convolution of Morris et al., AAAI 2019, with edge weights.
    """

    def __init__(self, sender: np.ndarray, receiver: np.ndarray, n_nodes: int, n_features: int) -> None:
        super().__init__()
        self.n_nodes = n_nodes
        self.register_buffer("slot", torch.as_tensor(receiver * n_nodes + sender))  # (n_edges,)
        widths = [n_features, 64, 128, 256]
        self.own = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.others = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths))
        self.readout = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, N_TARGETS))

    def forward(self, x: Tensor) -> Tensor:
        """Maps nodes and edge lengths to targets.

        Args:
            x: ``(n, n_nodes * n_features + n_edges)``: features node by node, then lengths relative to
                their mean.
        """
        n_features = self.own[0].in_features
        nodes, lengths = x.split([self.n_nodes * n_features, len(self.slot)], dim=-1)
        h = nodes.reshape(-1, self.n_nodes, n_features)
        # Atoms may be neighbours by several images: their weights add up.
        flat = x.new_zeros(len(x), self.n_nodes**2).index_add(1, self.slot, 1.0 / lengths)
        weights = flat.reshape(-1, self.n_nodes, self.n_nodes)  # (n, receiver, sender)
        for own, others in zip(self.own, self.others, strict=True):
            h = torch.relu(own(h) + others(weights @ h))  # (n, n_nodes, width)
        return self.readout(h.amax(1))


class ANI(nn.Module):
    """Dense layers 128, 128, 64 with SELU, layer normalisation and dropout on environment vectors.

    Chosen: the network runs on each atom, as in ANI, and its outputs are averaged over the atoms (the sum,
    in units that suit normalised targets). The text names dropout for the first two blocks only.

    Args:
        n_features: length of an environment vector.

    Source: section 2.7.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features

        def block(n_in: int, n_out: int, *more: nn.Module) -> list[nn.Module]:
            return [nn.Linear(n_in, n_out), nn.SELU(), nn.LayerNorm(n_out), *more]

        self.network = nn.Sequential(
            *block(n_features, _HIDDEN, nn.Dropout(0.1)),
            *block(_HIDDEN, _HIDDEN, nn.Dropout(0.1)),
            *block(_HIDDEN, _HIDDEN // 2),
            nn.Linear(_HIDDEN // 2, N_TARGETS),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, n_atoms * n_features)`` to ``(n, 3)``."""
        return self.network(x.reshape(len(x), -1, self.n_features)).mean(1)


class _Interaction(nn.Module):
    """One block: dense, filtered by distances, dense; added to the input."""

    def __init__(self, n_distances: int) -> None:
        super().__init__()
        self.filter = nn.Sequential(
            nn.Linear(n_distances, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU()
        )
        self.dense = nn.ModuleList(nn.Linear(_HIDDEN, _HIDDEN) for _ in range(2))
        self.norm = nn.LayerNorm(_HIDDEN)

    def forward(self, h: Tensor, distances: Tensor) -> Tensor:
        filtered = self.dense[0](h) * self.filter(distances)
        return h + nn.functional.silu(self.norm(self.dense[1](filtered)))


class SchNet(nn.Module):
    """An embedding, three interaction blocks and two heads, one for the energy and one for the forces.

    As the text has it, there is one hidden vector for each structure, made of the principal components,
    and not one for each atom. Chosen: the filters see the lengths of the crystal's edges, smeared by
    Gaussians and averaged over the edges; blocks add to what enters them; heads go 128, 64, 32.

    Args:
        n_inputs: principal components.
        n_distances: smeared distances.

    Source: section 2.8; filters of Schütt et al., NeurIPS 2017.
    """

    def __init__(self, n_inputs: int, n_distances: int) -> None:
        super().__init__()
        self.n_inputs = n_inputs
        self.embedding = nn.Sequential(
            nn.BatchNorm1d(n_inputs), nn.Linear(n_inputs, _HIDDEN), nn.BatchNorm1d(_HIDDEN)
        )
        self.interactions = nn.ModuleList(_Interaction(n_distances) for _ in range(3))
        self.energy = _head(1)
        self.forces = _head(N_TARGETS - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, n_inputs + n_distances)`` to ``(n, 3)``."""
        h, distances = self.embedding(x[:, : self.n_inputs]), x[:, self.n_inputs :]
        for interaction in self.interactions:
            h = interaction(h, distances)
        return torch.cat([self.energy(h), self.forces(h)], dim=-1)


def _head(n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_hidden in ((_HIDDEN, 64), (64, 32)):
        layers += [nn.Linear(n_in, n_hidden), nn.BatchNorm1d(n_hidden), nn.ReLU(), nn.Dropout(0.1)]
    return nn.Sequential(*layers, nn.Linear(32, n_out))
