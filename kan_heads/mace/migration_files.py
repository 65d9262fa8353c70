"""The two files of a migration, looked at without running code that is stored in them."""

import contextlib
import os
import zipfile
from pathlib import Path
from typing import Iterator

from kan_heads.errors import ConfigError, ModelError
from kan_heads.writing import whole


def check_paths(old: str, new: str) -> None:
    """Checks what can be seen without running code of the file.

    Args:
        old: the file to read.
        new: the file to write.

    Raises:
        ConfigError: if ``new`` exists or its folder does not.
        ModelError: if ``old`` is missing, truncated or not written by ``torch.save``.
    """
    if not os.path.isfile(old):
        raise ModelError(f"{old}: no such file; give a model that MACE has saved")
    with open(old, "rb") as file:
        start = file.read(2)
    if start == b"PK":
        _check_archive(old)
    elif start[:1] != b"\x80":
        raise ModelError(f"{old}: is no file of torch.save; give a model that MACE has saved")
    if os.path.lexists(new):
        same = os.path.exists(new) and os.path.samefile(old, new)
        what = "is the file to migrate itself" if same else "exists already and is not overwritten"
        raise ConfigError(f"{new}: {what}; give another name for the new file")
    folder = os.path.dirname(new) or "."
    if not os.path.isdir(folder):
        raise ConfigError(f"{new}: there is no folder {folder}; make it first")


def _check_archive(path: str) -> None:
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: is truncated, its end is missing; copy or download it again")
    with zipfile.ZipFile(path) as archive:
        names = {name.partition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        raise ModelError(
            f"{path}: is compiled (TorchScript) and cannot be migrated; give the model that it was compiled "
            "from, NAME.model instead of NAME_compiled.model"
        )
    if "data.pkl" not in names:
        raise ModelError(
            f"{path}: is a zip archive without a saved object; it is no model, or the program that saved it "
            "failed halfway"
        )


@contextlib.contextmanager
def appears_whole(path: str) -> Iterator[Path]:
    """Gives a file beside ``path`` that takes its name in the end, or disappears if an error ends the block.

    Args:
        path: the file that is to appear.

    Yields:
        The path to write to.

    Raises:
        ConfigError: if the file cannot be written, or exists at the end.
    """
    try:
        with whole(path) as new:
            new.touch()  # says at once that nothing can be written
            yield new
            if os.path.lexists(path):
                raise ConfigError(f"{path}: has come into being meanwhile and is not overwritten")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from error
