"""Trains the rows of Table 7 (MACE on carbon) at a small budget, and compares fine-tuning with a new start.

    python benchmarks/carbon.py table7 --jobs 2
    python benchmarks/carbon.py finetune

Each run is a `mace_run_train` of its own with a configuration of configs/mace and one thread. Its record is
written when it ends; runs that have one are not repeated. Times in them are not to be compared: runs at the
same time slow each other down, see `kan-heads speed`. Published values are in benchmarks/published.
"""

import argparse
import concurrent.futures
import pathlib
import re
import time

import numpy as np
from recorded import ROOT, recorded, run, spread

RECORDS = ROOT / "benchmarks" / "carbon"
DATA = ROOT / "data" / "carbon-mace"
ROWS = ("carbon-mlp", "carbon-output-published", "carbon-output-bspline", "carbon-output-mlp")
SEEDS = (1111, 2222, 3333)

#: Smaller than configs/mace: 2 to 5 minutes a run on one core.
QUICK = {
    "num_channels": 16,
    "max_L": 0,
    "max_ell": 2,
    "correlation": 2,
    "r_max": 4.0,
    "ema_decay": 0.95,
    "max_num_epochs": 8,
}

#: At this size the control has as many readout parameters as the recommended KANs with another width.
MATCHED = {"carbon-output-mlp": {"MLP_irreps": "51x0e"}}


def train(name: str, row: str, **options: object) -> dict:
    """Trains a row and returns its record; a record that exists is read."""
    options = {**QUICK, **options}

    def make() -> dict:
        words = [f"--{key}={value}" for key, value in options.items() if value is not True]
        flags = [f"--{key}" for key, value in options.items() if value is True]
        work = ROOT / "runs" / name
        files = (f"--config=configs/mace/{row}.yaml", f"--name={name}", f"--work_dir={work}")
        run("mace_run_train", *files, *words, *flags)
        log = next((work / "logs").glob(f"{name}_run-*[0-9].log"))
        return {**read_log(log), **evaluate(work / f"{name}.model")}

    return recorded(RECORDS / f"{name}.json", row, options, make)


def read_log(log: pathlib.Path) -> dict:
    """Reads how many seconds the epochs took and what validation said after each of them."""
    lines = re.findall(
        r"^(\S+ \S+)\.(\d+) INFO: (Epoch \d+|Initial).*RMSE_E_per_atom= *(\S+) meV, RMSE_F= *(\S+)",
        log.read_text(),
        re.MULTILINE,
    )
    clock = [time.mktime(time.strptime(day, "%Y-%m-%d %H:%M:%S")) + int(ms) / 1e3 for day, ms, *_ in lines]
    return {
        "training_s": round(clock[-1] - clock[0], 1),
        "seconds_per_epoch": round(float(np.median(np.diff(clock))), 2),
        "validation_force_rmse": [float(line[4]) for line in lines],
        "validation_energy_rmse": [float(line[3]) for line in lines],
    }


def evaluate(model: pathlib.Path) -> dict:
    """Returns the errors on the 450 test frames: meV/Å, meV/atom, meV/Å^3, and the number of parameters."""
    import ase.io
    import torch

    output = model.with_suffix(".test.extxyz")
    test = DATA / "test.extxyz"
    run(
        "mace_eval_configs",
        *(f"--configs={test}", f"--model={model}", f"--output={output}"),
        *("--batch_size=10", "--default_dtype=float32", "--compute_stress"),
    )
    labelled, predicted = ase.io.read(test, ":"), ase.io.read(output, ":")
    pairs = list(zip(labelled, predicted, strict=True))
    forces = np.concatenate([(b.arrays["MACE_forces"] - a.arrays["REF_forces"]).ravel() for a, b in pairs])
    energies = [(b.info["MACE_energy"] - a.info["REF_energy"]) / len(a) for a, b in pairs]
    stresses = [
        np.reshape(b.info["MACE_stress"], (3, 3)) - np.reshape(a.info["REF_stress"], (3, 3)) for a, b in pairs
    ]
    count = sum(p.numel() for p in torch.load(model, weights_only=False, map_location="cpu").parameters())
    return {
        "test_frames": len(pairs),
        "force_rmse": rmse(forces),
        "energy_rmse": rmse(energies),
        "stress_rmse": rmse(stresses),
        "parameters": count,
    }


def rmse(errors: object) -> float:
    """Returns the root mean square in thousandths."""
    return round(1e3 * float(np.sqrt(np.mean(np.square(errors)))), 2)


def table7(jobs: int) -> None:
    """Trains every row with every seed and prints the mean and the standard deviation."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {
            (row, seed): pool.submit(train, f"{row}-{seed}", row, seed=seed, **MATCHED.get(row, {}))
            for seed in SEEDS
            for row in ROWS
        }
    print("| row | F, meV/Å | E, meV/atom | stress, meV/Å³ | parameters |")
    print("|---|---:|---:|---:|---:|")
    for row in ROWS:
        records = [futures[row, seed].result() for seed in SEEDS]
        errors = ("force_rmse", "energy_rmse", "stress_rmse")
        cells = [spread([record[name] for record in records], 1) for name in errors]
        print("|", " | ".join([row, *cells, f"{records[0]['parameters']:,}"]), "|")


def finetune() -> None:
    """Compares starting anew with fine-tuning the MLP model of the first seed, at equal epochs.

    That model has seen the same frames for 8 epochs.
    """
    train("carbon-mlp-1111", "carbon-mlp", seed=1111)
    few = {"seed": 1, "max_num_epochs": 4}
    start = {**few, "foundation_model": "runs/carbon-mlp-1111/carbon-mlp-1111.model", "lr": 0.005}
    runs = {
        "scratch": ("carbon-output-bspline", few),
        "finetune-kan": ("carbon-output-bspline", start),
        "finetune-kan-frozen": ("carbon-output-bspline", {**start, "kan_freeze_backbone": True}),
        "finetune-mlp": ("carbon-mlp", start),
    }
    print("| run | epochs | F, meV/Å | E, meV/atom |")
    print("|---|---:|---:|---:|")
    for name, (row, options) in runs.items():
        record = train(name, row, **options)
        cells = (name, options["max_num_epochs"], record["force_rmse"], record["energy_rmse"])
        print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("table7", "finetune"))
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    arguments = parser.parse_args()
    run("kan-heads", "data", "prepare", "carbon", "--mace")
    table7(arguments.jobs) if arguments.what == "table7" else finetune()
