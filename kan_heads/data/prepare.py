"""Write ``train``, ``val`` and ``test`` files of a data set that any nequip-like code can read."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kan_heads._version import __version__
from kan_heads.data._files import Say, digest, say_stderr
from kan_heads.data.check import check_frames
from kan_heads.data.fetch import fetch_all
from kan_heads.data.registry import Dataset, lookup
from kan_heads.data.sources import READERS, Source
from kan_heads.data.split import NAMES, Pools, draw, grouped_pools, sequential_pools
from kan_heads.errors import DataError
from kan_heads.progress import track

FORMAT_VERSION = 1
"""Raised when the same request would give other bytes."""

_RECORD = "split.json"
_GROUP_FRACTIONS = (0.6, 0.2, 0.2)
# Which splits may take frames from each other. Carbon's test set is the published one, and groups of
# ruthenium must not straddle splits.
_SHARED = {"carbon": (("train", "val"), ("test",)), "ru": (("train",), ("val",), ("test",))}
_STALE_S = 3600.0


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
    existing = _existing(out)
    same = existing is not None and _same(existing, dataset, requested, seed, mace)
    if same and _intact(out, existing):
        say(f"{out}: already prepared")
        return Prepared(out, existing["sizes"], already=True)

    with tempfile.TemporaryDirectory(prefix="kan-heads-") as work:
        paths, sources = _locate(dataset, say)
        source = READERS[name](paths, Path(work))
        split = draw(name, _pools(dataset, source, seed), requested, _SHARED.get(name, (NAMES,)))
        record = _record(dataset, source, sources, split, requested, seed)
        if mace:
            record["labels"] = "mace"
        _write(out, dataset, source, split, record)
    if dataset.stand_in:
        say(f"{name}: a stand-in ({dataset.stand_in}), not the paper's data")
    sizes = record["sizes"]
    say(f"{out}: {', '.join(f'{sizes[s]} {s}' for s in NAMES)}")
    return Prepared(out, sizes, already=False)


def _locate(dataset: Dataset, say: Say) -> tuple[list[Path], list[dict[str, Any]]]:
    """Local paths, and what ``split.json`` says of them."""
    if not dataset.files:
        from kan_heads.data import ag_emt

        path = ag_emt.cached(say=say)
        return [path], [{"path": ag_emt.RELATIVE_PATH, "sha256": digest(path), "url": None}]
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


def _write(out: Path, dataset: Dataset, source: Source, split: Pools, record: dict[str, Any]) -> None:
    import ase.io

    # Not tempfile.mkdtemp: its folders are private to the user, and this one stays.
    partial = out.parent / f".{out.name}.tmp-{uuid.uuid4().hex}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        partial.mkdir()
        files = {}
        for s in NAMES:
            if split[s]:
                indices = track(split[s], f"{dataset.name} {s}", len(split[s]))
                frames = [source.build(i) for i in indices]
                check_frames(frames, f"{dataset.name} {s}", require=dataset.labels)
                if "labels" in record:
                    frames = [_named_for_mace(frame) for frame in frames]
                ase.io.write(partial / f"{s}.extxyz", frames, format="extxyz")
                files[f"{s}.extxyz"] = digest(partial / f"{s}.extxyz")
        _write_record(partial / _RECORD, record | {"files": files})
        _swap(partial, out)
    except OSError as e:
        raise DataError(f"cannot write {out} ({e.strerror}); choose another --out or make room") from e
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _named_for_mace(frame: Any) -> Any:
    """The frame without calculator, its labels where MACE looks for them."""
    from ase.stress import voigt_6_to_full_3x3_stress

    calculator, frame.calc = frame.calc, None
    for name, value in calculator.results.items():
        if name == "forces":
            frame.arrays["REF_forces"] = value
        elif name == "stress":
            frame.info["REF_stress"] = voigt_6_to_full_3x3_stress(value)
        else:
            frame.info[f"REF_{name}"] = value
    return frame


def _write_record(path: Path, record: dict[str, Any]) -> None:
    # One line per key: thousands of indices would otherwise take a line each.
    lines = (f" {json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in record.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _swap(partial: Path, out: Path) -> None:
    """Put the complete folder in place; a folder cannot be renamed over a full one in one step."""
    old = None
    if out.exists():
        _existing(out)  # again, right before it goes
        old = out.parent / f".{out.name}.tmp-{uuid.uuid4().hex}"
        os.rename(out, old)
    os.rename(partial, out)
    if old is not None:
        shutil.rmtree(old)


def _sweep(out: Path) -> None:
    """Remove what killed runs left, unless it is young enough to belong to a run in progress."""
    for left in out.parent.glob(f".{out.name}.tmp-*"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _existing(out: Path) -> dict[str, Any] | None:
    """The record of an earlier output; None where ``out`` is missing or an empty folder.

    Raises:
        DataError: ``out`` holds anything that ``prepare`` did not write.
    """
    if not out.exists():
        return None
    remedy = "choose another --out, or remove it yourself"
    if not out.is_dir():
        raise DataError(f"{out} is a file, not a folder; {remedy}")
    present = {p.name for p in out.iterdir()}
    if not present:
        return None
    foreign = sorted(present - {_RECORD} - {f"{s}.extxyz" for s in NAMES})
    if foreign:
        raise DataError(f"{out} holds '{foreign[0]}', which 'data prepare' did not write; {remedy}")
    try:
        record = json.loads((out / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise DataError(f"{out} was not written by 'data prepare' (no readable {_RECORD}); {remedy}") from e
    if not isinstance(record, dict) or "format_version" not in record or "files" not in record:
        raise DataError(f"{out}/{_RECORD} was not written by 'data prepare'; {remedy}")
    return record


def _same(
    record: dict[str, Any], dataset: Dataset, requested: dict[str, int | None], seed: int, mace: bool
) -> bool:
    # Neither the sources nor their checksums are looked at: the output stays valid when they are gone.
    keys = ("format_version", "name", "requested", "seed", "labels")
    wanted = (FORMAT_VERSION, dataset.name, requested, seed, "mace" if mace else None)
    return tuple(record.get(k) for k in keys) == wanted


def _intact(out: Path, record: dict[str, Any]) -> bool:
    files = {p.name for p in out.glob("*.extxyz")}
    return files == set(record["files"]) and all(
        digest(out / name) == checksum for name, checksum in record["files"].items()
    )
