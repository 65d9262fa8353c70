"""Table 1 of An and Yeo 2025: errors of the five models, as published and on a split without duplicates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.an2025 import dataset, features, fitting
from benchmarks.an2025.dataset import RYDBERG, Split, Structures
from benchmarks.an2025.features import Targets
from benchmarks.an2025.published import SPLITS, TABLE_1, PublishedErrors
from kan_heads.errors import ConfigError

Three = tuple[float, float, float]

#: Titles of the protocols.
PROTOCOLS = {
    "published": "Random rows, as published",
    "grouped": "Whole strains, no structure in two sets",
}
_CONSTANTS = {"mean": "constant: mean", "median": "constant: median"}


@dataclass(frozen=True)
class Row:
    """Errors of one model under one protocol.

    Args:
        protocol: ``published`` or ``grouped``.
        model: name of the model, or ``mean`` and ``median`` for constants of the training set.
        label: the same for readers.
        mae: mean absolute errors on training, validation and test set, normalised units.
        mse: mean squared errors on the same.
        energy_mae: mean absolute errors of the energy on the same, meV/atom.
        published: what the paper prints, never measured here; None where it prints nothing for this row.
        note: what a reader must know, or nothing.
        seconds: time of the training.
        sizes: rows of the three sets.
        duplicates: test rows whose very structure is in the training set.
    """

    protocol: str
    model: str
    label: str
    mae: Three
    mse: Three
    energy_mae: Three
    published: PublishedErrors | None
    note: str
    seconds: float
    sizes: tuple[int, int, int]
    duplicates: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the row as plain data, what is measured apart from what is published."""
        return dataclasses.asdict(self)


def row_of(plain: dict[str, Any]) -> Row:
    """Turns what :meth:`Row.to_dict` returns, e.g. read from JSON, into a row again."""
    published = plain["published"]
    printed = PublishedErrors(tuple(published["mae"]), tuple(published["mse"])) if published else None
    triples = {name: tuple(plain[name]) for name in ("mae", "mse", "energy_mae", "sizes")}
    return Row(**{**plain, **triples, "published": printed})


@dataclass(frozen=True)
class Protocol:
    """A split and what follows from it.

    Args:
        name: of :data:`PROTOCOLS`.
        split: rows of each set.
        fitted: rows to which components and normalisation are fitted.
        targets: what is predicted.
        duplicates: test rows whose very structure is in the training set.
    """

    name: str
    split: Split
    fitted: np.ndarray
    targets: Targets
    duplicates: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows of the three sets."""
        return tuple(len(self.split[part]) for part in SPLITS)


def make_protocol(name: str, structures: Structures, seed: int = 0) -> Protocol:
    """Splits the data and makes the targets.

    As published, rows are drawn at random, and principal components and normalisation are fitted to all
    rows, the test rows among them. The grouped protocol keeps each mode and size of strain in one set
    and fits to training rows only.

    Args:
        name: ``published`` or ``grouped``.
        structures: the data.
        seed: seed of the grouped split; the published one is fixed.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"protocol {name!r} is unknown; valid: {', '.join(PROTOCOLS)}")
    n = len(structures)
    split = dataset.published_split(n) if name == "published" else dataset.grouped_split(structures, seed)
    dataset.check_split(split, n)
    fitted = np.arange(n) if name == "published" else np.sort(split["train"])
    targets = features.make_targets(structures, fitted)
    twins = dataset.duplicates(dataset.structure_keys(structures), split)
    return Protocol(name, split, fitted, targets, twins)


def table1_rows(
    path: str | Path | None = None,
    seed: int = 0,
    models: Sequence[str] | None = None,
    epochs: int | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Row]:
    """Trains the models under both protocols and measures their errors.

    Args:
        path: the structures; the registered file if None.
        seed: seed of weights, batches and the grouped split.
        models: names of :data:`benchmarks.an2025.fitting.CANDIDATES`; all if None.
        epochs: fewer than the published ones, for a try.
        say: told what is being trained.

    Returns:
        For each protocol a row for each model, then the constants.

    Raises:
        ConfigError: an unknown model.
        DataError: the data are missing or damaged.
    """
    names = list(fitting.CANDIDATES) if models is None else list(dict.fromkeys(models))
    for name in names:
        fitting.candidate(name)
    structures = dataset.read(path)
    descriptors = fitting.Descriptors(structures)
    rows = []
    for title in PROTOCOLS:
        protocol = make_protocol(title, structures, seed)
        for name in names:
            chosen = fitting.candidate(name)
            if say is not None:
                say(f"{PROTOCOLS[title]}: {chosen.label}")
            result = fitting.train(
                name, descriptors, protocol.targets, protocol.split, protocol.fitted, seed, epochs
            )
            rows.append(_row(protocol, name, chosen.label, result.normalised, structures, result.seconds))
        rows += _constants(protocol, structures)
    return rows


def _constants(protocol: Protocol, structures: Structures) -> Iterator[Row]:
    """What predicting one number for everything gives: the best one for squares, and the best for sizes."""
    known = protocol.targets.normalised[protocol.split["train"]]
    for name, label in _CONSTANTS.items():
        value = known.mean(0) if name == "mean" else np.median(known, axis=0)  # (3,)
        guess = np.broadcast_to(value, protocol.targets.normalised.shape)
        yield _row(protocol, name, label, guess, structures, 0.0)


def _row(
    protocol: Protocol, name: str, label: str, guess: np.ndarray, structures: Structures, seconds: float
) -> Row:
    error = guess - protocol.targets.normalised  # (n, 3)
    to_mev = 1000.0 * RYDBERG * protocol.targets.scaling.spread[0] / structures.n_atoms

    def over(values: np.ndarray) -> Three:
        return tuple(float(values[protocol.split[part]].mean()) for part in SPLITS)

    candidate = fitting.CANDIDATES.get(name)
    return Row(
        protocol=protocol.name,
        model=name,
        label=label,
        mae=over(np.abs(error)),
        mse=over(error**2),
        energy_mae=over(np.abs(error[:, 0]) * to_mev),
        published=TABLE_1.get(name) if protocol.name == "published" else None,
        note=candidate.note if candidate else "",
        seconds=seconds,
        sizes=protocol.sizes,
        duplicates=protocol.duplicates,
    )
