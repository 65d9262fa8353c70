"""The results as tables for people."""

from __future__ import annotations

from rich.table import Table

from kan_heads.speed import targets
from kan_heads.speed.report import BLOCKS, Report, grouped, label, short


class ModelReport(Report):
    """Tables of ratios of whole models, beside those of layers.

    Args:
        rows: the results.
    """

    def tables(self) -> list[Table]:
        """One table for each block case and one for the whole models."""
        tables = super().tables()
        whole = [name for name in self._names if name not in BLOCKS]
        return tables + ([self._model_table(whole)] if whole else [])

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
            for i, ((model, basis), lines) in enumerate(grouped(rows, lambda row: (row.model, row.basis))):
                of = {row.phase: row for row in lines}
                cells = [[name, f"on {lines[0].data}", ""][min(i, 2)], label(model, basis)]
                cells += [self._ratio(of.get(phase), exact=True) for phase in ("train", "inference")]
                throughput = of["train"].structures_per_second
                cells.append("" if throughput is None else short(throughput))
                cells.append(self._extra_memory(name, of["train"].peak_mb, peak, model))
                table.add_row(*cells)
            table.add_section()
        return table

    def _extra_memory(self, case: str, peak: float | None, mlp: float | None, model: str) -> str:
        if peak is None or not mlp:
            return ""
        if model == "mlp":
            return f"{mlp:.1f} MB"
        extra = peak / mlp - 1.0
        row = next(row for row in self._rows_of(case) if row.model == model)
        return self._judged(f"{100 * extra:+.1f} %", row, extra, targets.extra_memory(case))
