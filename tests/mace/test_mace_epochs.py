"""What a KAN model tells between epochs, in MACE's own loop as the patch makes it."""

import copy
import logging
import re
import types

import mace_models
import pytest
import torch
from mace import modules
from mace.tools import torch_geometric
from torch.utils.data import ConcatDataset
from torch_ema import ExponentialMovingAverage

from kan_heads.mace.calibration import calibrate, calibration_frames
from kan_heads.mace.epochs import off_grid
from kan_heads.patching import State, diff, find_installation
from kan_heads.swap import kans_of

pytestmark = pytest.mark.usefixtures("double")
HEADS = ("a", "b")
SMALL = {"hidden_irreps": mace_models.o3.Irreps("4x0e"), "max_ell": 1, "radial_MLP": [4]}


@pytest.fixture(scope="module")
def train():
    """MACE's loop with the patch, whether or not the installed MACE has it."""
    installed, name = find_installation("mace"), "mace/tools/train.py"
    content = (installed.root / name).read_bytes()
    if installed.states()[name] is State.PRISTINE:
        content = diff.apply(installed.patch.hunks[name], content)
    module = types.ModuleType("mace.tools.train")
    module.__package__ = "mace.tools"
    exec(compile(content, name, "exec"), module.__dict__)  # the point of these tests
    return module.train


def labelled(seed, heads=("Default",), head="Default"):
    atoms = mace_models.crystal()
    atoms.rattle(0.05, seed=seed)
    frame = mace_models.frame(atoms, heads, head)
    generator = torch.Generator().manual_seed(seed)
    frame.energy = torch.tensor(-40.0 - seed)
    frame.forces = torch.randn(len(atoms), 3, generator=generator)
    frame.energy_weight = frame.forces_weight = torch.tensor(1.0)
    return frame


def loader(frames, batch_size=2):
    generator = torch.Generator().manual_seed(1)
    return torch_geometric.dataloader.DataLoader(
        ConcatDataset([frames]), batch_size=batch_size, shuffle=True, generator=generator
    )


class Silent:
    """Stands for MACE's writers of checkpoints and metrics."""

    def __getattr__(self, name):
        return lambda *_, **__: None


def run(train, model, epochs=2, ema=None, lr=1e-2, **changes):
    """Trains through MACE's loop; returns the optimiser."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    data = loader([labelled(seed) for seed in range(4)])
    arguments = {
        "loss_fn": modules.WeightedEnergyForcesLoss(energy_weight=1.0, forces_weight=1.0),
        "train_loader": data,
        "valid_loaders": {"Default": loader([labelled(9)])},
        "optimizer": optimizer,
        "lr_scheduler": Silent(),
        "start_epoch": 0,
        "max_num_epochs": epochs,
        "patience": 10,
        "checkpoint_handler": Silent(),
        "logger": Silent(),
        "eval_interval": 1,
        "output_args": {"forces": True, "virials": False, "stress": False},
        "device": torch.device("cpu"),
        "log_errors": "PerAtomRMSE",
        "ema": ema,
    }
    train(model, **{**arguments, **changes})
    return optimizer


def lines(caplog, what):
    return [record.getMessage() for record in caplog.records if what in record.getMessage()]


def test_each_epoch_has_one_line_with_every_kan(train, caplog):
    caplog.set_level("INFO")
    model = mace_models.kan({"scope": "all"}, stir=False, **SMALL)
    calibrate(model, [labelled(seed) for seed in range(4)])
    run(train, model, lr=0.0)
    found = lines(caplog, "KAN inputs off the grid")
    assert [line.split(":")[0] for line in found] == ["Epoch 0", "Epoch 1"]
    paths = list(kans_of(model))
    assert len(paths) == 4
    for line in found:
        assert re.findall(r"(\S+) 0\.0 %", line) == paths
    said = [record.getMessage() for record in caplog.records]
    (validated,) = (i for i, line in enumerate(said) if line.startswith("Epoch 1: head"))
    assert said.index(found[1]) > validated
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("averaged", [False, True], ids=["plain", "ema"])
def test_training_is_the_same_to_the_last_bit_with_and_without_the_lines(train, averaged, caplog):
    caplog.set_level("INFO")
    start, results = mace_models.kan({"scope": "all", "hidden": [4]}, **SMALL), []
    for watched in (True, False):
        model = copy.deepcopy(start)
        if not watched:
            model.after_epoch = lambda **_: None
        ema = ExponentialMovingAverage(model.parameters(), decay=0.9) if averaged else None
        optimizer = run(train, model, epochs=3, ema=ema)
        momenta = [value["exp_avg"] for value in optimizer.state.values()]
        shadow = ema.shadow_params if averaged else []
        results.append([*model.state_dict().values(), *momenta, *shadow, torch.get_rng_state()])
    assert len(lines(caplog, "KAN inputs off the grid")) == 3
    assert not all(torch.equal(a, b) for a, b in zip(results[0], start.state_dict().values(), strict=False))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_nothing_stays_in_the_model(train):
    model = mace_models.kan(**SMALL)
    before = set(model.__dict__), [set(module.__dict__) for module in model.modules()]
    run(train, model, epochs=1)
    assert (set(model.__dict__), [set(module.__dict__) for module in model.modules()]) == before
    assert not [module for module in model.modules() if module._forward_pre_hooks]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_stock_model_says_nothing(train, caplog):
    caplog.set_level("INFO")
    run(train, mace_models.stock(**SMALL), epochs=1)
    assert lines(caplog, "Epoch 0: head")
    assert not lines(caplog, "KAN")


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"calibrate": True}, r"start again with --kan_calibrate False: features grow"),
        ({}, r"start again with a grid_range wider than \[-1e-06, 1e-06\] in the file of --kan_config"),
    ],
    ids=["calibrated", "not calibrated"],
)
def test_a_large_share_is_warned_of_once_with_what_to_do(train, caplog, options, remedy):
    model = mace_models.kan({"grid_range": [-1e-6, 1e-6], **options}, **SMALL)
    for path, kan in kans_of(model).items():
        if path.startswith("readouts.1"):  # one KAN that is well off
            kan.layers[0].basis.set_range(torch.full((8,), -1e3), torch.full((8,), 1e3))
    run(train, model, epochs=3)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    message = warning.getMessage()
    assert re.search(r"over 20 % of the inputs of readouts\.0\.kans\.0 are off the grid", message)
    assert re.search(remedy, message)
    assert "\n" not in message


def test_shares_are_those_of_the_averaged_weights(train, caplog):
    """They are what the line above it, MACE's validation, is about."""
    caplog.set_level("INFO")
    model = mace_models.kan({"grid_range": [-0.05, 0.05]}, **SMALL)
    ema = ExponentialMovingAverage(model.parameters(), decay=0.9)
    run(train, model, epochs=1, ema=ema)
    frames = calibration_frames(loader([labelled(seed) for seed in range(4)]).dataset)
    plain = off_grid(model, frames)
    with ema.average_parameters():
        averaged = off_grid(model, frames)
    (line,) = lines(caplog, "KAN inputs off the grid")
    assert plain != averaged
    assert [float(share) for share in re.findall(r" ([\d.]+) %", line)] == [
        round(100 * share, 1) for share in averaged.values()
    ]


