"""What happens between MACE building a model and training it: calibration, freezing, refusals."""

import argparse
import re
import types

import mace_models
import pytest
import torch
from torch.utils.data import ConcatDataset

from kan_heads.errors import ConfigError, ModelError
from kan_heads.kan import KAN
from kan_heads.mace.arguments import add_arguments
from kan_heads.mace.calibration import calibrate, calibration_frames
from kan_heads.mace.models import ScaleShiftMACE
from kan_heads.mace.training import configure
from kan_heads.swap import kans_of

pytestmark = pytest.mark.usefixtures("double")


def arguments(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(words)
    args.MLP_irreps, args.device = "8x0e", "cpu"
    return args


def loader():
    structures = []
    for i in range(40):
        atoms = mace_models.crystal()
        atoms.rattle(0.02 * i, seed=i)
        structures.append(mace_models.frame(atoms))
    return types.SimpleNamespace(dataset=structures)


def build(*words, foundation=None, **of_stock):
    return configure(mace_models.stock(**of_stock), arguments(*words), loader(), foundation)


def test_without_kan_the_model_is_the_one_that_came_in():
    model = mace_models.stock()
    assert configure(model, arguments(), None, None) is model
    assert not isinstance(model, ScaleShiftMACE)


def test_calibrated_grids_hold_the_features_of_the_data(caplog):
    caplog.set_level("INFO")
    model = build("--kan", "--kan_calibrate", "True")
    for kan in kans_of(model).values():
        assert float(kan.layers[0].basis.lower.min()) > -1.5  # moved away from where they started
    seen = {}
    for path, kan in kans_of(model).items():
        kan.register_forward_pre_hook(lambda _, inputs, path=path: seen.update({path: inputs[0]}))
    for record in loader().dataset[::8]:
        model({**_batch(record)}, compute_force=False)
        for path, kan in kans_of(model).items():
            assert all(float(share.max()) == 0.0 for share in kan.coverage(seen[path]))
    logged = caplog.text
    assert "preset: recommended" in logged
    assert "readouts.0.kans.0: [8, 1]" in logged


def _batch(record):
    from mace.tools.torch_geometric.batch import Batch

    return Batch.from_data_list([record]).to_dict()


def test_calibration_moves_no_random_state_and_no_loader():
    data = loader()
    torch.manual_seed(3)
    build("--kan")
    expected = torch.rand(1)
    torch.manual_seed(3)
    model = mace_models.stock()
    configure(model, arguments("--kan", "--kan_calibrate", "True"), data, None)
    assert torch.equal(torch.rand(1), expected)


def test_switched_off():
    model = build("--kan")
    for kan in kans_of(model).values():
        assert (float(kan.layers[0].basis.lower.min()), float(kan.layers[0].basis.upper.max())) == (-1.5, 1.5)


def test_foundation_model_keeps_its_predictions_whatever_the_preset():
    foundation = mace_models.stock(seed=7)
    for words in (("--kan",), ("--kan", "--kan_preset", "published"), ("--kan", "--kan_scope", "all")):
        # MACE has copied the foundation's weights into the model by then.
        model = configure(mace_models.stock(seed=7), arguments(*words), loader(), foundation)
        expected = mace_models.predict(foundation, mace_models.crystal())
        found = mace_models.predict(model, mace_models.crystal())
        assert mace_models.difference(expected, found) < 1e-12


def test_frozen_backbone_leaves_the_kans_and_their_readouts():
    for words, extra in (((), ()), (("--kan_scope", "all"), ("conv_tp_weights",))):
        model = build("--kan", "--kan_freeze_backbone", *words)
        trainable = [name for name, p in model.named_parameters() if p.requires_grad]
        assert trainable
        assert all(name.startswith("readouts.") or any(e in name for e in extra) for name in trainable)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
        for _ in range(2):  # the first step moves only the last layers, which start at zero
            optimizer.zero_grad()
            found = mace_models.predict(model, mace_models.crystal(), training=True)
            (found["energy"].square().sum() + found["forces"].square().sum()).backward()
            optimizer.step()
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved == set(trainable)


def test_kan_foundation_keeps_its_kans_without_any_option():
    foundation = mace_models.kan({"hidden": [4]})
    calibrate(foundation, loader().dataset[:2])
    target = mace_models.kan({"hidden": [4]}, seed=9)
    with torch.no_grad():
        for name, value in target.state_dict().items():
            if not name.startswith("readouts"):
                value.copy_(foundation.state_dict()[name])
    model = configure(target, arguments("--kan_freeze_backbone"), loader(), foundation)
    a, b = (mace_models.predict(m, mace_models.crystal()) for m in (model, foundation))
    assert mace_models.difference(a, b) < 1e-12
    assert not model.node_embedding.linear.weight.requires_grad


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": [4]}, ("--kan_hidden", "4")),
        ({"hidden": [4]}, ("--kan_hidden", "4", "--kan_calibrate", "True")),
        ({"preset": "published"}, ("--kan_preset", "published")),
        ({}, ()),
    ],
)
def test_kan_foundation_goes_on_with_the_options_that_it_was_made_with(settings, words):
    foundation = mace_models.kan(settings)
    if "preset" not in settings:
        calibrate(foundation, loader().dataset[:2])
    args = arguments("--kan", *words)
    args.MLP_irreps = "16x0e"  # MACE takes the widths from the foundation model
    results = []
    for asked in (args, arguments()):
        target = mace_models.kan(settings, seed=9)
        with torch.no_grad():
            for name, value in target.state_dict().items():
                if not name.startswith("readouts"):
                    value.copy_(foundation.state_dict()[name])
        results.append(configure(target, asked, loader(), foundation))
    ours, plain = (model.state_dict() for model in results)
    assert all(torch.equal(ours[name], plain[name]) for name in plain)
    a, b = (mace_models.predict(m, mace_models.crystal()) for m in (results[0], foundation))
    assert mace_models.difference(a, b) < 1e-12


