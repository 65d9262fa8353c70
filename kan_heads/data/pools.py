"""Reproducible splits in which a smaller set is a prefix of a larger one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from kan_heads.errors import ConfigError

NAMES = ("train", "val", "test")

Pools = dict[str, list[int]]


def sequential_pools(n: int, sizes: Sequence[int], seed: int) -> Pools:
    """Train from the front of a seeded permutation, val after it, test from its end.

    ``numpy.random.RandomState`` because its stream is frozen: the split is the same with every numpy.
    For SiO2 with seed 42 this is the published split.
    """
    order = np.random.RandomState(seed).permutation(n).tolist()
    train, val, test = sizes
    return {
        "train": order[:train],
        "val": order[train : train + val],
        "test": order[n - test :],
    }


def grouped_pools(groups: Sequence[Hashable], fractions: Sequence[float], seed: int) -> Pools:
    """Whole groups, in a seeded order, fill train, then val, then test up to their fractions.

    Args:
        groups: group of each frame, ``(n_frames,)``.
        fractions: wished share of train, val and test; the shares come out close to them.
        seed: seed of the order of the groups.
    """
    members: dict[Hashable, list[int]] = {}
    for i, g in enumerate(groups):
        members.setdefault(g, []).append(i)
    keys = list(members)
    rng = np.random.RandomState(seed)
    ends = np.cumsum(fractions)[:2] * len(groups)
    pools: Pools = {s: [] for s in NAMES}
    done = 0
    for k in rng.permutation(len(keys)):
        frames = members[keys[k]]
        # The middle of the group decides, so that a large group overshoots and undershoots alike.
        pools[NAMES[int(np.searchsorted(ends, done + len(frames) / 2))]] += frames
        done += len(frames)
    for s in NAMES:  # a prefix of a pool shall not be a few whole groups only
        pools[s] = [pools[s][i] for i in rng.permutation(len(pools[s]))]
    return pools


def draw(name: str, pools: Pools, sizes: dict[str, int | None], shared: Sequence[Sequence[str]]) -> Pools:
    """The frames of each split: prefixes of the pools, with overflow into pools that may share.

    Args:
        name: the data set, for the error message.
        pools: default frames of each split, in order.
        sizes: wished sizes; None is the whole pool.
        shared: the sets of splits that may take frames from each other's pools once their own is
            used up, e.g. ``[("train", "val"), ("test",)]``.

    Returns:
        Disjoint frame indices of each split. Within the default sizes a smaller split is always a
        prefix of a larger one.

    Raises:
        ConfigError: more frames are asked for than exist.
    """
    want = {s: len(pools[s]) if (n := sizes[s]) is None else n for s in NAMES}
    for s in NAMES:
        if want[s] < 0:
            raise ConfigError(f"{name}: --{s} {want[s]} is negative; give 0 or more")
    if want["train"] < 1:
        raise ConfigError(f"{name}: --train 0 leaves nothing to train on; give 1 or more")
    result = {s: pools[s][: want[s]] for s in NAMES}
    for team in shared:
        total, asked = sum(len(pools[s]) for s in team), sum(want[s] for s in team)
        if asked > total:
            raise ConfigError(
                f"{name} has {total} frames for {' + '.join(team)}, but "
                f"{' + '.join(str(want[s]) for s in team)} = {asked} were asked for; ask for fewer"
            )
        used = {i for s in team for i in result[s]}
        for s in team:
            # From the far end of the other pools, so that their own growth meets the overflow last.
            spare = [i for other in team for i in reversed(pools[other]) if i not in used]
            extra = spare[: want[s] - len(result[s])]
            result[s] = result[s] + extra
            used.update(extra)
    return result
