"""One file over HTTP with the standard library: resumed, verified, then moved into place at once."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.datasets.files import Say, file_lock, say_stderr
from kan_heads.data.folder import digest
from kan_heads.errors import DataError
from kan_heads.progress import Bar

_BLOCK = 1 << 16
_REMEDY = "set KAN_HEADS_DATA to a folder that holds the data"


def download(
    url: str,
    target: Path,
    sha256: str | None = None,
    md5: str | None = None,
    timeout: float = 30.0,
    say: Say = say_stderr,
) -> Path:
    """Fetch ``url`` to ``target``; ``target`` appears only when complete and verified.

    The bytes go to ``target.part``, which a later call resumes with a Range request. A file without
    a known checksum is never resumed: a mix of two versions would go unnoticed.

    Args:
        url: http(s) address.
        target: where the file goes; its folder is made.
        sha256: expected checksum, or None.
        md5: expected checksum, or None; used where ``sha256`` is None.
        timeout: seconds without an answer after which the origin counts as unreachable.
        say: where messages go.

    Returns:
        ``target``.

    Raises:
        DataError: the origin cannot be reached, answers with an error, sends too little, or sends
            other bytes than expected.
    """
    with file_lock(target):
        if target.exists():
            return target  # another process was faster
        part = target.with_name(target.name + ".part")
        if sha256 is None and md5 is None:
            part.unlink(missing_ok=True)
        _transfer(url, target.name, part, timeout)
        _verify(url, target.name, part, sha256, md5, say)
        os.replace(part, target)
    return target


def _transfer(url: str, name: str, part: Path, timeout: float) -> None:
    """Append what is missing to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "kan-heads"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            # A server may ignore Range and send everything from the start (200 instead of 206).
            resumed = response.status == 206 and _range_start(response) == have
            if response.status == 206 and not resumed:
                part.unlink()
                raise DataError(f"{name}: {url} answered with another range than asked for; run it again")
            length = response.headers.get("Content-Length")
            done = have if resumed else 0
            total = done + int(length) if length else None
            with part.open("ab" if resumed else "wb") as f, Bar(name, total, in_bytes=True) as bar:
                while block := response.read(_BLOCK):
                    f.write(block)
                    done += len(block)
                    bar.update(done)
    except urllib.error.HTTPError as e:
        if e.code == 416:  # the .part is as long as the file or longer: let the checksum decide
            return
        raise DataError(f"{name}: {url} answered {e.code} {e.reason}; {_REMEDY}") from e
    except (OSError, http.client.HTTPException) as e:
        if part.exists() and part.stat().st_size:
            raise DataError(
                f"{name}: the connection to {url} broke after {part.stat().st_size} bytes ({_reason(e)}); "
                f"they are kept in {part}, run the command again to resume"
            ) from e
        raise DataError(f"{name}: cannot reach {url} ({_reason(e)}); are you offline? {_REMEDY}") from e
    if total is not None and done < total:
        raise DataError(
            f"{name}: {url} sent {done} of {total} bytes; they are kept in {part}, "
            "run the command again to resume"
        )


def _range_start(response: http.client.HTTPResponse) -> int:
    """First byte of a ``Content-Range: bytes 5-9/10`` answer, -1 where there is none."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    start = rest.partition("-")[0]
    return int(start) if unit == "bytes" and start.isdigit() else -1


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error or type(error).__name__)


def _verify(url: str, name: str, part: Path, sha256: str | None, md5: str | None, say: Say) -> None:
    kind, expected = ("sha256", sha256) if sha256 else ("md5", md5)
    if expected is None:
        say(f"{name}: no checksum is known for {url}: not verified; got sha256 {digest(part)}")
        return
    got = digest(part, kind)
    if got != expected:
        part.unlink()
        raise DataError(
            f"{name}: {url} sent other bytes than expected ({kind} {got}, expected {expected}); the download "
            f"was removed: run the command again, and if that repeats the origin has changed: {_REMEDY}"
        )
