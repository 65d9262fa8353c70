"""ETGNN as a module of the nequip framework: from edges to tensors."""

from typing import Any, Dict, List, Optional

import torch
from nequip.data import AtomicDataDict
from nequip.nn import GraphModuleMixin
from nequip.nn.utils import with_edge_vectors_
from torch import Tensor

from kan_heads.etgnn.bases import RadialAngularBasis, legendre, make_cutoff
from kan_heads.etgnn.blocks import Dense, EdgeUpdate, TripletUpdate, make_mlp
from kan_heads.etgnn.triplets import find_triplets, nearest_edges


class Readout(torch.nn.Module):
    """The regression from features to a coefficient; scope ``output`` of ``kan:`` finds ``mlp_module``."""

    def __init__(self, n_in: int, depth: int, width: int, activation: str) -> None:
        super().__init__()
        self.mlp_module = make_mlp([n_in, *[width] * depth, 1], activation)

    def forward(self, features: Tensor) -> Tensor:
        """Maps ``(n, n_in)`` to ``(n, 1)``."""
        return self.mlp_module(features)


class Embedding(torch.nn.Module):
    """First features of edges and triplets, from the types of their atoms, lengths and angle."""

    def __init__(self, num_types: int, settings: Any) -> None:
        super().__init__()
        n, activation = settings.num_features, settings.activation
        n_angular = (settings.l_max + 1) * settings.num_bessels
        self.types = torch.nn.Embedding(num_types, n)
        self.edge_radial = Dense(settings.num_bessels, n, activation)
        self.edge = Dense(3 * n, n, activation)
        self.triplet_radial = Dense(settings.num_bessels, n, activation)
        self.triplet_angular = Dense(n_angular, n, activation)
        self.triplet = Dense(5 * n, settings.num_triplet_features, activation)

    def edges(self, types: Tensor, center: Tensor, neighbor: Tensor, radial: Tensor) -> Tensor:
        """Returns features of shape ``(n_edges, n_features)``."""
        x = self.types(types)
        return self.edge(torch.cat([x[center], x[neighbor], self.edge_radial(radial)], dim=1))

    def triplets(self, types: Tensor, atoms: List[Tensor], radial: Tensor, angular: Tensor) -> Tensor:
        """Returns features of shape ``(n_triplets, n_triplet_features)``; ``atoms`` are i, j and k."""
        x = self.types(types)
        parts = [x[index] for index in atoms] + [self.triplet_radial(radial), self.triplet_angular(angular)]
        return self.triplet(torch.cat(parts, dim=1))


