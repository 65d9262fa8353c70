"""What a model can learn: a handful of structures by heart, and real silica better than its mean."""

import math

import numpy as np
import pytest
import torch
from etgnn_models import BORN, KANS, TYPES, graph, local_tensors, silica
from nequip.data import AtomicDataDict

from kan_heads.etgnn import ETGNNModel
from kan_heads.etgnn.structures import find_labels

REDUCED = {
    "seed": 1,
    "model_dtype": "float32",
    "type_names": TYPES,
    "num_layers": 2,
    "num_features": 32,
    "num_triplet_features": 32,
    "projection_width": 16,
}


def isotropic_means(graphs):
    """Returns a third of the trace, averaged over the atoms of each type."""
    types = torch.cat([data[AtomicDataDict.ATOM_TYPE_KEY] for data in graphs])
    thirds = torch.cat([data[BORN] for data in graphs]).diagonal(dim1=1, dim2=2).mean(dim=1)
    return {name: thirds[types == index].mean().item() for index, name in enumerate(TYPES)}


def labelled(frames, tensors, r_max):
    graphs = [graph(frame, r_max) for frame in frames]
    for data, label in zip(graphs, tensors, strict=True):
        data[BORN] = torch.tensor(label, dtype=torch.float32)
    return graphs


def fit(model, graphs, batch_size, epochs, learning_rate):
    """Trains on squared errors, with a learning rate that rises and falls."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    steps = epochs * math.ceil(len(graphs) / batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    for _ in range(epochs):
        for indices in torch.randperm(len(graphs), generator=generator).split(batch_size):
            batch = AtomicDataDict.batched_from_list([graphs[i] for i in indices])
            labels = batch.pop(BORN)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(batch)[BORN], labels).backward()
            optimizer.step()
            schedule.step()


def mean_error(model, graphs):
    batch = AtomicDataDict.batched_from_list(graphs)
    labels = batch.pop(BORN)
    with torch.no_grad():
        return (model(batch)[BORN] - labels).abs().mean().item()


def reduced(graphs, r_max, triplet_r_max, kan=None):
    """Builds a reduced model with the statistics of its training set."""
    neighbors = np.mean([len(data["edge_index"][0]) / len(data["pos"]) for data in graphs])
    return ETGNNModel(
        **REDUCED,
        r_max=r_max,
        triplet_r_max=triplet_r_max,
        avg_num_neighbors=neighbors,
        per_type_shifts=isotropic_means(graphs),
        scale=0.5,
        kan=kan,
    )


def real_graphs(frames, r_max):
    return labelled(frames, [find_labels(frame, BORN, "atom") for frame in frames], r_max)


def per_site_means(train, evaluated):
    """Returns the error, in e, of predicting for each place in the file the mean tensor of that place."""
    means = torch.stack([data[BORN] for data in train]).mean(dim=0)  # all are Si2O4, in the same order
    return torch.stack([data[BORN] - means for data in evaluated]).abs().mean().item()


@pytest.mark.slow
def test_eight_structures_are_learnt_by_heart():
    frames = [silica(seed, amplitude=0.1) for seed in range(8)]
    tensors = [local_tensors(frame) for frame in frames]
    antisymmetric = [0.5 * (tensor - tensor.transpose(0, 2, 1)) for tensor in tensors]
    assert np.mean(np.abs(antisymmetric)) > 0.01, "too small to tell whether it is learnt"
    graphs = labelled(frames, tensors, r_max=4.0)  # the tensors depend on neighbours up to 2.7 Å
    model = reduced(graphs, 4.0, 3.0, KANS["output-bspline"])
    assert mean_error(model, graphs) > 0.05
    fit(model, graphs, batch_size=2, epochs=200, learning_rate=0.005)
    assert mean_error(model, graphs) < 0.005


@pytest.mark.slow
def test_eight_real_structures_are_learnt_by_heart(sio2):
    graphs = real_graphs(sio2["train"][:8], 6.0)
    model = reduced(graphs, 6.0, 4.0, KANS["output-bspline"])
    fit(model, graphs, batch_size=4, epochs=250, learning_rate=0.005)
    assert mean_error(model, graphs) < 0.005


@pytest.mark.slow
def test_three_hundred_real_structures_beat_the_per_site_mean_five_times(sio2):
    train, val = (real_graphs(sio2[split], 6.0) for split in ("train", "val"))
    baseline = per_site_means(train, val)
    assert 0.2 < baseline < 0.35  # about 0.277 e
    model = reduced(train, 6.0, 4.0)
    fit(model, train, batch_size=5, epochs=6, learning_rate=0.005)
    assert mean_error(model, val) < baseline / 5.0
