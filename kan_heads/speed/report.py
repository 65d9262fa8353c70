"""The results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.table import Table

from kan_heads.speed import targets
from kan_heads.speed.cases import BLOCK_CASES, PHASES
from kan_heads.speed.rows import Row

BLOCKS = {case.name: case for case in BLOCK_CASES}


def to_json(rows: Iterable[Row]) -> str:
    """A list of rows, see :class:`kan_heads.speed.rows.Row` for the keys."""
    lines = ",\n ".join(json.dumps(row.to_dict()) for row in rows)
    return f"[{lines}]"


class Report:
    """Tables of ratios, each beside its target where it has one.

    Targets are meant for float32; other precisions are shown without.

    Args:
        rows: the results.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = list(rows)
        self._verdicts: list[bool] = []

    def tables(self) -> list[Table]:
        """One table for each block case."""
        self._verdicts = []
        return [self._block_table(name) for name in self._names if name in BLOCKS]

    def summary(self) -> str:
        """Which targets are met, and where all this was measured; call it after :meth:`tables`."""
        first = self._rows[0]
        met = f"{sum(self._verdicts)} of {len(self._verdicts)} targets met\n" if self._verdicts else ""
        place = f"{first.host}, {first.threads} thread(s), torch {first.torch}"
        return f"{met}{place}, {first.device}, {first.dtype}, KANs on {first.kernels}"

    @property
    def _names(self) -> list[str]:
        """Names of the cases, in their order."""
        return list(dict.fromkeys(row.case for row in self._rows))

    def _block_table(self, name: str) -> Table:
        case = BLOCKS[name]
        kan, mlp = (_widths([*hidden, case.out]) for hidden in (case.kan_hidden, case.mlp_hidden))
        table = Table(
            title=f"{name}: KAN {kan} against MLP {mlp}", caption=self._caption(name), pad_edge=False
        )
        for heading in ("rows x in", "model"):
            table.add_column(heading)
        for heading in (*PHASES, "memory"):
            table.add_column(heading, justify="right")
        definition = any(row.ratio_to_reference and row.model == "kan" for row in self._rows_of(name))
        for heading in ("train/def.", "inf./def.") if definition else ():
            table.add_column(heading, justify="right")
        for shape, group in grouped(self._rows_of(name), lambda row: (row.rows, row.features)):
            peak = next(r.peak_mb for r in group if r.model == "mlp" and r.phase == "train")
            for i, ((model, basis), lines) in enumerate(grouped(group, lambda row: (row.model, row.basis))):
                of = {row.phase: row for row in lines}
                cells = [f"{shape[0]:,} x {shape[1]}" if i == 0 else "", label(model, basis)]
                cells += [self._ratio(of.get(phase)) for phase in PHASES]
                cells.append(_memory(of["train"].peak_mb if "train" in of else None, model, peak))
                if definition:
                    cells += [self._definition(of.get(phase)) for phase in ("train", "inference")]
                table.add_row(*cells)
            table.add_section()
        return table

    def _rows_of(self, case: str) -> list[Row]:
        return [row for row in self._rows if row.case == case]

    def _caption(self, case: str) -> str:
        wanted = [(phase, targets.to_mlp(case, phase, 10**9)) for phase in PHASES]
        goals = ", ".join(f"{phase} <= {limit:g}" for phase, limit in wanted if limit is not None)
        few = targets.to_mlp(case, "train", 1)
        if few is not None and few != targets.to_mlp(case, "train", 10**9):
            goals += f" (few rows: {few:g})"
        definition = targets.to_reference(case, "train")
        goals += f", against the definition 1/{1 / definition:.0f}" if definition else ""
        return f"ratios of medians to the MLP's; targets: {goals}"

    def _ratio(self, row: Row | None, exact: bool = False) -> str:
        if row is None or row.ratio_to_mlp is None:
            return ""
        if row.model == "mlp":
            return f"{short(row.median_ms)} ms"
        text = f"{row.ratio_to_mlp:.3f}" if exact else short(row.ratio_to_mlp)
        if exact and row.ratio_error is not None:
            text += f" ± {row.ratio_error:.3f}"
        limit = targets.to_mlp(row.case, row.phase, row.rows) if row.model == "kan" else None
        if exact and limit is not None:
            text += f" (<= {limit:g})"
        return self._judged(text, row, row.ratio_to_mlp, limit)

    def _definition(self, row: Row | None) -> str:
        if row is None or row.ratio_to_reference is None or row.model != "kan":
            return ""
        limit = targets.to_reference(row.case, row.phase)
        return self._judged(f"1/{short(1 / row.ratio_to_reference)}", row, row.ratio_to_reference, limit)

    def _judged(self, text: str, row: Row, value: float, limit: float | None) -> str:
        if limit is None or row.dtype != "float32":
            return text
        met = value <= limit
        self._verdicts.append(met)
        return f"{text} [green]ok[/]" if met else f"{text} [red]miss[/]"


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> list[tuple[Any, list[Row]]]:
    """Groups rows by a key, in the order in which keys occur."""
    groups: dict = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.items())


def _widths(widths: list[int]) -> str:
    return "\\[" + ", ".join(["in", *map(str, widths)]) + "]"


def label(model: str, basis: str | None) -> str:
    """What a row is called in a table."""
    if model == "mlp":
        return "MLP"
    return f"KAN {basis}" if model == "kan" else f"def. {basis}" if model == "reference" else model


def short(number: float) -> str:
    """A number with three digits."""
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def _memory(peak: float | None, model: str, mlp: float | None) -> str:
    if peak is None or not mlp:
        return ""
    return f"{short(peak)} MB" if model == "mlp" else short(peak / mlp)