def test_other_ranks_do_not_look(train, caplog, monkeypatch):
    monkeypatch.setattr("kan_heads.mace.epochs.log_off_grid", lambda *_: pytest.fail("rank 1 looked"))
    run(train, mace_models.kan(**SMALL), epochs=1, rank=1)


def test_shares_count_each_number_and_each_batch_once():
    model = mace_models.kan({"hidden": [4]}, **SMALL)
    frames = [labelled(seed) for seed in range(5)]
    seen = {path: [] for path in kans_of(model)}
    hooks = [
        kan.register_forward_pre_hook(lambda _, inputs, path=path: seen[path].append(inputs[0]))
        for path, kan in kans_of(model).items()
    ]
    for frame in frames:
        batch = torch_geometric.batch.Batch.from_data_list([frame])
        model(batch.to_dict(), compute_force=False)
    for hook in hooks:
        hook.remove()
    inputs = {path: torch.cat(rows).detach() for path, rows in seen.items()}
    for path, kan in kans_of(model).items():
        x = inputs[path]
        middle = x.abs().median(0).values  # a half of the numbers of each feature lies beyond
        kan.layers[0].basis.set_range(-middle, middle)
        kan.layers[1].basis.set_range(torch.full((4,), -1e6), torch.full((4,), 1e6))
    for batch_size in (1, 2, 5):
        shares = off_grid(model, frames, batch_size)
        assert shares.keys() == inputs.keys()
        for path, x in inputs.items():
            basis = kans_of(model)[path].layers[0].basis
            expected = float(((x < basis.lower) | (x > basis.upper)).double().mean())
            assert shares[path] == pytest.approx(expected, abs=2.0 / x.numel())
            assert 0.4 < shares[path] < 0.6
    kan.layers[1].basis.set_range(torch.full((4,), -1e-9), torch.full((4,), 1e-9))
    assert off_grid(model, frames)[path] > 0.9, "the worst layer counts"


def test_the_kans_of_a_head_count_its_own_frames():
    """Atoms of other heads enter as zeros, or not for energies: they would water its share down."""
    model = mace_models.kan(heads=HEADS, **SMALL)
    for kan in kans_of(model).values():
        kan.layers[0].basis.set_range(torch.full((8,), -1e-9), torch.full((8,), 1e-9))
    frames = [labelled(seed, HEADS, head) for head in HEADS for seed in range(3)]
    shares = off_grid(model, frames, 2)
    assert list(shares) == [f"readouts.{i}.kans.{head}" for i in range(2) for head in range(2)]
    assert all(share > 0.99 for share in shares.values())
