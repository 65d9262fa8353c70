"""Two processes train a KAN model through MACE's own loop as one process does on the same batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

# Arguments: file for the results, rendezvous, rank, number of processes.
WORKER = """
import sys
import mace_models, torch
from mace import modules
from mace.tools import torch_geometric
from mace.tools.train import take_step
from torch.distributed import destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler
from kan_heads.mace.models import to_kan
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.mace.calibration import calibrate

out, rendezvous, rank, world = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
frames = []
for i in range(8):
    atoms = mace_models.crystal()
    atoms.rattle(0.05 + 0.02 * i, seed=i)
    record = mace_models.frame(atoms)
    record.energy, record.forces = torch.tensor(-40.0 - i), torch.randn(len(atoms), 3)
    record.energy_weight = record.forces_weight = torch.tensor(1.0)
    frames.append(record)
model = to_kan(mace_models.stock(), MACEKANConfig.from_dict({"scope": "all"}))
if world > 1:
    init_process_group("gloo", init_method="file://" + rendezvous, rank=rank, world_size=world)
# Each process would fit its grids to frames of its own: those of the first one count.
calibrate(model, frames[4 * rank :][:2])
grids = {name: value.clone() for name, value in model.state_dict().items() if ".basis." in name}
before = {name: value.detach().clone() for name, value in model.named_parameters()}
if world > 1:
    # Frame 2k is with the first process, 2k + 1 with the second; together they are batch k of one process.
    sampler = DistributedSampler(frames, shuffle=False)
    loader = torch_geometric.dataloader.DataLoader(frames, batch_size=1, sampler=sampler)
    trained = DistributedDataParallel(model)
else:
    loader = torch_geometric.dataloader.DataLoader(frames, batch_size=2, shuffle=False)
    trained = model
# Adam would make a whole step out of rounding where a gradient is zero.
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
loss_fn = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=1.0)
for epoch in range(2):
    for batch in loader:
        take_step(
            model=trained, loss_fn=loss_fn, batch=batch, optimizer=optimizer, ema=None,
            output_args={"forces": True, "virials": False, "stress": False}, max_grad_norm=10.0,
            device=torch.device("cpu"),
        )
after = {name: value.detach() for name, value in model.named_parameters()}
torch.save({"grids": grids, "before": before, "after": after}, f"{out}-{rank}.pt")
if world > 1:
    destroy_process_group()
"""


def results(folder, world):
    """Grids after calibration and weights before and after training, of each process."""
    worker, out = folder / "worker.py", folder / f"of-{world}"
    worker.write_text(WORKER)
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    processes = [
        subprocess.Popen(
            [sys.executable, worker, out, folder / "rendezvous", str(rank), str(world)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * world, "\n".join(e[-2000:] for e in errors)
    return [torch.load(f"{out}-{rank}.pt", weights_only=True) for rank in range(world)]


def test_two_processes_train_as_one_does(tmp_path):
    (one,), two = results(tmp_path, 1), results(tmp_path, 2)
    assert one["grids"]
    kans = [name for name in one["before"] if ".kans." in name or "conv_tp_weights" in name]
    assert kans
    # Far more than the rounding that is allowed below.
    assert all((one["after"][name] - one["before"][name]).abs().max() > 1e-7 for name in kans)
    for rank in two:
        assert rank["grids"].keys() == one["grids"].keys()
        for name, grid in one["grids"].items():
            assert torch.equal(rank["grids"][name], grid), name
        for name, value in one["after"].items():
            torch.testing.assert_close(rank["after"][name], value, rtol=0, atol=1e-11, msg=name)
