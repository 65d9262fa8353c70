"""The table of the demonstration, as text, and the files that hold it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.markdown import bullets, document, table

COLUMNS = (
    "readout",
    "validation force MAE (eV/Å)",
    "validation energy MAE (meV/atom)",
    "test force MAE (eV/Å)",
    "test energy MAE (meV/atom)",
    "readout parameters",
    "total parameters",
    "seconds per epoch (median)",
    "NVE drift (meV/atom/ps)",
)
_NAMES = {"mlp": "MLP", "kan": "KAN (B-spline)"}


def rows(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """The rows of the table, as texts in the order of :data:`COLUMNS`."""
    return [_row(key, results) for key in ("mlp", "kan")]


def _row(key: str, results: dict[str, Any]) -> tuple[str, ...]:
    m = results["models"][key]
    return (
        _NAMES[key],
        f"{m['validation_force_mae_eV_per_A']:.4f}",
        f"{m['validation_energy_mae_meV_per_atom']:.2f}",
        f"{m['test_force_mae_eV_per_A']:.4f}",
        f"{m['test_energy_mae_meV_per_atom']:.2f}",
        f"{m['readout_parameters']:,}",
        f"{m['total_parameters']:,}",
        f"{m['median_seconds_per_epoch']:.2f}",
        _drift(results["dynamics"]) if key == "kan" else "—",
    )


def _drift(dynamics: dict[str, Any]) -> str:
    drift = dynamics["drift_meV_per_atom_per_ps"]
    text = "—" if drift is None else f"{drift:+.3f}"
    return text if dynamics["stable"] else f"{text} (broke off after {dynamics['steps']} steps)"


def notes(results: dict[str, Any]) -> list[str]:
    """What the table rests on, a sentence each."""
    s, d, c = (results[k] for k in ("settings", "dynamics", "compiled_against_eager"))
    m = results["models"]["kan"]["machine"]
    how = "a run of one picosecond" if d["steps"] * d["timestep_fs"] == 1000 else f"a run of {d['steps']} fs"
    return [
        f"System: {s['system_name']}.",
        f"Frames: {s['train']} to train on, {s['val']} to validate on, {s['test']} to test on that neither "
        f"saw; {s['epochs']} epochs, seed {s['seed']}; validation errors at the best epoch.",
        f"Trained on {m['device']}: {m['cpu']}, {m['cores']} cores, torch {m['torch_version']}; "
        f"threads and load of the machine when each training began: {_load(results)}.",
        f"Dynamics: {how} at constant energy with the compiled KAN from a test frame as it is (not relaxed, "
        f"so it warms up) and 300 K velocities: rms of the total "
        f"energy {_number(d['rms_fluctuation_meV_per_atom'])} meV/atom, mean temperature "
        f"{d['mean_temperature_K']:.0f} K, smallest distance {d['min_distance_A']:.2f} Å, "
        f"{d['ms_per_step']:.1f} ms per step; {'stable' if d['stable'] else 'NOT STABLE'}.",
        f"Compiled against eager KAN, largest difference on {c['frames']} frames: "
        f"{c['energy_max_difference_meV_per_atom']:.2g} meV/atom, "
        f"{c['force_max_difference_eV_per_A']:.2g} eV/Å.",
        f"One seed and {s['train']} frames: a first look, not a comparison of readouts.",
    ]


def _load(results: dict[str, Any]) -> str:
    machines = {_NAMES[key]: model["machine"] for key, model in results["models"].items()}
    return ", ".join(
        f"{name} {m['torch_threads']} and {_number(m['load_average_1min'])}" for name, m in machines.items()
    )


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def markdown(results: dict[str, Any]) -> str:
    """The table and its notes as Markdown."""
    return document([table(COLUMNS, rows(results)), bullets(notes(results))])


def write(results: dict[str, Any], out: Path) -> None:
    """Writes ``results.json`` and ``table.md``."""
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    (out / "results.json").write_text(text, encoding="utf-8")
    (out / "table.md").write_text(markdown(results), encoding="utf-8")
