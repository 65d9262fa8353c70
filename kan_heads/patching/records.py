"""The patches that come with kan-heads, and their records of checksums."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path

from kan_heads.errors import ConfigError, ModelError
from kan_heads.patching import diff

#: The distribution behind each name that ``kan-heads patch`` takes.
TARGETS = {"mace": "mace-torch"}


@dataclass(frozen=True)
class Patch:
    """The patch for one release.

    Args:
        pristine: sha256 of every file as released, by its path in site-packages.
        patched: the same after the patch.
        hunks: what changes in each file.
    """

    pristine: dict[str, str]
    patched: dict[str, str]
    hunks: dict[str, list[diff.Hunk]]


def find_patch(distribution: str, version: str, folder: Path) -> Patch:
    """Reads the patch for an installed release.

    Args:
        distribution: name of the package, e.g. ``mace-torch``.
        version: its installed version.
        folder: where the patches are, see :func:`patches_dir`.

    Raises:
        ModelError: there is no patch for this release, or its records contradict each other.
    """
    stem = f"{distribution}-"
    supported = sorted(
        (path.name[len(stem) : -len(".patch")] for path in folder.glob(f"{stem}*.patch")), key=_numbers
    )
    if version not in supported:
        remedy = f"run: pip install '{distribution}=={supported[-1]}'" if supported else "reinstall kan-heads"
        known = ", ".join(supported) or "no release"
        raise ModelError(
            f"{distribution} {version} is installed, there is a patch for {known} only; {remedy}"
        )
    pristine, patched = (
        _checksums(folder / f"{stem}{version}.{state}.sha256") for state in ("pristine", "patched")
    )
    hunks = diff.parse((folder / f"{stem}{version}.patch").read_bytes())
    if not pristine.keys() == patched.keys() == hunks.keys():
        raise ModelError(
            f"{folder}: the records of {stem}{version} name different files; reinstall kan-heads"
        )
    return Patch(pristine, patched, hunks)


def patches_dir() -> Path:
    """The folder of patches: in the clone, or where pip has put it.

    Raises:
        ConfigError: it is in neither place.
    """
    root = Path(__file__).parents[2]
    if (root / "pyproject.toml").is_file() and (root / "patches").is_dir():
        return root / "patches"
    try:
        files = importlib.metadata.files("kan-heads") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.match("share/kan-heads/patches/*.patch"):
            return Path(str(file.locate())).resolve().parent
    raise ConfigError("the patches that come with kan-heads are missing; reinstall kan-heads")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def _checksums(path: Path) -> dict[str, str]:
    """Reads a list in the format of ``sha256sum``."""
    try:
        pairs = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines() if line)
        return {name: checksum for checksum, name in pairs}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); reinstall kan-heads") from error
