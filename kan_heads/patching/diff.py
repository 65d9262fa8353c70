"""Unified diffs without context, on bytes, forwards and backwards.

Libraries for this read text and lose line ends; whatthepatch 1.0.7 also takes the header of the
second file for a removed line when a diff has no context.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kan_heads.errors import ModelError

_FILE = re.compile(rb"\+\+\+ (\S+)")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass(frozen=True)
class Hunk:
    """Lines that stand in the place of others.

    Args:
        old_start: index of the first removed line, or of the line before which lines are added.
        old: the removed lines with their ends.
        new_start: the same place in the new file.
        new: the added lines with their ends.
    """

    old_start: int
    old: list[bytes]
    new_start: int
    new: list[bytes]


def parse(diff: bytes) -> dict[str, list[Hunk]]:
    """Reads what ``diff -U0`` writes.

    Args:
        diff: the text of the diff, of one file or several.

    Returns:
        the hunks of each file, by the path that stands after ``+++``.

    Raises:
        ModelError: a hunk has context or is cut short.
    """
    files: dict[str, list[Hunk]] = {}
    hunks: list[Hunk] = []
    lines = iter(diff.splitlines(keepends=True))
    for line in lines:
        if match := _FILE.match(line):
            hunks = files.setdefault(match[1].decode(), [])
        elif match := _HUNK.match(line):
            n_old, n_new = (1 if n is None else int(n) for n in (match[2], match[4]))
            old = [_line(next(lines, b""), b"-") for _ in range(n_old)]
            new = [_line(next(lines, b""), b"+") for _ in range(n_new)]
            # Line numbers count from 1; where a side has no lines, its number is of the line before.
            hunks.append(Hunk(int(match[1]) - (n_old > 0), old, int(match[3]) - (n_new > 0), new))
    return files


def apply(hunks: list[Hunk], content: bytes, reverse: bool = False) -> bytes:
    """Applies the hunks of one file.

    Args:
        hunks: in the order of the file.
        content: the file before, or with ``reverse`` after, the change.
        reverse: undo the change.

    Returns:
        the file after, or with ``reverse`` before, the change.

    Raises:
        ModelError: a line that should be replaced is not there.
    """
    lines = content.splitlines(keepends=True)
    for hunk in reversed(hunks):  # from the end, so that line numbers above stay true
        start, old, new = hunk.old_start, hunk.old, hunk.new
        if reverse:
            start, old, new = hunk.new_start, hunk.new, hunk.old
        if lines[start : start + len(old)] != old:
            raise ModelError(f"the patch does not fit at line {start + 1}: it was made for another file")
        lines[start : start + len(old)] = new
    return b"".join(lines)


def _line(line: bytes, sign: bytes) -> bytes:
    if not line.startswith(sign):
        raise ModelError(f"the patch is damaged: expected a line that starts with {sign.decode()!r}")
    return line[1:]
