"""Which grids KAN heads should start with: short trainings of each head on small sets, three seeds.

    python -m benchmarks.grids run [--only TEXT] [--data FOLDER]
    python -m benchmarks.grids report

Run from a checkout with everything installed (``make``). A run that has a record is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

HERE = Path(__file__).parent
RECORDS = HERE / "records.jsonl"
SEEDS = (1, 2, 3)
SIZES = {"carbon": (60, 20, 60), "hfo2": (60, 20, 40), "ag-emt": (60, 20, 60), "sio2": (120, 40, 80)}
POTENTIALS = ("carbon", "hfo2", "ag-emt")

_MACE = (
    *("--E0s=average", "--model=MACE", "--num_interactions=2", "--num_channels=16", "--max_L=0"),
    *("--max_ell=2", "--correlation=2", "--r_max=4.0", "--loss=weighted", "--energy_weight=1.0"),
    *("--forces_weight=10.0", "--lr=0.01", "--batch_size=4", "--valid_batch_size=10", "--ema"),
    *("--max_num_epochs=12", "--ema_decay=0.95", "--default_dtype=float32", "--device=cpu"),
    "--error_table=PerAtomRMSE",
)
#: What follows ``--kan_config`` in MACE; the stock head has no KAN.
_MACE_HEADS = {
    "stock": None,
    "fixed [-1.5, 1.5]": "{calibrate: false, grid_range: [-1.5, 1.5]}",
    "fixed [-4, 4]": "{calibrate: false, grid_range: [-4, 4]}",
    "calibrated at the start": "{calibrate: true}",
}
#: What ``nequip-train`` is told, by backbone: every rate falls to zero, so that the last epoch is not chance.
_EPOCHS = 10
_SCHEDULE = "training_module.lr_scheduler.scheduler"
_NEQUIP = (
    *(f"n_epochs={_EPOCHS}", f"{_SCHEDULE}._target_=torch.optim.lr_scheduler.CosineAnnealingLR"),
    *(f"~{_SCHEDULE}.{name}" for name in ("factor", "patience", "min_lr")),
    *(f"+{_SCHEDULE}.T_max={_EPOCHS}", "trainer.enable_progress_bar=false"),
)
_MODEL = "training_module.model"
_TESTED = (
    *("run=[train,test]", "+data.test_dataloader=${data.val_dataloader}"),
    "+training_module.test_metrics=${training_module.val_metrics}",
)
_POTENTIAL = {"energy": "test0_epoch/per_atom_energy_mae", "force": "test0_epoch/forces_mae"}
_BACKBONES = {
    "allegro": {
        "measured": _POTENTIAL,
        "configs": ("allegro/ag-mlp", "allegro/ag-output-gaussian"),
        "options": (
            *(f"{_MODEL}.num_scalar_features=32", f"{_MODEL}.num_tensor_features=8", "batch_size=2"),
            *(f"{_MODEL}.{mlp}_mlp_hidden_layers_width=32" for mlp in ("scalar_embed", "allegro")),
            *_TESTED,
        ),
    },
    "nequip": {
        "measured": _POTENTIAL,
        "configs": ("nequip/ag-mlp", "nequip/ag-output-bspline"),
        "options": (
            *(f"{_MODEL}.num_layers=2", f"{_MODEL}.num_features=16", f"{_MODEL}.radial_mlp_width=32"),
            *("batch_size=2", *_TESTED),
        ),
    },
    "etgnn": {
        "measured": {"tensor": "test2_epoch/mae"},
        "configs": ("etgnn/sio2-mlp", "etgnn/sio2-output-bspline"),
        "options": (
            *(f"{_MODEL}.num_layers=2", f"{_MODEL}.num_features=32", f"{_MODEL}.num_triplet_features=32"),
            *(f"{_MODEL}.projection_width=16", "batch_size=10", "learning_rate=0.005"),
            f"~{_SCHEDULE}.cooldown",
        ),
    },
}
_SYSTEMS = {
    "ag-emt": ("type_names=[Ag]", "r_max=4.5"),
    "hfo2": ("type_names=[Hf,O]", "r_max=4.5"),
    "carbon": ("type_names=[C]", "r_max=4.0", "+data.exclude_keys=[stress]"),
    "sio2": (),
}
_COVERAGE = "+callbacks.coverage={_target_: kan_heads.nequip.GridCoverage}"
_CALIBRATED = "+callbacks.calibrate={_target_: kan_heads.nequip.CalibrateGrids}"
_NEQUIP_HEADS = {
    "stock": (),
    "fixed [-1.5, 1.5]": (
        f"++{_MODEL}.kan={{scope: output, basis: bspline, hidden: [], grid_range: [-1.5, 1.5]}}",
        _COVERAGE,
    ),
    "calibrated at the start": (
        f"++{_MODEL}.kan={{scope: output, basis: bspline, hidden: []}}",
        _CALIBRATED,
    ),
}


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grids", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--only", default="", metavar="TEXT", help="runs whose names hold TEXT")
    parser.add_argument("--data", type=Path, default=Path("outputs/grids"), help="folder of data and runs")
    options = parser.parse_args()
    if options.what == "run":
        _run(options.data.absolute(), options.only)
    print(report(records()))


def records() -> list[dict]:
    """Reads what has been measured."""
    return [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.exists() else []


def _run(folder: Path, only: str) -> None:
    jobs = [("mace", system, head) for system in POTENTIALS for head in _MACE_HEADS]
    jobs += itertools.product(("allegro", "nequip"), POTENTIALS, _NEQUIP_HEADS)
    jobs += itertools.product(("etgnn",), ("sio2",), _NEQUIP_HEADS)
    done = {(r["backbone"], r["system"], r["head"], r["seed"]) for r in records()}
    for seed, job in itertools.product(SEEDS, jobs):
        if (*job, seed) in done or only not in " ".join(job):
            continue
        backbone, system, head = job
        if backbone == "mace":
            errors = _mace(folder, system, head, seed)
        else:
            errors = _nequip(folder, backbone, system, head, seed)
        record = {"backbone": backbone, "system": system, "head": head, "seed": seed, **errors}
        with RECORDS.open("a") as file:
            file.write(json.dumps(record) + "\n")


def _data(folder: Path, system: str, mace: bool) -> Path:
    out = folder / (f"{system}-mace" if mace else system)
    if not out.exists():
        sizes = zip(("--train", "--val", "--test"), map(str, SIZES[system]), strict=True)
        options = [*itertools.chain(*sizes), "--out", str(out), *(["--mace"] if mace else [])]
        _program("python", "-m", "benchmarks.datasets", "prepare", system, *options)
    return out


def _program(name: str, *words: str, cwd: Path | None = None) -> str:
    command = [str(Path(sys.executable).parent / name), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def _mace(folder: Path, system: str, head: str, seed: int) -> dict:
    data = _data(folder, system, mace=True)
    files = [f"--{kind}_file={data}/{part}.extxyz" for kind, part in _FILES.items()]
    kan = []
    if _MACE_HEADS[head] is not None:
        config = folder / "kan.yaml"
        config.write_text(_MACE_HEADS[head])
        kan = ["--kan", "--kan_config", str(config)]
    work = ["--name", "run", "--work_dir", str(folder / f"{system}-{head}-{seed}".replace(" ", ""))]
    said = _program("mace_run_train", *work, *files, *_MACE, "--seed", str(seed), *kan, cwd=folder)
    rows = [line for line in said.splitlines() if line.startswith("|") and re.search(r"\d\.\d", line)]
    energy, force = (float(cell) for cell in rows[-1].split("|")[2:4])  # the last row is the test set
    off = re.findall(r"off the grid: (.*)", said)
    return {"energy": energy, "force": force, "measure": "RMSE", "off_grid": off[-1] if off else None}


_FILES = {"train": "train", "valid": "val", "test": "test"}


def _nequip(folder: Path, backbone: str, system: str, head: str, seed: int) -> dict:
    import pandas

    data = _data(folder, system, mace=False)
    out = folder / re.sub(r"[^\w.-]+", "_", f"{backbone}-{system}-{head}-{seed}")
    settings = _BACKBONES[backbone]
    config = settings["configs"][0 if head == "stock" else 1]
    test = [] if backbone == "etgnn" else [f"+data.test_file_path={data}/test.extxyz"]
    options = [f"data_dir={data}", f"hydra.run.dir={out}", f"seed={seed}", *_NEQUIP, *settings["options"]]
    options += [*_SYSTEMS[system], *test, *_NEQUIP_HEADS[head]]
    _program("nequip-train", "-cp", str(HERE.parents[1] / "configs"), "-cn", config, *options)
    rows = pandas.concat([pandas.read_csv(path) for path in sorted(out.rglob("metrics.csv"))])
    off = [name for name in rows.columns if name.startswith("off_grid/")]
    said = ", ".join(f"{name.split('/', 1)[1]} {100 * rows[name].dropna().iloc[-1]:.1f} %" for name in off)
    errors = {kind: _last(rows, name) for kind, name in settings["measured"].items()}
    return {**errors, "measure": "MAE", "off_grid": said or None}


def _last(rows: pandas.DataFrame, name: str) -> float:
    """The last value of a column, in thousandths of its unit."""
    return round(1000 * float(rows[name].dropna().iloc[-1]), 4)


def report(found: list[dict]) -> str:
    """Writes the table: mean and standard deviation over the seeds, and the mean ratio to the stock head."""
    lines = [
        "| backbone, system | head | seeds | F (meV/Å), or 0.001 e | E (meV/atom) | F, ratio | E, ratio |"
    ]
    lines.append("|---|---|---|---:|---:|---:|---:|")
    found = sorted(found, key=_place)
    for (backbone, system), group in itertools.groupby(found, key=lambda record: _place(record)[:2]):
        members = list(group)
        stock = {r["seed"]: r for r in members if r["head"] == "stock"}
        for head, runs in itertools.groupby(members, key=lambda r: r["head"]):
            runs = list(runs)
            seeds = ", ".join(str(r["seed"]) for r in runs)
            cells = [f"{backbone}, {system}, {runs[0]['measure']}", head, seeds]
            kinds = ("force", "energy") if "force" in runs[0] else ("tensor", None)
            cells += [_spread([r[kind] for r in runs], "{:.3g}") if kind else "" for kind in kinds]
            paired = [r for r in runs if r["seed"] in stock]
            for kind in kinds:
                ratios = [r[kind] / stock[r["seed"]][kind] for r in paired] if kind else []
                cells.append(_spread(ratios, "{:.2f}") if head != "stock" and ratios else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _place(record: dict) -> tuple:
    heads = list(dict.fromkeys([*_MACE_HEADS, *_NEQUIP_HEADS]))
    return record["backbone"], record["system"], heads.index(record["head"]), record["seed"]


def _spread(values: list[float], form: str) -> str:
    mean = form.format(statistics.mean(values))
    return f"{mean} ± {form.format(statistics.stdev(values))}" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
