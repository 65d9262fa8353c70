"""Unpack a zip archive so that nothing can leave its folder and nothing stays half-written."""

from __future__ import annotations

import shutil
import stat
import uuid
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from kan_heads.errors import DataError


def unpack_zip(archive: Path, folder: Path, max_bytes: int = 1 << 30) -> Path:
    """Unpack ``archive`` to the new folder ``folder``.

    Every member is checked before the first one is written; the files go to a temporary sibling
    that is renamed at the end.

    Args:
        archive: the zip file.
        folder: the folder to make; it must not exist.
        max_bytes: refuse archives that unpack to more.

    Returns:
        ``folder``.

    Raises:
        DataError: not a zip file, damaged, too large, or a member that would leave the folder.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already; remove it to unpack {archive.name} there")
    partial = folder.with_name(f".{folder.name}.tmp-{uuid.uuid4().hex}")
    try:
        with zipfile.ZipFile(archive) as z:
            members = z.infolist()
            for m in members:
                _refuse_unsafe(archive, m)
            if sum(m.file_size for m in members) > max_bytes:
                raise DataError(f"{archive} unpacks to more than {max_bytes} bytes; refused")
            partial.mkdir(parents=True)
            z.extractall(partial)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as e:
        raise DataError(f"{archive} is not a sound zip file ({e}); remove it and fetch it again") from e
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    # zipfile itself silently rewrites such names; an archive that has them is not the one we know.
    name = member.filename.replace("\\", "/")
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or drive or ".." in path.parts:
        raise DataError(f"{archive}: member '{member.filename}' would leave the target folder; refused")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(f"{archive}: member '{member.filename}' is a symbolic link; refused")
