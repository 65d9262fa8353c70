"""Where a data file lies: ``$KAN_HEADS_DATA``, then the cache, then its public origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets.download import download
from benchmarks.datasets.files import Say, find, say_stderr
from benchmarks.datasets.registry import DataFile, Dataset, lookup
from kan_heads.data.folder import digest
from kan_heads.errors import DataError
from kan_heads.paths import cache_dir


@dataclass(frozen=True)
class Located:
    """A verified local file: ``wanted`` is the registry's entry, ``actual`` it or its fallback."""

    path: Path
    sha256: str
    wanted: DataFile
    actual: DataFile


def availability(dataset: Dataset) -> str:
    """Where ``get`` would take the set from: folder, cache, origin, generated or nowhere."""
    if dataset.generate is not None:
        found = find(dataset.generated)
        return found[1] if found else "generated on demand"
    places = {_place(f) for f in dataset.files if f.needed}
    for place in ("not public", "origin", "cache", "folder"):  # the worst of them decides
        if place in places:
            return place
    return "not public"


def _place(file: DataFile) -> str:
    for candidate in (file, file.fallback):
        if candidate is not None and (found := find(candidate.path)):
            return found[1]
    return "origin" if file.url or file.fallback else "not public"


def fetch(file: DataFile, say: Say = say_stderr) -> Located:
    """Find or download one file and verify it.

    Raises:
        DataError: it is damaged, cannot be downloaded, or has no public address.
    """
    for candidate in (file, file.fallback):
        if candidate is not None and (found := find(candidate.path)):
            return Located(found[0], _verified(found[0], candidate), file, candidate)
    for candidate in (file, file.fallback):
        if candidate is not None and candidate.url:
            target = cache_dir() / candidate.path
            try:
                path = download(candidate.url, target, candidate.sha256, candidate.md5, say=say)
            except DataError as e:
                if not file.how_to_get:
                    raise
                raise DataError(f"{e}; {file.how_to_get}") from e
            return Located(path, digest(path), file, candidate)
    raise DataError(f"{file.path} is not in KAN_HEADS_DATA or the cache: {file.how_to_get}")


def fetch_all(dataset: Dataset, needed_only: bool = False, say: Say = say_stderr) -> list[Located]:
    """Find or download the files of a set, in the registry's order; prints the licence once."""
    files = [f for f in dataset.files if f.needed or not needed_only]
    if any(_place(f) == "origin" for f in files):
        say(f"{dataset.name}: licence: {dataset.licence}; cite: {dataset.citation}")
    return [fetch(f, say) for f in files]


def get(name: str, say: Say = say_stderr) -> dict[str, Path]:
    """Make a data set available locally.

    Args:
        name: name of the data set.
        say: where messages go.

    Returns:
        Local path of each file by its registry path. A file that was fetched in its origin's format
        has that file's path as key.

    Raises:
        ConfigError: unknown name.
        DataError: a file is damaged or cannot be had.
    """
    dataset = lookup(name)
    if dataset.generate is not None:
        return {dataset.generated: dataset.generate(say)}
    return {x.actual.path: x.path for x in fetch_all(dataset, say=say)}


def _verified(path: Path, file: DataFile) -> str:
    got = digest(path)
    kind, expected = ("sha256", file.sha256) if file.sha256 else ("md5", file.md5)
    actual = got if kind == "sha256" else digest(path, kind)
    if expected is not None and actual != expected:
        raise DataError(
            f"{path} is damaged or another version ({kind} {actual}, expected {expected}); "
            "remove it so that it is fetched again, or restore the right copy"
        )
    return got
