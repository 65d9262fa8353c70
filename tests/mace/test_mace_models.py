"""A KAN model of MACE: how it starts, and that MACE can rebuild, save and script it."""

import copy
import io
import pickle
from pathlib import Path

import mace_models
import pytest
import torch
from ase import Atoms
from e3nn.util import jit
from mace.modules.radial import RadialMLP
from mace.tools.scripts_utils import extract_config_mace_model, extract_model
from programs import run

from kan_heads.errors import ModelError
from kan_heads.mace import readouts
from kan_heads.mace.calibration import calibrate
from kan_heads.mace.models import ScaleShiftMACE, to_kan
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.swap import kans_of

SETTINGS = [
    {"preset": "recommended"},
    {"preset": "published"},
    {"preset": "recommended", "scope": "all"},
    {"basis": "gaussian", "hidden": [4]},
    {"basis": "fourier", "base": "silu"},
    {"basis": "chebyshev"},
]
IDS = ["recommended", "published", "all", "gaussian", "fourier", "chebyshev"]


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_starts_with_the_predictions_of_the_stock_model(settings, double):
    before = mace_models.predict(mace_models.stock(), mace_models.crystal())
    model = mace_models.kan(settings, stir=False)
    assert mace_models.difference(before, mace_models.predict(model, mace_models.crystal())) < 1e-12
    calibrate(model, [mace_models.frame(mace_models.crystal())])
    assert mace_models.difference(before, mace_models.predict(model, mace_models.crystal())) < 1e-12


def test_published_start_is_random_and_its_widths_are_the_papers(double):
    before = mace_models.predict(mace_models.stock(), mace_models.crystal())
    model = mace_models.kan({"preset": "published"}, keep_function=False, stir=False)
    assert mace_models.difference(before, mace_models.predict(model, mace_models.crystal())) > 1e-3
    assert [kan.dims for kan in kans_of(model).values()] == [[8, 4, 2, 1], [8, 4, 2, 1]]
    layer = model.readouts[0].kans[0].layers[0]
    assert layer.coefficients.shape == (4, 8, 3 + 3)
    assert (layer.basis.lower.min(), layer.basis.upper.max()) == (-1.0, 1.0)


@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_extract_model_rebuilds_it_exactly(settings, dtype):
    model = mace_models.kan(settings)
    calibrate(model, [mace_models.frame(mace_models.crystal())])
    rebuilt = extract_model(model)
    assert type(rebuilt) is ScaleShiftMACE
    assert rebuilt.kan_settings() == model.kan_settings()
    assert set(rebuilt.state_dict()) == set(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(rebuilt.parameters(), model.parameters(), strict=True))
    a, b = (mace_models.predict(m, mace_models.crystal()) for m in (model, rebuilt))
    assert mace_models.difference(a, b) == 0.0
    again = extract_model(rebuilt)
    assert mace_models.difference(a, mace_models.predict(again, mace_models.crystal())) == 0.0


@pytest.mark.parametrize("num_interactions", [1, 3])
def test_rebuilds_with_any_number_of_layers(num_interactions, double):
    model = mace_models.kan(num_interactions=num_interactions)
    assert len(kans_of(model)) == num_interactions
    a, b = (mace_models.predict(m, mace_models.crystal()) for m in (model, extract_model(model)))
    assert mace_models.difference(a, b) == 0.0


def test_last_readout_only(double):
    model = mace_models.kan(use_last_readout_only=True)
    assert len(kans_of(model)) == 1
    a, b = (mace_models.predict(m, mace_models.crystal()) for m in (model, extract_model(model)))
    assert mace_models.difference(a, b) == 0.0


def test_readout_with_biases(double):
    from mace.modules.blocks import NonLinearBiasReadoutBlock

    before = mace_models.predict(
        mace_models.stock(readout_cls=NonLinearBiasReadoutBlock), mace_models.crystal()
    )
    model = mace_models.kan(stir=False, readout_cls=NonLinearBiasReadoutBlock)
    assert mace_models.difference(before, mace_models.predict(model, mace_models.crystal())) < 1e-12
    a = mace_models.predict(model, mace_models.crystal())
    assert mace_models.difference(a, mace_models.predict(extract_model(model), mace_models.crystal())) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=IDS)