@pytest.mark.parametrize(
    ("settings", "words", "its", "mine"),
    [
        ({}, ("--kan_grid_size", "5"), '"grid_size": 8', '"grid_size": 5'),
        ({"basis": "gaussian"}, (), '"basis": "gaussian"', '"basis": "bspline"'),
        ({"scope": "all"}, (), '"scope": "all"', '"scope": "output"'),
        ({"preset": "published"}, (), '"hidden": [4, 2]', '"hidden": []'),
    ],
)
def test_other_kans_than_the_foundation_model_has_are_refused(settings, words, its, mine):
    expected = (
        rf"--kan: the foundation model has KANs {{.*{re.escape(its)}.*}}, "
        rf"these options ask for {{.*{re.escape(mine)}.*}}; leave out --kan and its options"
    )
    with pytest.raises(ConfigError, match=expected) as caught:
        build("--kan", *words, foundation=mace_models.kan(settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--kan_basis", "gaussian"), r"--kan_basis needs --kan"),
        (("--kan_calibrate", "False"), r"--kan_calibrate needs --kan"),
        (
            ("--kan_freeze_backbone",),
            r"--kan_freeze_backbone needs --kan, or a foundation model that holds KANs",
        ),
    ],
)
def test_options_without_kan(words, message):
    with pytest.raises(ConfigError, match=message):
        build(*words)


def test_lora_and_other_models_are_refused():
    args = arguments("--kan")
    args.lora = True
    with pytest.raises(ConfigError, match=r"--lora trains parts of linear maps only and freezes KANs"):
        configure(mace_models.stock(), args, loader(), None)
    with pytest.raises(ModelError, match=r"the model is a Linear; only ScaleShiftMACE"):
        configure(torch.nn.Linear(1, 1), arguments("--kan"), loader(), None)


def test_all_kans_learn():
    """Every parameter of every KAN gets a gradient from forces, also behind a last layer that starts at 0."""
    model = build("--kan", "--kan_scope", "all", "--kan_hidden", "[4]")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        found = mace_models.predict(model, mace_models.crystal(), training=True)
        found["forces"].square().sum().backward()
        optimizer.step()
    for path, module in model.named_modules():
        if isinstance(module, KAN):
            for name, parameter in module.named_parameters():
                assert float(parameter.grad.abs().max()) > 0.0, f"{path}.{name}"