class ETGNN(GraphModuleMixin, torch.nn.Module):
    r"""Edge-based tensor prediction.

    .. math::
        T_i = s \sum_j E_{ji} \hat e_{ji} \hat e_{ji} + s \sum_{kj} E_{kij} \hat e_{ki} \hat e_{ij} + b_{Z_i}

    Args:
        type_names: names of the types of atoms.
        settings: see :class:`kan_heads.etgnn.settings.ETGNNConfig`.
        zeros: of the spherical Bessel functions, ``[l][n]``.
        field: the tensor, see :class:`kan_heads.etgnn.fields.TensorField`.
        sum_rule: subtract the mean over the crystal from the tensors of its atoms.
        avg_num_neighbors: of an atom within ``r_max``; sums are divided by the root of what it makes them.
        per_type_shifts: isotropic tensor added to the atoms of each type.
        scale: factor of the sums.
        irreps_in: as in every module of nequip.

    Source: Zhong et al., J. Phys. Chem. Lett. 14, 6339 (2023), eqs. 1 to 4.
    """

    def __init__(
        self,
        type_names: List[str],
        settings: Any,
        zeros: List[List[float]],
        field: Any,
        sum_rule: bool,
        avg_num_neighbors: Optional[float],
        per_type_shifts: List[float],
        scale: float,
        irreps_in: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__()
        self._init_irreps(
            irreps_in=irreps_in,
            required_irreps_in=[AtomicDataDict.EDGE_EMBEDDING_KEY, AtomicDataDict.NORM_LENGTH_KEY],
            irreps_out={field.name: "1o"},  # three of them, as nequip declares cells and stresses
        )
        self.tensor_field = field.name
        self.per = field.per
        self.symmetric = field.symmetric
        self.sum_rule = sum_rule
        self.max_neighbors = settings.max_neighbors
        self.angular_x_max = settings.angular_r_max / settings.r_max
        self.triplet_x_max = settings.triplet_r_max / settings.r_max
        self.edge_envelope = settings.edge_envelope
        self.smooth_triplets = settings.triplet_envelope == "smooth"
        self.envelope = make_cutoff(settings.cutoff)
        quirk = 1.0 if settings.angular_cutoff_in_angstrom else settings.angular_r_max
        self.radial_angular = RadialAngularBasis(zeros, settings.cutoff, quirk)
        # What sums over neighbours and over pairs of them grow with, for atoms of uniform density.
        neighbors = max(1.0, min(avg_num_neighbors or 1.0, settings.max_neighbors or float("inf")))
        partners = max(1.0, neighbors * self.angular_x_max**3)
        self.edge_norm = neighbors**-0.5
        self.triplet_norm = 1.0 / max(1.0, neighbors * self.triplet_x_max**3)
        self.embedding = Embedding(len(type_names), settings)
        self.edge_updates = torch.nn.ModuleList(
            [EdgeUpdate(settings, partners**-0.5) for _ in range(settings.num_layers)]
        )
        self.triplet_updates = torch.nn.ModuleList(
            [TripletUpdate(settings) for _ in range(settings.num_layers)]
        )
        head = (
            settings.readout_mlp_hidden_layers_depth,
            settings.readout_mlp_hidden_layers_width,
            settings.activation,
        )
        self.edge_readout = Readout(settings.num_features, *head)
        self.triplet_readout = Readout(settings.num_triplet_features, *head)
        self.register_buffer("scale", torch.tensor(float(scale)))
        self.register_buffer(
            "per_type_shifts", torch.tensor(per_type_shifts, dtype=torch.get_default_dtype())
        )

    def forward(self, data: AtomicDataDict.Type) -> AtomicDataDict.Type:
        """Adds the tensors, ``(n_atoms, 3, 3)`` or ``(n_crystals, 3, 3)``, to the data."""
        data = with_edge_vectors_(data, with_lengths=True)
        types = data[AtomicDataDict.ATOM_TYPE_KEY].view(-1)  # (n_atoms,)
        radial = data[AtomicDataDict.EDGE_EMBEDDING_KEY]  # (n_edges, n_bessels)
        center, neighbor = data[AtomicDataDict.EDGE_INDEX_KEY].unbind(0)  # (n_edges,)
        x = data[AtomicDataDict.NORM_LENGTH_KEY].view(-1)  # (n_edges,)
        unit = data[AtomicDataDict.EDGE_VECTORS_KEY] / data[AtomicDataDict.EDGE_LENGTH_KEY].view(-1, 1)
        if AtomicDataDict.EDGE_CELL_SHIFT_KEY in data:
            shift = data[AtomicDataDict.EDGE_CELL_SHIFT_KEY]
        else:
            shift = torch.zeros_like(unit)
        num_atoms = types.shape[0]
        if self.max_neighbors is not None:
            kept = nearest_edges(center, x, num_atoms, self.max_neighbors)
            center, neighbor, shift = center[kept], neighbor[kept], shift[kept]
            x, unit, radial = x[kept], unit[kept], radial[kept]

        short = torch.nonzero(x < self.angular_x_max).squeeze(1)  # (n_short,)
        kj, ji = find_triplets(center[short], neighbor[short], shift[short], num_atoms)
        x_short, unit_short, radial_short = x[short], unit[short], radial[short]
        angular = self._angular(x_short, unit_short, kj, ji, radial.dtype)

        edges = self.embedding.edges(types, center, neighbor, radial)
        atoms = [center[short][ji], center[short][kj], neighbor[short][kj]]
        triplets = self.embedding.triplets(types, atoms, radial_short[ji], angular)
        for edge_update, triplet_update in zip(self.edge_updates, self.triplet_updates):  # noqa: B905
            triplets = triplet_update(triplets, edges[short], radial_short, angular, kj, ji)
            edges = edge_update(edges, radial, angular, short, kj, ji)

        unit = unit.to(radial.dtype)
        unit_short = unit_short.to(radial.dtype)
        edge_factor = self.edge_readout(edges) * self.edge_norm  # (n_edges, 1)
        if self.edge_envelope:
            edge_factor = edge_factor * self.envelope(x).to(radial.dtype).view(-1, 1)
        weight = self._triplet_weight(x_short, kj, ji).to(radial.dtype)
        triplet_factor = self.triplet_readout(triplets) * (self.triplet_norm * weight).view(-1, 1)
        tensors = torch.zeros(num_atoms, 9, dtype=radial.dtype, device=radial.device)
        tensors = tensors.index_add(0, center, edge_factor * _outer(unit, unit))
        tensors = tensors.index_add(0, atoms[1], triplet_factor * _outer(unit_short[kj], unit_short[ji]))
        data[self.tensor_field] = self._finish(tensors.view(-1, 3, 3), types, data)
        return data

    def _angular(self, x: Tensor, unit: Tensor, kj: Tensor, ji: Tensor, dtype: torch.dtype) -> Tensor:
        """Returns the angular basis of the triplets, ``(n_triplets, (l_max + 1) n_radial)``."""
        x = x / self.angular_x_max
        radial = self.radial_angular(x).to(dtype)[kj]  # (n_triplets, l_max + 1, n_radial)
        cosine = (unit[kj] * unit[ji]).sum(dim=1)  # (n_triplets,)
        angular = legendre(self.radial_angular.l_max, cosine).to(dtype)  # (n_triplets, l_max + 1)
        if self.smooth_triplets:  # messages must end with either edge; the radial part ends with k -> j
            angular = angular * self.envelope(x).to(dtype)[ji].unsqueeze(1)
        return (radial * angular.unsqueeze(2)).flatten(1)

    def _triplet_weight(self, x: Tensor, kj: Tensor, ji: Tensor) -> Tensor:
        """Returns the envelope of the tensors of triplets, ``(n_triplets,)``."""
        x = x / self.triplet_x_max
        inside = self.envelope(x) if self.smooth_triplets else (x < 1.0).to(x.dtype)
        return inside[kj] * inside[ji]

    def _finish(self, tensors: Tensor, types: Tensor, data: AtomicDataDict.Type) -> Tensor:
        """Scales, shifts, averages, symmetrises or projects the tensors of the atoms."""
        identity = torch.eye(3, dtype=tensors.dtype, device=tensors.device)
        tensors = self.scale * tensors + self.per_type_shifts[types].view(-1, 1, 1) * identity
        if self.symmetric:
            tensors = 0.5 * (tensors + tensors.transpose(1, 2))
        if self.per == "atom" and not self.sum_rule:
            return tensors
        if AtomicDataDict.BATCH_KEY in data:
            batch, counts = data[AtomicDataDict.BATCH_KEY], data[AtomicDataDict.NUM_NODES_KEY]
            sums = torch.zeros(counts.shape[0], 3, 3, dtype=tensors.dtype, device=tensors.device)
            means = sums.index_add(0, batch, tensors) / counts.view(-1, 1, 1)
            return means if self.per == "crystal" else tensors - means[batch]
        means = tensors.mean(dim=0, keepdim=True)
        return means if self.per == "crystal" else tensors - means


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Returns the outer products of two lists of vectors, ``(n, 9)``."""
    return (a.unsqueeze(2) * b.unsqueeze(1)).flatten(1)
