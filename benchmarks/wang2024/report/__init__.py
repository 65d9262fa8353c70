"""The report of a budget: what was measured, beside what the paper prints, as Markdown, HTML and pictures.

One Markdown text is made of tables, published values and records; the HTML is that text, rendered. With one
release of matplotlib the same records give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kan_heads.writing import write_files

if TYPE_CHECKING:
    from benchmarks.wang2024.budget import Budget
    from benchmarks.wang2024.table import Table

__all__ = ["write"]


def write(
    tables: Mapping[int, Table],
    records: Mapping[str, dict[str, Any]],
    budget: Budget,
    out: Path,
    configs: Path,
) -> list[Path]:
    """Writes ``report.md``, ``report.html`` and ``table-N-*.svg``.

    Args:
        tables: declared tables by number.
        records: records by name of the job; those of other budgets are left out, and the report says so.
        budget: the budget; its name and its line ``about`` are printed.
        out: folder, made if there is none. Pictures of an earlier report that are not made any more go.
        configs: configurations, for Table 1.

    Returns:
        The files, the reports first.
    """
    from benchmarks.wang2024.report import html
    from benchmarks.wang2024.report.text import compose

    text, pictures = compose(tables, records, budget, configs)
    contents = {
        "report.md": text.encode("utf-8"),
        "report.html": html.page(text, pictures).encode("utf-8"),
        **pictures,
    }
    write_files({out / name: content for name, content in contents.items()})
    for path in out.glob("table-*.svg"):
        if path.name not in contents:
            path.unlink()
    return [out / name for name in contents]
