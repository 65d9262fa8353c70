"""From structures to a trained model: the inputs of each model, its training, its predictions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.an2025 import features, graphs, models, training
from benchmarks.an2025.dataset import Split, Structures
from benchmarks.an2025.features import PCA, Targets
from kan_heads.errors import DataError, unknown_name
from kan_heads.global_state import default_dtype

_SMEARING = (1.8, 3.3, 0.1)  # Å; lengths of the graph's edges lie between


class Descriptors:
    """What models see of the structures, each computed when it is first asked for.

    Args:
        structures: the data.
    """

    def __init__(self, structures: Structures) -> None:
        self.structures = structures

    @cached_property
    def coordinates(self) -> np.ndarray:
        """``(n, 3 * n_atoms)``, Å."""
        return features.coordinates(self.structures)

    @cached_property
    def soap(self) -> np.ndarray:
        """``(n, n_features)``."""
        return features.soap(self.structures)

    @cached_property
    def graph(self) -> graphs.Graph:
        """The crystal's graph."""
        return graphs.crystal_graph(self.structures)

    @cached_property
    def environments(self) -> np.ndarray:
        """``(n, n_atoms, n_features)``."""
        return graphs.environment_vectors(self.structures)


Built = tuple[np.ndarray, training.Regression]


def _components(rows: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    return PCA.fit(rows[fitted]).transform(rows)


def _kan(d: Descriptors, fitted: np.ndarray) -> Built:
    x = _components(d.coordinates, fitted)
    return x, training.KANRegression(models.kan(x.shape[1]))


def _kan_soap(d: Descriptors, fitted: np.ndarray) -> Built:
    x = _components(d.soap, fitted)
    # SOAP has no unit and its size depends on the settings; coordinates come in Å, of order 1.
    x = x / x[fitted].std()
    return x, training.KANRegression(models.kan(x.shape[1]))


def _calhousnet(d: Descriptors, fitted: np.ndarray) -> Built:
    x = _components(d.coordinates, fitted)
    return x, training.Regression(models.CalHousNet(x.shape[1]))


def _gnn(d: Descriptors, fitted: np.ndarray, forces: bool) -> Built:
    graph, structures = d.graph, d.structures
    n, n_atoms = len(structures), structures.n_atoms
    nodes = np.ones((n, n_atoms, 1))  # Z / 44
    if forces:
        spread = structures.forces[fitted].std()
        nodes = np.concatenate([nodes, structures.forces / spread], axis=2)  # (n, n_atoms, 4)
    lengths = graph.lengths / graph.lengths[fitted].mean()
    model = models.CrystalGNN(graph.sender, graph.receiver, n_atoms, nodes.shape[2])
    return np.concatenate([nodes.reshape(n, -1), lengths], axis=1), training.GNNRegression(model)


def _ani(d: Descriptors, fitted: np.ndarray) -> Built:
    x = d.environments
    return x.reshape(len(x), -1), training.ANIRegression(models.ANI(x.shape[2]))


def _schnet(d: Descriptors, fitted: np.ndarray) -> Built:
    x = _components(d.coordinates, fitted)
    distances = graphs.smeared(d.graph.lengths, *_SMEARING)
    model = models.SchNet(x.shape[1], distances.shape[1])
    return np.concatenate([x, distances], axis=1), training.SchNetRegression(model)


@dataclass(frozen=True)
class Candidate:
    """A model of Table 1.

    Args:
        label: as shown.
        build: makes inputs, ``(n, ...)``, and an untrained model, from descriptors and the rows that may
            be looked at.
        note: what a reader must know, or nothing.
    """

    label: str
    build: Callable[[Descriptors, np.ndarray], Built]
    note: str = ""


#: In the order of the table. The names are those of ``--models``.
CANDIDATES = {
    "kan": Candidate("KAN", _kan),
    "kan-soap": Candidate("KAN on SOAP", _kan_soap, "the paper describes SOAP; its code does not use it"),
    "schnet": Candidate("SchNet", _schnet),
    "ani": Candidate("ANI", _ani),
    "gnn-forces": Candidate(
        "GNN given forces",
        lambda d, fitted: _gnn(d, fitted, True),
        "it is given the forces that it predicts",
    ),
    "gnn": Candidate("GNN", lambda d, fitted: _gnn(d, fitted, False)),
    "calhousnet": Candidate("CalHousNet", _calhousnet),
}


def candidate(name: str) -> Candidate:
    """The model of that name.

    Raises:
        ConfigError: there is none; the message lists those that there are.
    """
    if name not in CANDIDATES:
        raise unknown_name("model", name, CANDIDATES)
    return CANDIDATES[name]


@dataclass(frozen=True)
class Fitted:
    """A trained model's predictions for all structures.

    Args:
        normalised: ``(n, 3)``.
        values: ``(n, 3)``: Ry per cell, scores of the forces in Ry/bohr.
        seconds: time of the training.
    """

    normalised: np.ndarray
    values: np.ndarray
    seconds: float


def train(
    name: str,
    descriptors: Descriptors,
    targets: Targets,
    split: Split,
    fitted: np.ndarray,
    seed: int = 0,
    epochs: int | None = None,
) -> Fitted:
    """Trains a model and predicts all structures.

    Args:
        name: of :data:`CANDIDATES`.
        descriptors: of the structures.
        targets: what is predicted.
        split: rows of each set.
        fitted: rows to which components and scales of the inputs are fitted.
        seed: seed of the weights and of the order of the batches.
        epochs: fewer than the published ones, for a try.

    Raises:
        ConfigError: an unknown name.
        DataError: the predictions are not finite.
    """
    chosen = candidate(name)
    # nequip leaves float64 behind; the published models are float32.
    with default_dtype(torch.float32):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inputs, module = chosen.build(descriptors, fitted)
        x = torch.as_tensor(inputs, dtype=torch.float32)
        y = torch.as_tensor(targets.normalised, dtype=torch.float32)
        started = time.perf_counter()
        parts = {part: torch.as_tensor(np.sort(split[part])) for part in ("train", "val")}
        training.fit(module, *((x[rows], y[rows]) for rows in parts.values()), seed=seed, epochs=epochs)
        seconds = time.perf_counter() - started
        with torch.no_grad():
            normalised = module(x).double().numpy()
    if not np.isfinite(normalised).all():
        raise DataError(f"{chosen.label}: training diverged; try another --seed")
    return Fitted(normalised, targets.scaling.undo(normalised), seconds)
