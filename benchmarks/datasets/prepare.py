"""Write ``train``, ``val`` and ``test`` files of a data set that any nequip-like code can read."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets.fetch import fetch_all
from benchmarks.datasets.files import Say, say_stderr
from benchmarks.datasets.registry import Dataset, lookup
from benchmarks.datasets.sources import READERS, Source
from kan_heads._version import __version__
from kan_heads.data.folder import digest, existing, intact, write_folder
from kan_heads.data.pools import NAMES, Pools, draw, grouped_pools, sequential_pools

FORMAT_VERSION = 1
"""Raised when the same request would give other bytes."""

_GROUP_FRACTIONS = (0.6, 0.2, 0.2)
# Which splits may take frames from each other. Carbon's test set is the published one, and groups of
# ruthenium must not straddle splits.
_SHARED = {"carbon": (("train", "val"), ("test",)), "ru": (("train",), ("val",), ("test",))}


@dataclass(frozen=True)
class Prepared:
    """A prepared folder: its path, the number of frames of each split, whether it was there already."""

    folder: Path
    sizes: dict[str, int]
    already: bool


def prepare(
    name: str,
    out: str | Path,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    seed: int | None = None,
    say: Say = say_stderr,
    mace: bool = False,
) -> Prepared:
    """Write the splits of a data set and ``split.json``, which says exactly what they are.

    The same arguments give the same bytes. A smaller split is a prefix of a larger one (within the
    default sizes). A split of zero frames has no file. The folder appears at once when it is complete;
    a run that is killed leaves the old folder, or none.

    Args:
        name: data set.
        out: folder to write; replaced only if it is an earlier output of this function.
        train: frames to train on; None is the set's default.
        val: frames to validate on; None is the default.
        test: frames to test on; None is the default.
        seed: seed of the split; None is the set's default (0; 42 for sio2, which is the published split).
        say: where messages go.
        mace: name the labels ``REF_energy``, ``REF_forces``, ``REF_stress``, MACE's defaults. With ASE's own
            names MACE 0.3 gives frames that have no stress a stress of zero, with full weight.

    Returns:
        Folder and sizes.

    Raises:
        ConfigError: unknown name, or more frames than exist.
        DataError: the data cannot be had or are damaged, or ``out`` is not ours.
    """
    dataset, out = lookup(name), Path(out)
    requested = {"train": train, "val": val, "test": test}
    seed = dataset.seed if seed is None else seed
    old = existing(out)
    if old is not None and _same(old, dataset, requested, seed, mace) and intact(out, old):
        say(f"{out}: already prepared")
        return Prepared(out, old["sizes"], already=True)

    with tempfile.TemporaryDirectory(prefix="kan-heads-") as work:
        paths, sources = _locate(dataset, say)
        source = READERS[name](paths, Path(work))
        split = draw(name, _pools(dataset, source, seed), requested, _SHARED.get(name, (NAMES,)))
        record = _record(dataset, source, sources, split, requested, seed)
        if mace:
            record["labels"] = "mace"
        write_folder(out, name, source.build, split, record, dataset.labels)
    if dataset.stand_in:
        say(f"{name}: a stand-in ({dataset.stand_in}), not the paper's data")
    sizes = record["sizes"]
    say(f"{out}: {', '.join(f'{sizes[s]} {s}' for s in NAMES)}")
    return Prepared(out, sizes, already=False)


def _locate(dataset: Dataset, say: Say) -> tuple[list[Path], list[dict[str, Any]]]:
    """Local paths, and what ``split.json`` says of them."""
    if dataset.generate is not None:
        path = dataset.generate(say)
        return [path], [{"path": dataset.generated, "sha256": digest(path), "url": None}]
    located = fetch_all(dataset, needed_only=True, say=say)
    about = [{"path": x.actual.path, "sha256": x.sha256, "url": x.actual.url} for x in located]
    return [x.path for x in located], about


def _pools(dataset: Dataset, source: Source, seed: int) -> Pools:
    if source.groups is not None:
        return grouped_pools(source.groups, _GROUP_FRACTIONS, seed)
    assert dataset.pools is not None
    if dataset.name != "carbon":
        return sequential_pools(source.n_frames, dataset.pools, seed)
    n_train, n_val, n_test = dataset.pools
    first = sequential_pools(n_train + n_val, (n_train, n_val, 0), seed)
    # Shuffled as well, so that a part of the test set is not one kind of structure only.
    second = sequential_pools(n_test, (n_test, 0, 0), seed)["train"]
    return first | {"test": [n_train + n_val + i for i in second]}


def _record(
    dataset: Dataset,
    source: Source,
    sources: list[dict[str, Any]],
    split: Pools,
    requested: dict[str, int | None],
    seed: int,
) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "kan_heads_version": __version__,
        "name": dataset.name,
        "paper_data": dataset.paper_data,
        "stand_in": bool(dataset.stand_in),
        "stand_in_labels": dataset.stand_in or None,
        "relation": dataset.relation,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "units": dataset.units,
        "sources": sources,
        "seed": seed,
        "requested": requested,
        "sizes": {s: len(split[s]) for s in NAMES},
        "index_of": source.index_of,
        "indices": split,
    }


def _same(
    record: dict[str, Any], dataset: Dataset, requested: dict[str, int | None], seed: int, mace: bool
) -> bool:
    # Neither the sources nor their checksums are looked at: the output stays valid when they are gone.
    keys = ("format_version", "name", "requested", "seed", "labels")
    wanted = (FORMAT_VERSION, dataset.name, requested, seed, "mace" if mace else None)
    return tuple(record.get(k) for k in keys) == wanted