def test_calibration_draws_from_all_of_the_data_and_from_every_head():
    assert [int(x) for x in calibration_frames(list(range(63)))] == sorted({round(i * 2) for i in range(32)})
    assert calibration_frames(list(range(3))) == [0, 1, 2]
    both = ConcatDataset([list(range(200)), list(range(1000, 1003))])
    drawn = calibration_frames(both)
    assert (len(drawn), drawn[-3:], drawn[0], drawn[31]) == (35, [1000, 1001, 1002], 0, 199)


def test_a_head_with_few_frames_gets_grids_of_its_own():
    heads, atoms = ("a", "b"), mace_models.crystal()
    many, few = ([mace_models.frame(atoms, heads, head)] * n for head, n in (("a", 60), ("b", 1)))
    data = types.SimpleNamespace(dataset=ConcatDataset([many, few]))
    model = configure(mace_models.stock(heads=heads), arguments("--kan"), data, None)
    for readout in model.readouts:
        for kan in readout.kans:
            assert float(kan.layers[0].basis.lower.min()) > -4.0


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            ("--kan",),
            (),
            r"has \{.*\}, this run has no KANs; give the options of that run, or another --name",
        ),
        ((), ("--kan",), r"epoch-3.pt has no KANs, this run has \{"),
        (("--kan",), ("--kan", "--kan_grid_size=5"), r'"grid_size": 8.* this run has .*"grid_size": 5'),
        (("--kan",), ("--kan", "--kan_basis=gaussian", "--kan_grid_size=10"), r'"basis": "gaussian"'),
        (("--kan",), ("--kan", "--kan_scope=all"), r'"scope": "all"'),
        (("--kan",), ("--kan", "--kan_calibrate=True"), None),
        ((), (), None),
    ],
)
def test_restart_with_other_functions_is_refused(before, after, message, tmp_path):
    """MACE would swallow the error and begin anew, or read B-spline coefficients as those of Gaussians."""
    torch.save({"model": build(*before).state_dict()}, tmp_path / "test_run-1_epoch-3.pt")
    args = arguments(*after)
    args.restart_latest, args.checkpoints_dir, args.name, args.seed = True, str(tmp_path), "test", 1
    if message is None:
        configure(mace_models.stock(), args, loader(), None)
        return
    with pytest.raises(ConfigError, match=message):
        configure(mace_models.stock(), args, loader(), None)


def test_restart_looks_at_the_last_checkpoint_of_each_stage(tmp_path):
    kan, stock = build("--kan").state_dict(), mace_models.stock().state_dict()
    args = arguments("--kan")
    args.restart_latest, args.checkpoints_dir, args.name, args.seed = True, str(tmp_path), "test", 1
    for name, state in (
        ("test_run-1_epoch-9.pt", stock),
        ("test_run-1_epoch-10.pt", kan),
        ("test_run-1_epoch-12_swa.pt", kan),
        ("other_run-1_epoch-99.pt", stock),
        ("test_run-11_epoch-99.pt", stock),
    ):
        torch.save({"model": state}, tmp_path / name)
    configure(mace_models.stock(), args, loader(), None)
    (tmp_path / "test_run-1_epoch-13_swa.pt").write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"epoch-13_swa.pt cannot be read .*; remove it"):
        configure(mace_models.stock(), args, loader(), None)


def test_weights_of_other_functions_are_refused_even_where_shapes_agree():
    bspline, gaussian = build("--kan"), build("--kan", "--kan_basis=gaussian", "--kan_grid_size=10")
    assert bspline.readouts[0].kans[0].layers[0].coefficients.shape == (
        gaussian.readouts[0].kans[0].layers[0].coefficients.shape
    )
    with pytest.raises(ModelError, match=r'the weights are those of KANs .*"bspline"'):
        gaussian.load_state_dict(bspline.state_dict())