def test_scripted_as_mace_does_it_for_lammps(settings, dtype):
    model = mace_models.kan(settings)
    expected = mace_models.predict(model, mace_models.crystal())
    scripted = jit.compile(copy.deepcopy(model))
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    loaded = torch.jit.load(file)
    # The first calls run without, the later ones with TorchScript's optimisations.
    for _ in range(4):
        assert mace_models.difference(expected, mace_models.predict(loaded, mace_models.crystal())) < (
            1e-11 if dtype == torch.float64 else 2e-5
        )


def test_several_heads_scripted(double):
    heads = ("a", "b")
    model = mace_models.kan({"hidden": [4]}, heads=heads)
    scripted = jit.compile(copy.deepcopy(model))
    for head in heads:
        expected = mace_models.predict(model, mace_models.crystal(), heads=heads, head=head)
        for _ in range(3):
            found = mace_models.predict(scripted, mace_models.crystal(), heads=heads, head=head)
            assert mace_models.difference(expected, found) < 1e-11


def test_pickled_models_in_a_fresh_process(double, tmp_path):
    for name, settings in zip(IDS, SETTINGS, strict=True):
        model = mace_models.kan(settings)
        torch.save(model, tmp_path / f"{name}.model")
        torch.save(
            mace_models.predict(model, mace_models.crystal())["forces"].detach(), tmp_path / f"{name}.pt"
        )
    code = (
        "import sys, torch, mace_models; torch.set_default_dtype(torch.float64)\n"
        "for name in sys.argv[2:]:\n"
        "    model = torch.load(f'{sys.argv[1]}/{name}.model', weights_only=False)\n"
        "    forces = torch.load(f'{sys.argv[1]}/{name}.pt')\n"
        "    found = mace_models.predict(model, mace_models.crystal())['forces']\n"
        "    assert (found - forces).abs().max() < 1e-12, name\n"
        "    print(model.kan_settings())"
    )
    folder = Path(mace_models.__file__).parent
    output, _ = run("python", "-c", code, tmp_path, *IDS, cwd=folder, family="mace")
    expected = [repr(MACEKANConfig.from_dict(settings).for_features(8)) for settings in SETTINGS]
    assert output.splitlines()[-len(IDS) :] == expected


def test_bound_class_is_one_object_and_pickles():
    settings = MACEKANConfig.from_dict({}).for_features(8)
    block = readouts.bound(readouts.NonLinearKANReadoutBlock, settings)
    assert readouts.bound(readouts.NonLinearKANReadoutBlock, settings) is block
    assert pickle.loads(pickle.dumps(block)) is block
    assert pickle.loads(pickle.dumps(readouts.NonLinearKANReadoutBlock)) is readouts.NonLinearKANReadoutBlock
    assert "grid_size" in repr(block)


@pytest.mark.parametrize("settings", [*SETTINGS[:1], *SETTINGS[2:]], ids=[*IDS[:1], *IDS[2:]])
def test_isolated_atoms_have_exactly_their_reference_energy(settings, dtype):
    model = mace_models.kan(settings)
    found = mace_models.predict(model, Atoms("C", [(0, 0, 0)]), Atoms("O", [(0, 0, 0)]))
    expected = model.atomic_energies_fn.atomic_energies[0]
    assert torch.equal(found["energy"].detach(), expected.to(dtype))


def test_published_preset_moves_isolated_atoms(double):
    """What phi(0) = 0 is for: without it a free atom has the energy of the KANs at 0."""
    model = mace_models.kan({"preset": "published"}, keep_function=False)
    found = mace_models.predict(model, Atoms("C", [(0, 0, 0)]))
    assert abs(float(found["energy"]) - mace_models.E0S[0]) > 1e-4


@pytest.mark.parametrize("settings", SETTINGS[:3], ids=IDS[:3])
def test_energy_is_smooth_where_a_neighbour_crosses_the_cutoff(settings, double):
    model = mace_models.kan(settings)

    def energy(distance):
        return float(mace_models.predict(model, Atoms("CO", [(0, 0, 0), (distance, 0, 0)]))["energy"])

    assert abs(energy(mace_models.R_MAX - 1e-4) - energy(mace_models.R_MAX + 1e-4)) < 1e-9


