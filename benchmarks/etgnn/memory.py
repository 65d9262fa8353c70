"""Measures how the memory of a training step of the full-size ETGNN grows with the number of triplets.

    python -m benchmarks.etgnn.memory

Triplets are varied by the size of the batch at the cutoffs of configs/etgnn, and by triplet_r_max in a small
batch. Memory is what tensors hold at once beyond the model and the batch: it is counted, not sampled, so that
other programs do not disturb it. The record and the picture are written to benchmarks/etgnn; 2 minutes on one
core, less than 9 GB.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib

import numpy as np
import torch
from hydra import compose
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nequip.data import AtomicDataDict
from nequip.nn.utils import with_edge_vectors_

from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.etgnn_models import write_structures
from benchmarks.speed.models import choose_system
from benchmarks.speed.nequip_models import build_module, configurations, read_frames, steps
from kan_heads.etgnn.triplets import find_triplets
from kan_heads.machine import machine
from kan_heads.speed.memory import peak_bytes

OUT = pathlib.Path(__file__).parent
CONFIG = "etgnn/sio2-mlp"
R_MAX = "training_module.model.triplet_r_max"
BATCHES = (6, 12, 24, 36, 48, 60)
CUTOFFS = (3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)  # Angstrom
STRUCTURES = 4  # where the cutoff varies: at 6 Angstrom each has 24,000 triplets
SERIES = {"batch": ("#0072B2", "o"), "cutoff": ("#D55E00", "s")}  # colours of Okabe and Ito


def measure(system: str) -> dict:
    """Returns the record: what was measured where, and one point for each batch and cutoff."""
    points = []
    with configurations(ModelSpeedConfig(), [CONFIG]) as (folder, shared):
        shared = [*shared, f"batch_size={max(BATCHES)}"]
        config = compose(CONFIG, overrides=shared)
        cutoff = config.training_module.model.triplet_r_max
        write_structures(system, folder, max(BATCHES))
        frames = read_frames(config)
        wanted = [("batch", n, cutoff) for n in BATCHES] + [("cutoff", STRUCTURES, r) for r in CUTOFFS]
        for series, structures, r_max in wanted:
            module = build_module(compose(CONFIG, overrides=[*shared, f"{R_MAX}={r_max}"]), frames)
            batch = AtomicDataDict.batched_from_list(frames.graphs[:structures])
            step = steps(module, batch)["train"]
            if not points:
                step()  # whatever is built for the first time
            edges, triplets = count(batch, r_max)
            peak = peak_bytes(step)
            print(f"{structures} structures, {r_max:g} Å: {triplets:,} triplets, {peak / 1e9:.3f} GB")
            point = {"series": series, "structures": structures, "triplet_r_max": r_max}
            points.append({**point, "edges": edges, "triplets": triplets, "peak_bytes": peak})
    return {
        "config": CONFIG,
        "triplet_r_max": cutoff,
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "dtype": ModelSpeedConfig().dtype,
        "data": system,
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in ("kan-heads", "nequip", "torch")},
        "points": points,
    }


def count(batch: dict, r_max: float) -> tuple[int, int]:
    """Counts the edges, and the triplets of those shorter than ``r_max``."""
    data = with_edge_vectors_(dict(batch), with_lengths=True)
    short = data[AtomicDataDict.EDGE_LENGTH_KEY].view(-1) < r_max
    center, neighbor = data[AtomicDataDict.EDGE_INDEX_KEY][:, short]
    shift = data[AtomicDataDict.EDGE_CELL_SHIFT_KEY][short]
    kj, _ = find_triplets(center, neighbor, shift, len(data[AtomicDataDict.POSITIONS_KEY]))
    return len(short), len(kj)


def fit(points: list[dict]) -> dict:
    """Fits bytes per triplet, per edge and for the rest by least squares of the relative deviations."""
    columns = np.array([[p["triplets"], p["edges"], 1.0] for p in points])  # (n_points, 3)
    peaks = np.array([p["peak_bytes"] for p in points])
    values = np.linalg.lstsq(columns / peaks[:, None], np.ones(len(peaks)), rcond=None)[0]
    deviation = np.abs(columns @ values / peaks - 1.0).max()
    names = ("bytes_per_triplet", "bytes_per_edge", "bytes_besides")
    rounded = {name: round(float(value), 1) for name, value in zip(names, values, strict=True)}
    return {**rounded, "largest_relative_deviation": round(float(deviation), 5)}


def describe(law: dict) -> str:
    """Says in a line what was fitted and how far points are from it."""
    triplet, edge = law["bytes_per_triplet"] / 1e3, law["bytes_per_edge"] / 1e3
    besides, percent = law["bytes_besides"] / 1e6, 100 * law["largest_relative_deviation"]
    return f"{triplet:.1f} kB per triplet + {edge:.1f} kB per edge + {besides:.0f} MB, within {percent:.1f} %"


def draw(record: dict, path: pathlib.Path) -> None:
    """Draws peak memory against triplets, with the fitted lines."""
    law = record["fit"]
    figure = Figure(figsize=(7.0, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    sizes, radii = (f"{min(values):g} to {max(values):g}" for values in (BATCHES, CUTOFFS))
    labels = {
        "batch": f"{sizes} structures, triplets within {record['triplet_r_max']:g} Å",
        "cutoff": f"{STRUCTURES} structures, triplets within {radii} Å",
    }
    for series, (colour, marker) in SERIES.items():
        mine = [p for p in record["points"] if p["series"] == series]
        triplets = np.array([p["triplets"] for p in mine])
        edges = np.array([p["edges"] for p in mine])
        # Edges grow with the batch, not with the cutoff of the triplets: two lines of one law.
        ends = np.array([0.0, triplets.max()])
        along = np.polyval(np.polyfit(triplets, edges, 1), ends)
        line = law["bytes_per_triplet"] * ends + law["bytes_per_edge"] * along + law["bytes_besides"]
        axis.plot(ends / 1e3, line / 1e9, color=colour, lw=1.2)
        peaks = np.array([p["peak_bytes"] for p in mine])
        axis.plot(triplets / 1e3, peaks / 1e9, marker, color=colour, ms=6, label=labels[series])
    axis.plot([], [], color="0.3", lw=1.2, label=f"fit: {describe(law)}")
    axis.set(xlabel="triplets in the batch (thousands)", ylabel="peak memory of a training step (GB)")
    highest = max(p["peak_bytes"] for p in record["points"]) / 1e9
    axis.set(xlim=(0, None), ylim=(0, 1.25 * highest))  # room for the legend
    axis.grid(True, color="0.9", lw=0.6)
    axis.set_axisbelow(True)
    axis.legend(loc="upper left", frameon=False)
    millions = record["parameters"] / 1e6
    axis.set_title(f"ETGNN, {millions:.2f} M parameters, {record['dtype']}, {record['data']}", fontsize=10)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    program = "python -m benchmarks.etgnn.memory"
    argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    record = measure(choose_system(("sio2", "cristobalite")))
    record["fit"] = fit(record["points"])
    (OUT / "memory.json").write_text(json.dumps(record, indent=1) + "\n")
    draw(record, OUT / "memory.png")
    print(describe(record["fit"]))
