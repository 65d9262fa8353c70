"""Markdown as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|&~$#])")


def escape(text: object) -> str:
    """Any text as one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", re.sub(r"[ \t\r\n]+", " ", str(text)).strip())


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table.

    Args:
        headings: headings, in Markdown.
        rows: cells, in Markdown.
        left: how many columns are aligned to the left; the others, of numbers, to the right.
    """
    rule = ["---"] * left + ["---:"] * (len(headings) - left)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (headings, rule, *rows))


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {item}" for item in items)


def image(name: str, title: str, caption: str) -> str:
    """A picture in a file beside the report, and what stands below it."""
    return f"![{escape(title)}]({name})\n\n*{escape(caption)}*"


def document(blocks: Iterable[str]) -> str:
    """Blocks with an empty line between two."""
    return "\n\n".join(block for block in blocks if block) + "\n"
