"""Two processes on processors train a KAN model through MACE's own training loop."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

WORKER = """
import logging, sys, types
import mace_models, torch
from mace import modules
from mace.tools.train import take_step
from mace.tools import torch_geometric
from torch.distributed import init_process_group, all_gather_object, destroy_process_group, get_rank
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DistributedSampler
from kan_heads.mace.models import to_kan
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.mace.training import calibrate

torch.set_default_dtype(torch.float64)
init_process_group("gloo", init_method="file://" + sys.argv[2], rank=int(sys.argv[3]), world_size=2)
frames = []
for i in range(8):
    atoms = mace_models.crystal()
    atoms.rattle(0.05, seed=i)
    record = mace_models.frame(atoms)
    record.energy, record.forces = torch.tensor(-40.0 - i), torch.randn(len(atoms), 3)
    record.energy_weight = record.forces_weight = torch.tensor(1.0)
    frames.append(record)
model = to_kan(mace_models.stock(), MACEKANConfig.from_dict({"scope": "all"}))
# Different frames in each process: the grids of the first one count.
calibrate(model, frames[4 * get_rank() :][:2])
grids = [None, None]
all_gather_object(grids, {k: v for k, v in model.state_dict().items() if ".basis." in k})
assert grids[0] and all(torch.equal(grids[0][k], grids[1][k]) for k in grids[0])
sampler = DistributedSampler(frames, shuffle=False)
loader = torch_geometric.dataloader.DataLoader(frames, batch_size=2, sampler=sampler)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
ddp = DistributedDataParallel(model)
loss_fn = modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=1.0)
before = {k: v.detach().clone() for k, v in model.named_parameters()}
for epoch in range(2):
    for batch in loader:
        take_step(
            model=ddp, loss_fn=loss_fn, batch=batch, optimizer=optimizer, ema=None,
            output_args={"forces": True, "virials": False, "stress": False}, max_grad_norm=10.0,
            device=torch.device("cpu"),
        )
states = [None, None]
all_gather_object(states, {k: v.detach() for k, v in model.named_parameters()})
assert all(torch.equal(states[0][k], states[1][k]) for k in before), "the processes differ"
kans = [k for k in before if ".kans." in k or "conv_tp_weights" in k]
assert kans and all(not torch.equal(states[0][k], before[k]) for k in kans), "a KAN did not learn"
if get_rank() == 0:
    torch.save(states[0], sys.argv[1])
destroy_process_group()
"""


def test_two_processes_agree_and_learn(tmp_path):
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, worker, tmp_path / "state.pt", str(tmp_path / "rendezvous")]
    processes = [
        subprocess.Popen([*command, str(rank)], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=200)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(e[-2000:] for e in errors)
    assert torch.load(tmp_path / "state.pt")
