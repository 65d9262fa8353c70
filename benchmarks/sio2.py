"""Trains the rows of Table 9 (ETGNN on silica) at a small budget and prints the table.

    python benchmarks/sio2.py --jobs 2

Each run is a `nequip-train` of its own with a configuration of configs/etgnn, a smaller model and one
thread. Its record is written when it ends; runs that have one are not repeated. Times in them are not to be
compared: runs at the same time slow each other down, see `kan-heads speed`. Published values are in
benchmarks/published.
"""

import argparse
import concurrent.futures
import csv
import pathlib
import shutil

from recorded import ROOT, recorded, run, spread

RECORDS = ROOT / "benchmarks" / "sio2"
PUBLISHED = ROOT / "benchmarks" / "published" / "table-9.csv"
ROWS = (
    "sio2-mlp",
    "sio2-output-gaussian",
    "sio2-output-bspline",
    "sio2-output-bspline-1layer",
    "sio2-output-mlp",
)
SEEDS = (1, 2, 3)
SETS = ("train", "val", "test")
EPOCHS = 10

_SCHEDULER = "training_module.lr_scheduler.scheduler"

#: Smaller than configs/etgnn: 7 to 10 minutes a run on one core. The learning rate falls to zero, since no
#: plateau would be reached.
QUICK = (
    f"n_epochs={EPOCHS}",
    "batch_size=10",
    "learning_rate=0.005",
    "training_module.model.num_layers=2",
    "training_module.model.num_features=32",
    "training_module.model.num_triplet_features=32",
    "training_module.model.projection_width=16",
    f"{_SCHEDULER}._target_=torch.optim.lr_scheduler.CosineAnnealingLR",
    *(f"~{_SCHEDULER}.{name}" for name in ("factor", "patience", "cooldown", "min_lr")),
    f"+{_SCHEDULER}.T_max={EPOCHS}",
)

#: At this size the control has as many parameters in its regressions as the B-spline KANs, within 1 %, with
#: another width.
MATCHED = {"sio2-output-mlp": ("training_module.model.readout_mlp_hidden_layers_width=142",)}


def train(row: str, seed: int) -> dict:
    """Trains a row and returns its record; a record that exists is read."""
    options = [*QUICK, *MATCHED.get(row, ()), f"seed={seed}"]

    def make() -> dict:
        work = ROOT / "runs" / f"{row}-{seed}"
        shutil.rmtree(work, ignore_errors=True)
        files = ("-cp", ROOT / "configs", "-cn", f"etgnn/{row}", f"hydra.run.dir={work}")
        run("nequip-train", *files, "trainer.enable_progress_bar=false", *options)
        return {**read_metrics(work / "metrics" / "version_0" / "metrics.csv"), **count(work / "best.ckpt")}

    return recorded(RECORDS / f"{row}-{seed}.json", row, options, make)


def read_metrics(path: pathlib.Path) -> dict:
    """Reads the errors of the best model on the three sets and the validation error of each epoch, in e."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = rows[-1]
    errors = {f"{name}_mae": round(float(last[f"test{i}_epoch/mae"]), 6) for i, name in enumerate(SETS)}
    curve = [round(float(row["val0_epoch/mae"]), 6) for row in rows if row.get("val0_epoch/mae")]
    return {**errors, "validation_mae": curve}


def count(checkpoint: pathlib.Path) -> dict:
    """Counts the parameters of the model and those of its regressions."""
    import torch

    state = torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]
    weights = {k: v.numel() for k, v in state.items() if k.startswith("model.") and is_parameter(k)}
    readout = sum(n for k, n in weights.items() if "_readout." in k)
    return {"parameters": sum(weights.values()), "readout_parameters": readout}


def is_parameter(key: str) -> bool:
    """Tells parameters from buffers by the ends of their names."""
    return key.rsplit(".", 1)[1] in ("weight", "bias", "base_weight", "coefficients")


def published() -> dict:
    """Reads the published errors, in thousandths of e."""
    with PUBLISHED.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["row"]: [f"{1e3 * float(row[f'{name}_mae_e']):.2f}" for name in SETS] for row in rows}


def table(jobs: int, seeds: tuple) -> None:
    """Trains every row with every seed and prints the errors beside the published ones."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {(row, seed): pool.submit(train, row, seed) for seed in seeds for row in ROWS}
        records = {key: future.result() for key, future in futures.items()}
    theirs = published()
    print(
        "| row | train, 10⁻³ e | validation, 10⁻³ e | test, 10⁻³ e | parameters (regressions) | published |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for row in ROWS:
        mine = [records[row, seed] for seed in seeds]
        cells = [spread([1e3 * record[f"{name}_mae"] for record in mine], 2) for name in SETS]
        size = f"{mine[0]['parameters']:,} ({mine[0]['readout_parameters']:,})"
        print("|", " | ".join([row, *cells, size, " / ".join(theirs.get(row, ["-"]))]), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    arguments = parser.parse_args()
    run("kan-heads", "data", "prepare", "sio2")
    table(arguments.jobs, tuple(arguments.seeds))
