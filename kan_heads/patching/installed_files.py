"""The list of installed files, RECORD, which installers write into the dist-info folder of a package."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping

_ENTRY = re.compile(rb'("(?:[^"]|"")*"|[^,"]*),sha256=([\w-]+),(\d*)(\r?\n?)')


def corrected(record: bytes, files: Mapping[str, bytes], known: Mapping[str, Collection[str]]) -> bytes:
    """Brings checksums and sizes of some files up to date; every other byte stays.

    Args:
        record: content of RECORD.
        files: contents by path in site-packages.
        known: sha256 that each file can have, in hexadecimal digits. An entry with another one is none of
            ours and stays, as does one without checksum.

    Returns:
        the new content of RECORD.
    """
    lines = record.splitlines(keepends=True)
    for i, line in enumerate(lines):
        entry = _ENTRY.fullmatch(line)
        if entry is None:
            continue
        written, checksum, size, end = entry.groups()
        name = written.strip(b'"').replace(b'""', b'"').decode(errors="surrogateescape")
        if name in files and checksum in {_encoded(digest) for digest in known[name]}:
            new = _encoded(hashlib.sha256(files[name]).hexdigest())
            length = b"%d" % len(files[name]) if size else b""
            lines[i] = written + b",sha256=" + new + b"," + length + end
    return b"".join(lines)


def _encoded(digest: str) -> bytes:
    """The form in which RECORD has a checksum."""
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=")
