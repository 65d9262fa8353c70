"""One table in Markdown of a whole run, short enough for the end of a log."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.compare import MLP
from benchmarks.gpu.log import OK, SKIPPED
from benchmarks.markdown import escape, table

_REASON = 110  # characters of a reason


def summary(rows: list[dict[str, Any]]) -> str:
    """Writes the table: checks by their worst error, times with their ratios, and what failed."""
    lines = [*_checks(rows), *_times(rows), *_troubles(rows)]
    return table(("part", "what", "result"), lines, left=3)


def _checks(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        if "error" in row:
            groups.setdefault((row["section"], f"{row.get('dtype', '')} {row['quantity']}"), []).append(row)
    lines = []
    for (section, what), mine in groups.items():
        worst = max(mine, key=lambda row: row["error"])
        right = sum(row["status"] == OK for row in mine)
        case = escape(f"{worst['name']} {worst.get('widths', '')}")
        text = f"{right} of {len(mine)} right, largest error {worst['error']:.1e} ({case})"
        lines.append((section, what.strip(), text))
    return lines


def _times(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """A line for each block or model and phase: for each size the MLP's time and ratios to it."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in rows:
        if row.get("ratio") is None:
            continue
        sizes = [f"{row[unit]:,} {unit}" for unit in ("rows", "structures", "atoms") if row.get(unit)]
        what = escape(f"{row.get('widths', '')} {row['phase']}".strip())
        parts = groups.setdefault((row["section"], what), {}).setdefault(" ".join(sizes), [])
        if not parts:
            memory = f", {row['mlp_peak_mb']:.0f} MB" if "mlp_peak_mb" in row else ""
            parts.append(f"MLP {row['mlp_ms']:.3g} ms{memory}")
        if row["name"] != MLP:
            parts.append(f"{escape(row['name'])} {row['ratio']:.3g}{_scatter(row)}")
    lines = []
    for (section, what), by_size in groups.items():
        text = "; ".join(f"{size}: {', '.join(parts)}" for size, parts in by_size.items())
        lines.append((section, what, text))
    return lines


def _scatter(row: dict[str, Any]) -> str:
    if row["section"].startswith("blocks"):
        return ""  # in the record; here the table would grow too long
    error = f" ± {row['ratio_error']:.2g}" if "ratio_error" in row else ""
    return error + (f" ({row['peak_mb']:.0f} MB)" if "peak_mb" in row else "")


def _troubles(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What is wrong or failed, rows of one reason in one line."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row["status"] == OK:
            continue
        reason = row["status"][:_REASON]
        if reason == "wrong":
            reason = f"wrong: {row.get('dtype', '')} {row.get('quantity', '')}"
        what = row.get("quantity") or row.get("phase") or ""
        key = (row["section"], "" if reason.startswith((SKIPPED, "wrong")) else what, reason)
        groups.setdefault(key, []).append(f"{row['name']} {row.get('widths', '')}".strip())
    lines = []
    for (section, what, reason), names in groups.items():
        few = ", ".join(dict.fromkeys(names))
        text = f"{reason}: {few}" if len(few) < 160 else f"{reason}: {len(names)} rows"
        lines.append((section, escape(what), escape(text)))
    return lines
