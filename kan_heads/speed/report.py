"""The results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.table import Table

from kan_heads.speed import targets
from kan_heads.speed.cases import BLOCK_CASES, PHASES
from kan_heads.speed.rows import Row

_BLOCKS = {case.name: case for case in BLOCK_CASES}


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
        """One table for each block case and one for the whole models."""
        self._verdicts = []
        names = list(dict.fromkeys(row.case for row in self._rows))
        tables = [self._block_table(name) for name in names if name in _BLOCKS]
        whole = [name for name in names if name not in _BLOCKS]
        return tables + ([self._model_table(whole)] if whole else [])

    def summary(self) -> str:
        """Which targets are met, and where all this was measured; call it after :meth:`tables`."""
        first = self._rows[0]
        met = f"{sum(self._verdicts)} of {len(self._verdicts)} targets met\n" if self._verdicts else ""
        place = f"{first.host}, {first.threads} thread(s), torch {first.torch}"
        return f"{met}{place}, {first.device}, {first.dtype}, KANs on {first.kernels}"

    def _block_table(self, name: str) -> Table:
        case = _BLOCKS[name]
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
        for shape, group in _grouped(self._rows_of(name), lambda row: (row.rows, row.features)):
            peak = next(r.peak_mb for r in group if r.model == "mlp" and r.phase == "train")
            for i, ((model, basis), lines) in enumerate(_grouped(group, lambda row: (row.model, row.basis))):
                of = {row.phase: row for row in lines}
                cells = [f"{shape[0]:,} x {shape[1]}" if i == 0 else "", _label(model, basis)]
                cells += [self._ratio(of.get(phase)) for phase in PHASES]
                cells.append(_memory(of["train"].peak_mb if "train" in of else None, model, peak))
                if definition:
                    cells += [self._definition(of.get(phase)) for phase in ("train", "inference")]
                table.add_row(*cells)
            table.add_section()
        return table

    def _model_table(self, names: list[str]) -> Table:
        table = Table(
            title="whole models: one batch, KAN against MLP",
            caption="ratios of medians, with their standard error and the target; struct./s: structures per "
            "second of training; memory: peak of a training step, what the KAN adds",
            pad_edge=False,  # so that it fits into 120 columns
        )
        for heading in ("case, data", "model"):
            table.add_column(heading)
        for heading in ("train", "inference", "struct./s", "memory"):
            table.add_column(heading, justify="right")
        for name in names:
            rows = self._rows_of(name)
            peak = next(r.peak_mb for r in rows if r.model == "mlp" and r.phase == "train")
            for i, ((model, basis), lines) in enumerate(_grouped(rows, lambda row: (row.model, row.basis))):
                of = {row.phase: row for row in lines}
                cells = [[name, f"on {lines[0].data}", ""][min(i, 2)], _label(model, basis)]
                cells += [self._ratio(of.get(phase), exact=True) for phase in ("train", "inference")]
                throughput = of["train"].structures_per_second
                cells.append("" if throughput is None else _short(throughput))
                cells.append(self._extra_memory(name, of["train"].peak_mb, peak, model))
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
            return f"{_short(row.median_ms)} ms"
        text = f"{row.ratio_to_mlp:.3f}" if exact else _short(row.ratio_to_mlp)
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
        return self._judged(f"1/{_short(1 / row.ratio_to_reference)}", row, row.ratio_to_reference, limit)

    def _extra_memory(self, case: str, peak: float | None, mlp: float | None, model: str) -> str:
        if peak is None or not mlp:
            return ""
        if model == "mlp":
            return f"{mlp:.1f} MB"
        extra = peak / mlp - 1.0
        row = next(row for row in self._rows_of(case) if row.model == model)
        return self._judged(f"{100 * extra:+.1f} %", row, extra, targets.extra_memory(case))

    def _judged(self, text: str, row: Row, value: float, limit: float | None) -> str:
        if limit is None or row.dtype != "float32":
            return text
        met = value <= limit
        self._verdicts.append(met)
        return f"{text} [green]ok[/]" if met else f"{text} [red]miss[/]"


def _grouped(rows: Iterable[Row], key) -> list:
    groups: dict = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.items())


def _widths(widths: list[int]) -> str:
    return "\\[" + ", ".join(["in", *map(str, widths)]) + "]"


def _label(model: str, basis: str | None) -> str:
    if model == "mlp":
        return "MLP"
    return f"KAN {basis}" if model == "kan" else f"def. {basis}" if model == "reference" else model


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def _memory(peak: float | None, model: str, mlp: float | None) -> str:
    if peak is None or not mlp:
        return ""
    return f"{_short(peak)} MB" if model == "mlp" else _short(peak / mlp)
