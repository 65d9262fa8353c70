"""Pair and embedded-atom potentials whose functions are KAN edge functions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kan_heads.eam.batch import Batch
from kan_heads.eam.config import EAMConfig
from kan_heads.eam.functions import DensityFunction, EmbeddingFunction, PairFunction
from kan_heads.errors import ConfigError, first_line
from kan_heads.writing import write_text

Parameters = Mapping[str, Tensor]

_FORMAT = "kan-heads eam 1"


class Potential(torch.nn.Module):
    r"""Energy of one element from its univariate functions.

    .. math:: E = \sum_i F(\rho_i) + \tfrac12 \sum_{i \ne j} \phi(r_{ij}),
              \qquad \rho_i = \sum_{j \ne i} f(r_{ij})

    A pair potential has no F. Energies count from free atoms: the constant that a code's total energies
    carry per atom is kept apart, in ``reference``. Everything is in float64.

    Args:
        config: see :class:`EAMConfig`.

    Example:
        >>> potential = Potential(EAMConfig(element="Ru"))
        >>> potential.fitted
        False

    Source: Daw and Baskes, PRB 29, 6443 (1984); the functions as in :mod:`kan_heads.eam.functions`.
    """

    def __init__(self, config: EAMConfig) -> None:
        super().__init__()
        self.config = config
        grid = (config.inner, config.cutoff, config.grid_size, config.order)
        self.pair = PairFunction(*grid, config.atomic_number)
        eam = config.kind == "eam"
        self.density = DensityFunction(*grid) if eam else None
        self.embedding = (
            EmbeddingFunction(config.density_range, config.density_grid_size, config.order) if eam else None
        )
        #: eV per atom to add for the total energies of the code that made the labels.
        self.reference = 0.0
        #: What the potential was fitted to; empty before.
        self.history: dict[str, Any] = {}

    @property
    def fitted(self) -> bool:
        """Whether the potential was fitted to anything."""
        return bool(self.history)

    def densities(self, batch: Batch) -> Tensor:
        """Returns the density at each atom, ``(n_atoms,)``; zeros for a pair potential."""
        return self._densities(batch.vectors.norm(dim=-1), batch, None)

    def _densities(self, r: Tensor, batch: Batch, own: Tensor | None) -> Tensor:
        rho = r.new_zeros(len(batch.frame))
        return rho if self.density is None else rho.index_add(0, batch.first, self.density(r, own))

    def forward(self, batch: Batch, own: Parameters | None = None) -> Tensor:
        """Returns the energy of each structure in eV, ``(n_frames,)``, without the reference.

        Args:
            batch: structures.
            own: parameters of its own for each structure, by their names, ``(n_frames, ...)``; one
                backward pass then gives the derivatives of every structure's energy.
        """
        r = batch.vectors.norm(dim=-1)  # (n_edges,)
        of_edge = batch.frame[batch.first]  # (n_edges,)

        def of(name: str, which: Tensor) -> Tensor | None:
            return None if own is None else own[name].flatten(1)[which]  # (n, n_basis)

        pair = 0.5 * self.pair(r, of("pair.edge.coefficients", of_edge))
        atomic = r.new_zeros(len(batch.frame)).index_add(0, batch.first, pair)  # (n_atoms,)
        if self.embedding is not None:
            rho = self._densities(r, batch, of("density.edge.coefficients", of_edge))
            strength = None if own is None else own["embedding.strength"][batch.frame]
            embedded = self.embedding(rho, of("embedding.edge.coefficients", batch.frame), strength)
            atomic = atomic + embedded
        return r.new_zeros(batch.n_frames).index_add(0, batch.frame, atomic)

    def energy_and_stress(
        self, batch: Batch, differentiable: bool = False, own: Parameters | None = None
    ) -> tuple[Tensor, Tensor]:
        r"""Returns energies in eV, ``(n_frames,)``, and stresses in eV/Å^3, ``(n_frames, 3, 3)``.

        The stress is the derivative by a strain :math:`\epsilon` of the cell with its atoms,
        :math:`\sigma = V^{-1}\,\partial E / \partial \epsilon`; tension counts positive, as in ASE.

        Args:
            batch: the structures.
            differentiable: keep the graph, so that the stress can be differentiated in its turn.
            own: see :meth:`forward`.
        """
        strain = torch.zeros(batch.n_frames, 3, 3, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            of_edge = batch.frame[batch.first]  # (n_edges,)
            symmetric = 0.5 * (strain + strain.mT)
            stretch = torch.einsum("ei,eij->ej", batch.vectors, symmetric[of_edge])  # (n_edges, 3)
            energy = self(dataclasses.replace(batch, vectors=batch.vectors + stretch), own)
            (virial,) = torch.autograd.grad(energy.sum(), strain, create_graph=differentiable)
        stress = virial / batch.volumes.reshape(-1, 1, 1)
        return (energy, stress) if differentiable else (energy.detach(), stress)

    def energy_forces_and_virial(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Returns everything that dynamics ask for, by one derivative.

        Returns:
            Energies in eV, ``(n_frames,)``; forces in eV/Å, ``(n_atoms, 3)``; derivatives by strain in eV,
            ``(n_frames, 3, 3)``, which exist without a cell too.
        """
        vectors = batch.vectors.clone().requires_grad_()  # (n_edges, 3)
        with torch.enable_grad():
            energy = self(dataclasses.replace(batch, vectors=vectors))
            (slope,) = torch.autograd.grad(energy.sum(), vectors)  # (n_edges, 3)
        forces = slope.new_zeros(len(batch.frame), 3)
        forces = forces.index_add(0, batch.first, slope).index_add(0, batch.second, -slope)
        of_edge = batch.vectors.unsqueeze(-1) * slope.unsqueeze(-2)  # (n_edges, 3, 3)
        virial = slope.new_zeros(batch.n_frames, 3, 3).index_add(0, batch.frame[batch.first], of_edge)
        return energy.detach(), forces, 0.5 * (virial + virial.mT)

    def numbers(self) -> dict[str, list]:
        """Returns coefficients and grids by name; the settings tell which functions they belong to."""
        state = self.state_dict()
        return {name: value.tolist() for name, value in state.items() if value.is_floating_point()}

    def save(self, path: str | Path) -> None:
        """Writes the potential as JSON, every number to the last digit."""
        record = {
            "format": _FORMAT,
            "config": dataclasses.asdict(self.config),
            "reference_eV_per_atom": self.reference,
            "history": self.history,
            "state": self.numbers(),
        }
        write_text(Path(path), json.dumps(record, indent=1) + "\n")


def load_potential(path: str | Path) -> Potential:
    """Reads what :meth:`Potential.save` wrote.

    Raises:
        ConfigError: if the file is missing, is something else, or holds a potential never fitted.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; kan-heads eam train writes one") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: is no potential of kan-heads eam train ({first_line(error)})") from None
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise ConfigError(f"{path}: is no potential of kan-heads eam train (no format {_FORMAT!r})")
    try:
        potential = Potential(EAMConfig.from_dict(record["config"]))
        state = {name: torch.tensor(value, dtype=torch.float64) for name, value in record["state"].items()}
        potential.load_state_dict(state)
        potential.reference = float(record["reference_eV_per_atom"])
        potential.history = dict(record["history"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: is damaged ({first_line(error)}); fit the potential again") from None
    if not potential.fitted:
        raise ConfigError(f"{path}: holds a potential that was never fitted; run kan-heads eam train")
    return potential