@pytest.mark.parametrize("settings", SETTINGS[:3], ids=IDS[:3])
def test_forces_are_the_derivative_of_the_energy(settings, double):
    model = mace_models.kan(settings)
    atoms, step = mace_models.crystal(), 1e-5
    forces = mace_models.predict(model, atoms)["forces"]
    ahead, behind = atoms.copy(), atoms.copy()
    ahead.positions[3, 1] += step
    behind.positions[3, 1] -= step
    energies = mace_models.predict(model, ahead, behind)["energy"]
    assert float(forces[3, 1]) == pytest.approx(float(energies[1] - energies[0]) / (2 * step), abs=1e-7)


def test_stock_mace_that_is_not_patched_says_so_instead_of_losing_kans(double):
    from mace import modules

    config = extract_config_mace_model(mace_models.kan())
    with pytest.raises(ModelError, match="kan-heads patch apply mace"):
        modules.ScaleShiftMACE(**config)


def test_what_cannot_hold_kans_is_left_as_it_was(double):
    model = mace_models.stock()
    model.readouts[1] = torch.nn.Linear(2, 2)
    before = model.readouts[0]
    with pytest.raises(ModelError, match=r"Linear, which kan-heads cannot extend.*NonLinearReadoutBlock"):
        to_kan(model, MACEKANConfig.from_dict({}), 8)
    assert model.readouts[0] is before
    with pytest.raises(ModelError, match="holds KANs already"):
        to_kan(mace_models.kan(), MACEKANConfig.from_dict({}))
    with pytest.raises(ModelError, match="the model is a Linear; only ScaleShiftMACE"):
        to_kan(torch.nn.Linear(2, 2), MACEKANConfig.from_dict({}))


def test_radial_network_with_norms_is_refused(double):
    model = mace_models.stock()
    model.interactions[1].conv_tp_weights = RadialMLP([6, 8, 24])
    with pytest.raises(ModelError, match="a radial network is a RadialMLP"):
        to_kan(model, MACEKANConfig.from_dict({"scope": "all"}))


def test_model_without_readouts_is_refused(double):
    model = mace_models.stock(num_interactions=1, use_last_readout_only=True)
    with pytest.raises(ModelError, match="the model has no readout"):
        to_kan(model, MACEKANConfig.from_dict({}))


def test_radial_kans_of_another_shape_are_refused_and_never_random(double):
    """MACE reads widths from ``hs``; without it, it rebuilds other radial networks."""
    model = mace_models.kan({"scope": "all"})
    for block in model.interactions:
        del block.conv_tp_weights.hs
    assert extract_config_mace_model(model)["radial_MLP"] == []
    with pytest.raises(RuntimeError, match="size mismatch for interactions"):
        extract_model(model)


@pytest.mark.parametrize("settings", [{}, {"scope": "all", "hidden": [3]}, {"preset": "published"}], ids=str)
def test_hessians_are_batched_and_right(settings, double, monkeypatch):
    """MACE falls back to a loop over all coordinates where a gradient cannot be batched, without a word."""
    from mace.modules import utils
    from mace.tools.torch_geometric.batch import Batch

    small = {"hidden_irreps": mace_models.o3.Irreps("4x0e"), "max_ell": 1, "radial_MLP": [4]}
    model = mace_models.kan(settings, **small)
    frame = Batch.from_data_list([mace_models.frame(mace_models.crystal()[:5])]).to_dict()
    loop = utils.compute_hessians_loop

    def hessian():
        return model(dict(frame), compute_hessian=True)["hessian"].detach()

    with monkeypatch.context() as patch:
        patch.setattr(utils, "compute_hessians_loop", _no_loop)
        found = hessian()
    monkeypatch.setattr(utils, "compute_hessians_vmap", loop)
    torch.testing.assert_close(found.view(15, 15), hessian().view(15, 15), rtol=0, atol=1e-10)


def _no_loop(*_):
    raise AssertionError("the gradient was not batched")
