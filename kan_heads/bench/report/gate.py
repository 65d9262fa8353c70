"""The gate: whether dynamics at constant energy with the trained potential kept its energy and its atoms."""

from __future__ import annotations

from typing import Any

from kan_heads.bench.report.numbers import number, plus_minus
from kan_heads.bench.report.runs import RowRuns, TableRuns
from kan_heads.bench.report.samples import LEAST_SEEDS, Sample


def gate(row: RowRuns) -> str:
    """Drift and outcome over the seeds, failures by name."""
    if not row.records:
        return "not run"
    if row.row.config.startswith("etgnn/"):
        return "no potential"
    done = {seed: r["dynamics"] for seed, r in row.records.items() if r.get("dynamics")}
    if not done:
        return "not run"
    failures = [_failure(seed, d) for seed, d in done.items() if _failed(d)]
    drifts = Sample.of(d["drift_meV_per_atom_per_ps"] for d in done.values() if not _failed(d))
    drift = "" if drifts is None or drifts.mean is None else plus_minus(drifts, 3) + ", "
    text = f"{drift}stable {len(done) - len(failures)}/{len(done)}"
    if len(done) < len(row.records):
        text += f", not run {len(row.records) - len(done)}"
    elif len(done) < LEAST_SEEDS:
        text += f" (n = {len(done)})"
    return text if not failures else f"{text}, **FAILED**: {'; '.join(failures)}"


def gate_length(runs: TableRuns) -> str:
    """How long the runs of the gate were meant to be, as the longest of them was."""
    lengths = [d["steps"] * d["timestep_fs"] / 1000 for r in runs.records if (d := r.get("dynamics"))]
    return f" of {max(lengths):g} ps NVE at 300 K" if lengths else ""


def _failed(dynamics: dict[str, Any]) -> bool:
    return not dynamics["stable"] or bool(dynamics.get("atoms_lost"))


def _failure(seed: int, dynamics: dict[str, Any]) -> str:
    lost = dynamics.get("atoms_lost")
    if lost:
        return f"seed {seed} lost {lost:,} atom{'s' * (lost != 1)}"
    distance = dynamics.get("min_distance_A")
    closest = "" if distance is None else f", atoms as close as {number(distance, 2)} Å"
    return f"seed {seed} broke off after {dynamics['steps']:,} steps{closest}"
