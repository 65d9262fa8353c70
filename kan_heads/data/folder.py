"""Folders of ``train``, ``val`` and ``test`` files that any nequip-like code and MACE can read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kan_heads.data.check import check_frames
from kan_heads.data.convert import named
from kan_heads.data.labels import TensorLabel
from kan_heads.data.pools import NAMES, Pools
from kan_heads.errors import DataError
from kan_heads.progress import track

if TYPE_CHECKING:
    from ase import Atoms

RECORD = "split.json"
"""The file that says what the others are."""

_STALE_S = 3600.0


def digest(path: Path, kind: str = "sha256") -> str:
    """Hex digest of a file (``kind``: sha256 or md5)."""
    # md5 is what Materials Cloud publishes; it guards against damage here, not against an attacker.
    h = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def write_folder(
    out: Path,
    name: str,
    build: Callable[[int], Atoms],
    split: Pools,
    record: dict[str, Any],
    require: Sequence[str],
    tensors: dict[str, TensorLabel] | None = None,
) -> None:
    """Writes the files of a split and ``split.json``; the folder appears at once when it is complete.

    A split of zero frames has no file. A run that is killed leaves the old folder, or none.

    Args:
        out: folder; replaced only if it is an earlier output.
        name: what the frames are of, for messages.
        build: makes frame i of the source, 0-based.
        split: indices of the frames of ``train``, ``val`` and ``test``.
        record: content of ``split.json``; where ``labels`` in it is ``mace``, the labels get MACE's names.
        require: labels that every frame must have.
        tensors: labels that are 3 x 3 tensors.

    Raises:
        DataError: a frame is not sound, ``out`` holds what was not written so, or cannot be written.
    """
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
                frames = [build(i) for i in track(split[s], f"{name} {s}", len(split[s]))]
                check_frames(frames, f"{name} {s}", require=require, tensors=tensors)
                if record.get("labels") == "mace":
                    frames = [named(frame, mace=True) for frame in frames]
                ase.io.write(partial / f"{s}.extxyz", frames, format="extxyz")
                files[f"{s}.extxyz"] = digest(partial / f"{s}.extxyz")
        _write_record(partial / RECORD, record | {"files": files})
        _swap(partial, out)
    except OSError as e:
        raise DataError(f"cannot write {out} ({e.strerror}); choose another --out or make room") from e
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_record(path: Path, record: dict[str, Any]) -> None:
    # One line per key: thousands of indices would otherwise take a line each.
    lines = (f" {json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in record.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _swap(partial: Path, out: Path) -> None:
    """Put the complete folder in place; a folder cannot be renamed over a full one in one step."""
    old = None
    if out.exists():
        existing(out)  # again, right before it goes
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


def existing(out: Path) -> dict[str, Any] | None:
    """The record of an earlier output; None where ``out`` is missing or an empty folder.

    Raises:
        DataError: ``out`` holds anything else.
    """
    if not out.exists():
        return None
    remedy = "choose another --out, or remove it yourself"
    if not out.is_dir():
        raise DataError(f"{out} is a file, not a folder; {remedy}")
    present = {p.name for p in out.iterdir()}
    if not present:
        return None
    foreign = sorted(present - {RECORD} - {f"{s}.extxyz" for s in NAMES})
    if foreign:
        raise DataError(f"{out} holds '{foreign[0]}', which is not part of a split; {remedy}")
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise DataError(f"{out} was not written by kan-heads (no readable {RECORD}); {remedy}") from e
    if not isinstance(record, dict) or "format_version" not in record or "files" not in record:
        raise DataError(f"{out}/{RECORD} was not written by kan-heads; {remedy}")
    return record


def intact(out: Path, record: dict[str, Any]) -> bool:
    """Tells whether a folder still holds the files that its record names, unchanged."""
    files = {p.name for p in out.glob("*.extxyz")}
    return files == set(record["files"]) and all(
        digest(out / name) == checksum for name, checksum in record["files"].items()
    )
