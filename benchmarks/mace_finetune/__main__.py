"""Compares fine-tuning a trained MACE with MLPs to a new start, at equal epochs, on carbon.

    python -m benchmarks.mace_finetune

Each run is a `mace_run_train` of its own with a configuration of configs/mace and one thread, one to five
minutes each. Its record is written to benchmarks/mace_finetune when it ends; runs that have one are not
repeated. The model to start from has seen the same frames for 8 epochs.
"""

import argparse
import json
import pathlib
import shutil
import sys
from typing import Any

from benchmarks import ROOT
from benchmarks.datasets import prepare
from benchmarks.wang2024.jobs import composed
from benchmarks.wang2024.mace_training import count_parameters, evaluate, run_training
from kan_heads.machine import machine

RECORDS = pathlib.Path(__file__).parent
DATA = ROOT / "data" / "carbon-mace"
FIRST = "carbon-mlp-1111"

#: Smaller than configs/mace.
QUICK = {
    "num_channels": 16,
    "max_L": 0,
    "max_ell": 2,
    "correlation": 2,
    "r_max": 4.0,
    "ema_decay": 0.95,
    "max_num_epochs": 8,
}


def train(name: str, row: str, **options: Any) -> dict:
    """Trains a row and returns its record; a record that exists is read."""
    options = {**QUICK, **options}
    path = RECORDS / f"{name}.json"
    if path.exists():
        record = json.loads(path.read_text())
        if record["options"] != options:
            sys.exit(f"{path} was made with other options; remove it to repeat the run")
        return record
    work = ROOT / "runs" / name
    shutil.rmtree(work, ignore_errors=True)  # MACE would go on with a checkpoint that it finds
    work.mkdir(parents=True)
    files = {"train_file": str(DATA / "train.extxyz"), "valid_file": str(DATA / "val.extxyz")}
    settings = {**composed(ROOT / "configs", f"mace/{row}", ()), **options, **files}
    settings |= {"name": name, "work_dir": str(work)}
    if "foundation_model" in options:
        settings["foundation_model"] = str(ROOT / options["foundation_model"])
        if not (ROOT / options["foundation_model"]).exists():
            sys.exit(
                f"{options['foundation_model']} does not exist; remove {RECORDS}/{FIRST}.json to train it"
            )
    del settings["test_file"]
    model = work / f"{name}.model"
    result = run_training(settings, work, threads=1)
    record = {
        "row": row,
        "options": options,
        "training_s": round(sum(result["epoch_wall_s"]), 1),
        "curves": result["curves"],
        **evaluate(model, DATA / "test.extxyz", threads=1, device="cpu"),
        "parameters": count_parameters(model)["total"],
        "device": "1 thread of " + machine()["cpu"],
    }
    RECORDS.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return record


def main() -> None:
    """Trains what is missing and prints the table."""
    program = "python -m benchmarks.mace_finetune"
    argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0]).parse_args()
    prepare("carbon", DATA, mace=True)
    train(FIRST, "carbon-mlp", seed=1111)
    few = {"seed": 1, "max_num_epochs": 4}
    start = {**few, "foundation_model": f"runs/{FIRST}/{FIRST}.model", "lr": 0.005}
    runs = {
        "scratch": ("carbon-output-bspline", few),
        "finetune-kan": ("carbon-output-bspline", start),
        "finetune-kan-frozen": ("carbon-output-bspline", {**start, "kan_freeze_backbone": True}),
        "finetune-mlp": ("carbon-mlp", start),
    }
    print("| run | epochs | training (s) | F, meV/Å | E, meV/atom |")
    print("|---|---:|---:|---:|---:|")
    for name, (row, options) in runs.items():
        record = train(name, row, **options)
        errors = (round(record[f"test_{kind}_rmse"], 1) for kind in ("force", "energy"))
        print(
            "|", " | ".join(map(str, (name, options["max_num_epochs"], record["training_s"], *errors))), "|"
        )


if __name__ == "__main__":
    main()
