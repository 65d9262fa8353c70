"""The whole report: verdicts first, then table by table, then what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.markdown import bullets, document, escape
from benchmarks.wang2024.report import provenance
from benchmarks.wang2024.report.figures import pictures_of
from benchmarks.wang2024.report.numbers import NONE
from benchmarks.wang2024.report.runs import Record, join
from benchmarks.wang2024.report.samples import LEAST_SEEDS
from benchmarks.wang2024.report.sections import section, summary, verdict_table
from benchmarks.wang2024.report.verdicts import OUTCOMES, RULE, Verdict, judge
from benchmarks.wang2024.table import Table

if TYPE_CHECKING:
    from benchmarks.wang2024.budget import Budget

_READING = (
    "Measured values are mean ± standard deviation over the seeds, with n less one in the denominator. "
    f"Fewer than {LEAST_SEEDS} seeds are marked by their number.",
    "Published values are the paper's, as printed; mean ± standard deviation where it prints several seeds.",
    "Changes are those of the mean against the mean of the row that is called the baseline, on the seeds "
    "that both have; measured against measured and published against published.",
    f"“{NONE}”: there is no such value, because the paper prints none or there is nothing to compare. "
    "“not run”, “not measured” and “diverged” mean what they say; a row of which a run diverged has no mean.",
    "Controls are rows that the paper does not have.",
)


def compose(
    tables: Mapping[int, Table], records: Mapping[str, Record], budget: Budget, configs: Path
) -> tuple[str, dict[str, bytes]]:
    """Returns the report in Markdown and its pictures, SVG by file name."""
    ours = {name: record for name, record in records.items() if record["budget"] == budget.name}
    verdicts: dict[int, list[Verdict]] = {}
    sections: list[str] = []
    pictures: dict[str, bytes] = {}
    for number, table in sorted(tables.items()):
        sections += [f"## Table {number}", f"**{escape(table.title)}**"]
        if table.kind == "summary":
            sections += summary(table, configs)
            continue
        runs = join(table, ours)
        verdicts[number] = [judge(runs, claim) for claim in table.claims]
        drawn = pictures_of(runs, budget.name)
        pictures |= {picture.name: picture.svg for picture in drawn}
        sections += section(runs, verdicts[number], drawn, budget.dynamics_steps)
    blocks = [
        "# The tables of Wang et al. (J. Mater. Inf. 2024;4:32), run again",
        f"Budget **{escape(budget.name)}**: {escape(budget.about)}",
        *_verdicts(verdicts),
        "## How to read the tables",
        bullets(_READING),
        *sections,
        *_runs(list(ours.values()), len(records) - len(ours)),
    ]
    return document(blocks), pictures


def _verdicts(verdicts: dict[int, list[Verdict]]) -> list[str]:
    flat = [(number, verdict) for number, found in verdicts.items() for verdict in found]
    if not flat:
        return []
    counts = Counter(verdict.outcome for _, verdict in flat)
    counted = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
    return [
        "## Verdicts on what the paper says",
        f"Of {len(flat)} claims, at this budget: {counted}.",
        verdict_table([verdict for _, verdict in flat], [number for number, _ in flat]),
        f"The rule: {escape(RULE)}",
    ]


def _runs(records: list[dict[str, Any]], others: int) -> Iterable[str]:
    yield "## Runs"
    if others:
        yield f"{others:,} record{'s' * (others != 1)} of other budgets left out."
    if records:
        yield provenance.all_runs(records)
        yield "What the budget changes in the configurations:"
        yield provenance.overrides(records)
        yield provenance.versions(records)
    else:
        yield "There are none at this budget."
