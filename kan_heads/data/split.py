"""Splits a user's structures into files to train, validate and test on."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kan_heads._version import __version__
from kan_heads.data.check import purpose_of
from kan_heads.data.convert import named
from kan_heads.data.folder import digest, existing, intact, write_folder
from kan_heads.data.labels import find_label
from kan_heads.data.pools import NAMES, Pools, draw, grouped_pools, sequential_pools
from kan_heads.data.reading import iter_frames
from kan_heads.errors import ConfigError, DataError
from kan_heads.progress import track

if TYPE_CHECKING:
    from ase import Atoms

FORMAT_VERSION = 1
"""Raised when the same request would give other bytes."""

FRACTIONS = (0.8, 0.1, 0.1)
"""Default shares of train, val and test."""

_APART = tuple((name,) for name in NAMES)


def split(
    source: Path,
    out: Path,
    train: int | None = None,
    val: int | None = None,
    test: int | None = None,
    seed: int = 0,
    group: str | None = None,
    mace: bool = False,
) -> dict[str, int]:
    """Draws the frames of a file at random and writes ``train``, ``val``, ``test`` and ``split.json``.

    The same arguments give the same bytes, and a smaller split is a prefix of a larger one.

    Args:
        source: a file of labelled structures that ASE reads.
        out: folder to write; replaced only if it is an earlier split.
        train: frames to train on; None is eight tenths of all.
        val: frames to validate on; None is a tenth.
        test: frames to test on; None is a tenth.
        seed: seed of the draw.
        group: key of the frames' ``info``; frames with the same value stay in one split, as the frames of
            one trajectory should.
        mace: name the labels as MACE does, ``REF_energy``, ``REF_forces`` and ``REF_stress``.

    Returns:
        Frames of each split.

    Raises:
        ConfigError: more frames are asked for than there are.
        DataError: a frame is not sound or has no labels, or ``out`` is not ours.
    """
    require, tensors = purpose_of(source)
    requested = {"train": train, "val": val, "test": test}
    about = {"sha256": digest(source), "requested": requested, "seed": seed, "group": group}
    about |= {"format_version": FORMAT_VERSION, "labels": "mace" if mace else None}
    old = existing(out)
    if old is not None and all(old.get(key) == value for key, value in about.items()) and intact(out, old):
        return old["sizes"]
    # A frame that MACE labelled is read by nequip under ASE's names, and the other way about.
    frames = [named(frame) for frame in track(iter_frames(source), f"reading {source}")]
    require = tuple(name.removeprefix("REF_") for name in require)
    n = len(frames)
    if n == 0:
        raise DataError(f"{source} has no frames; write it again")
    if group is None:
        n_val, n_test = (math.ceil(share * n) if n > 2 else 0 for share in FRACTIONS[1:])
        pools, shared = sequential_pools(n, (n - n_val - n_test, n_val, n_test), seed), (NAMES,)
    else:
        groups = [_group(frame, group, f"{source}: frame {i}") for i, frame in enumerate(frames)]
        least = max(FRACTIONS[2], 1.0 / len(set(groups)))
        pools, shared = grouped_pools(groups, (1.0 - 2.0 * least, least, least), seed), _APART
        _check_filled(pools, requested, f"{source}: --group {group}", len(set(groups)))
    chosen = draw(source.name, pools, requested, shared)
    sizes = {name: len(chosen[name]) for name in NAMES}
    record: dict[str, Any] = {
        **about,
        "kan_heads_version": __version__,
        "source": source.name,
        "sizes": sizes,
        "index_of": f"frame of {source.name}",
        "indices": chosen,
    }
    write_folder(out, source.name, frames.__getitem__, chosen, record, require, tensors)
    return sizes


def _check_filled(pools: Pools, requested: dict[str, int | None], where: str, n_groups: int) -> None:
    for name in NAMES:
        if not pools[name] and requested[name] is None:
            raise ConfigError(
                f"{where} makes {n_groups} groups, too few or too unequal to leave one for {name}; "
                f"give --{name} 0, another --seed, or a finer key"
            )


def _group(frame: Atoms, key: str, where: str) -> Hashable:
    value = find_label(frame, key)
    if value is None:
        raise DataError(f"{where} has no '{key}'; name a key that every frame has, or leave out --group")
    return str(value)
