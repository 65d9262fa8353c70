"""The gate: whether dynamics at constant energy with the trained potential kept its energy and its atoms.

It is passed by a run that keeps all atoms, holds to its end, and drifts less than :data:`LARGEST_DRIFT`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.markdown import escape
from benchmarks.wang2024.report.numbers import number, plus_minus
from benchmarks.wang2024.report.runs import RowRuns
from benchmarks.wang2024.report.samples import LEAST_SEEDS, Sample

#: In meV/atom/ps, up or down: a tenth of the thermal energy of 300 K in a few ps.
LARGEST_DRIFT = 5.0


def gate(row: RowRuns) -> str:
    """Drift, mean temperature and outcome over the seeds, failures by name."""
    if not row.records:
        return "not run"
    if row.row.config.startswith("etgnn/"):
        return "no potential"
    done = {seed: r["dynamics"] for seed, r in row.records.items() if r.get("dynamics")}
    if not done:
        return "not run"
    failures = [_failure(seed, d) for seed, d in done.items() if _failed(d)]
    passed = [d for d in done.values() if not _failed(d)]
    text = f"passed {len(passed)}/{len(done)}"
    if passed:
        drift = Sample.of(d["drift_meV_per_atom_per_ps"] for d in passed)
        kelvin = Sample.of(d["mean_temperature_K"] for d in passed)
        text = f"{plus_minus(drift, 3)}, {plus_minus(kelvin, 0)} K, {text}"
    if len(done) < len(row.records):
        text += f", not run {len(row.records) - len(done)}"
    elif len(done) < LEAST_SEEDS:
        text += f" (n = {len(done)})"
    return text if not failures else f"{text}, **FAILED**: {'; '.join(failures)}"


def gate_length(steps: int) -> str:
    """How long the runs of the gate are meant to be; they have steps of 1 fs."""
    return f" of {steps / 1000:g} ps NVE with velocities of 300 K" if steps else ""


def _failed(dynamics: dict[str, Any]) -> bool:
    drift = dynamics.get("drift_meV_per_atom_per_ps")
    kept = dynamics["stable"] and not dynamics.get("atoms_lost")
    return not kept or drift is None or abs(drift) > LARGEST_DRIFT


def _failure(seed: int, dynamics: dict[str, Any]) -> str:
    lost = dynamics.get("atoms_lost")
    if lost:
        return f"seed {seed} lost {lost:,} atom{'s' * (lost != 1)}"
    if dynamics.get("error"):
        return f"seed {seed}: {escape(dynamics['error'])}"
    if dynamics["stable"]:
        return f"seed {seed} drifts by {number(dynamics['drift_meV_per_atom_per_ps'], 1)} meV/atom/ps"
    distance = dynamics.get("min_distance_A")
    closest = "" if distance is None else f", atoms as close as {number(distance, 2)} Å"
    return f"seed {seed} broke off after {dynamics['steps']:,} steps{closest}"
