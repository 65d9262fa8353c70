"""Made-up tables and records for the tests of the report."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from types import SimpleNamespace

from benchmarks.wang2024.report import write
from benchmarks.wang2024.table import Claim, Column, Row, Table, load_tables

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS, CONFIGS = ROOT / "benchmarks" / "wang2024", ROOT / "configs"
BUDGET = SimpleNamespace(name="quick", about="made up | for <tests>", dynamics_steps=2000)


def record(config: str, seed: int, metrics: dict, **changes) -> dict:
    """A record of a training; ``changes`` replace its entries."""
    name = f"{config.replace('/', '-')}-seed{seed}"
    epochs = len(next(iter(changes.get("curves", {}).values()), [0] * 4))
    content = {
        "format": 1,
        "job": name,
        "kind": "training",
        "config": config,
        "budget": "quick",
        "seed": seed,
        "overrides": [f"n_epochs={epochs}"],
        "settings_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "data": {
            "name": "hfo2",
            "prepared": "hfo2",
            "paper_data": True,
            "stand_in": False,
            "relation": "the paper's own",
            "sizes": {"train": 100, "val": 50, "test": 50},
            "available": {"train": 388, "val": 50, "test": 50},
            "files": {"train.extxyz": "aa"},
        },
        "device": {"cpu": "Some CPU", "cores": 2, "torch_threads": 1, "threads": 1, "device": "cpu"},
        "versions": {"torch": "2.6"},
        "started": "2026-11-21T15:30:00+00:00",
        "parameters": {"total": 43210, "readout": 768},
        "epochs": epochs,
        "epoch_wall_s": [2.0] * epochs,
        "epoch_cpu_s": [1.0] * epochs,
        "total_wall_s": 2.5 * epochs,
        "total_cpu_s": 1.5 * epochs,
        "peak_memory_mb": 812.3,
        "curves": {},
        "dynamics": {
            "steps": 2000,
            "timestep_fs": 1.0,
            "stable": True,
            "drift_meV_per_atom_per_ps": 0.03,
            "rms_fluctuation_meV_per_atom": 0.1,
            "mean_temperature_K": 301.0,
            "min_distance_A": 1.9,
        },
        "metrics": metrics,
    }
    return content | changes


def small_table(claims: list[tuple[str, str, str]] = (), **changes) -> Table:
    """A table of a baseline ``mlp``, a row ``kan`` and a control; claims are (row, metric, expectation)."""
    fields = {
        "number": 5,
        "title": "A table",
        "kind": "training",
        "data": "hfo2",
        "rows": (
            Row("mlp", "MLPs", "allegro/hfo2-mlp"),
            Row("kan", "KANs", "allegro/hfo2-all-gaussian"),
            Row("linear", "linear readout", "allegro/hfo2-output-linear", control=True),
        ),
        "columns": (Column("val_force_mae", "validation F MAE", "eV/Å", 4),),
        "claims": tuple(Claim("a claim", *claim) for claim in claims),
        "baseline": "mlp",
        "figure": None,
        "notes": (),
        "published": {"mlp": {None: {"val_force_mae": 0.02}}, "kan": {None: {"val_force_mae": 0.015}}},
        "published_times": {"mlp": ["1d 1h"], "kan": ["12h 30m"]},
    }
    return Table(**(fields | changes))


def runs_of(
    config: str, values: list[float | None], metric: str = "val_force_mae", **changes
) -> dict[str, dict]:
    """Records of seeds 1, 2, ... with one value each."""
    made = [record(config, seed, {metric: value}, **changes) for seed, value in enumerate(values, 1)]
    return {one["job"]: one for one in made}


def sample_records(seeds: int = 3) -> dict[str, dict]:
    """Records for every row of the project's own tables, with a few accidents among them."""
    made: dict[str, dict] = {}
    for table in load_tables(BENCHMARKS).values():
        if table.kind not in ("training", "dynamics"):
            continue
        for row in table.rows:
            for seed in range(1, seeds + 1):
                one = _sample(table, row, seed)
                made[one["job"]] = one
    made["allegro-hfo2-all-gaussian-seed2"]["metrics"] |= dict.fromkeys(("val_force_mae", "val_energy_mae"))
    made["allegro-hfo2-all-gaussian-seed2"]["dynamics"] |= {
        "stable": False,
        "steps": 812,
        "min_distance_A": 0.44,
    }
    missing = [
        "mace-carbon-output-mlp-seed3",
        *(f"nequip-ag-output-mlp-seed{s}" for s in range(1, seeds + 1)),
    ]
    return {name: one for name, one in made.items() if name not in missing}


def _sample(table: Table, row: Row, seed: int) -> dict:
    rng = random.Random(f"{row.config} {seed}")
    factor = random.Random(row.config).uniform(0.7, 1.4) * rng.uniform(0.93, 1.07)
    scale = {
        "eV/Å": 0.05,
        "eV/atom": 0.004,
        "meV/Å": 400.0,
        "meV/atom": 20.0,
        "meV/Å³": 60.0,
        "e": 0.02,
        "ms": 30.0,
    }
    metrics = {c.metric: factor * scale.get(c.unit, 900.0) * rng.uniform(0.95, 1.05) for c in table.columns}
    prepared = "ag-emt" if table.data == "ag" else table.data
    data = record("a/b", 1, {})["data"] | {
        "name": table.data,
        "prepared": prepared,
        "paper_data": table.data == "sio2",
        "stand_in": table.data == "ag",
        "relation": "labels from EMT, not DFT" if table.data == "ag" else "a tenth of the paper's frames",
    }
    if table.kind == "dynamics":
        name = f"lammps-{row.config.replace('/', '-')}-seed{seed}"
        return record(row.config, seed, metrics, data=data) | {
            "job": name, "kind": "dynamics", "steps": 1000, "n_atoms": 71,
            "epochs": None, "curves": None, "dynamics": None,
        }  # fmt: skip
    names = {"carbon": ["val_force_rmse", "val_energy_rmse"], "sio2": ["val_mae"]}
    units = {"carbon": [400.0, 20.0], "sio2": [0.02]}
    curves = {
        name: [factor * unit * (1 + 8 * 0.75**epoch) * rng.uniform(0.95, 1.05) for epoch in range(24)]
        for name, unit in zip(
            names.get(table.data, ["val_force_mae", "val_energy_mae"]),
            units.get(table.data, [0.05, 0.004]),
            strict=True,
        )
    }
    slow = 2.0 if "bspline" in row.config else 1.3 if "gaussian" in row.config else 1.0
    times = [12.0 + slow] + [10 * slow * rng.uniform(0.95, 1.1) for _ in range(23)]
    changes = {"curves": curves, "epoch_cpu_s": times, "epoch_wall_s": [1.4 * t for t in times], "data": data}
    made = record(row.config, seed, metrics, **changes)
    if row.config.startswith("etgnn"):
        made["dynamics"] = None
    else:
        made["dynamics"]["drift_meV_per_atom_per_ps"] = rng.uniform(-0.05, 0.05)
    return made


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def table_rows(markdown, heading):
    """The cells of the first table whose first line has that heading."""
    lines = iter(plain(markdown).splitlines())
    start = next(line for line in lines if line.startswith("|") and heading in line)
    next(lines)
    names, found = split(start), []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(dict(zip(names, split(line), strict=True)))
    return found


def split(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def report(tmp_path, table, records, budget=BUDGET):
    write({table.number: table}, records, budget, tmp_path, CONFIGS)
    return (tmp_path / "report.md").read_text(encoding="utf-8")
