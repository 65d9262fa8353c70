"""Models that earlier releases have written load, and predict what they predicted then."""

import pathlib
import tarfile

import make_stored as stored
import numpy as np
import pytest
import torch

ARCHIVES = sorted(pathlib.Path(__file__).parent.glob("*.tar.xz"))
POTENTIALS = [f"{name}.ckpt" for name in stored.RUNS] + [f"{name}.nequip.zip" for name in stored.PACKAGED]


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def folder(request, tmp_path_factory):
    """The files of one release."""
    target = tmp_path_factory.mktemp("stored")
    with tarfile.open(request.param) as archive:
        archive.extractall(target, filter="data")
    return target


@pytest.mark.parametrize("name", stored.NETWORKS)
def test_a_bare_network_predicts_what_it_did(folder, name):
    from kan_heads.global_state import default_dtype
    from kan_heads.kan import KAN, KANConfig

    network = torch.load(folder / "networks.pt")[name]
    with default_dtype(torch.float32):  # tests of potentials leave nequip's behind
        model = KAN(network["dims"], KANConfig.from_dict(network["options"]))
    model.load_state_dict(network["state"])
    x = network["x"].requires_grad_()
    y = model(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y, network["y"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, network["gradient"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("file", POTENTIALS)
def test_a_checkpoint_or_package_predicts_what_it_did(folder, file):
    pytest.importorskip("allegro")
    name, kind = file.split(".", 1)[0], file.split("-")[0]
    expected = np.load(folder / "potentials.npz")
    for key, value in stored.predict_potential(folder / file, kind).items():
        np.testing.assert_allclose(value, expected[f"{name}/{key}"], rtol=1e-5, atol=1e-5)


def test_a_package_is_frozen_and_watched(folder):
    """Its classes are copies of that release's, without what later ones have."""
    pytest.importorskip("allegro")
    import ase.build
    from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase
    from nequip.model.saved_models import load_saved_model

    from kan_heads.global_state import nequip_state
    from kan_heads.kan.freeze import freeze
    from kan_heads.kan.grid import inputs_seen, off_grid

    with nequip_state():
        model = load_saved_model(str(folder / "allegro-bspline.nequip.zip")).eval()
        atoms = ase.build.bulk("Ag", cubic=True)
        atoms.rattle(0.1, seed=1)
        data = compute_neighborlist_(from_ase(atoms), 4.0)
        data[AtomicDataDict.ATOM_TYPE_KEY] = torch.zeros(len(atoms), dtype=torch.long)
        kans = {p: module for p, module in model.named_modules() if type(module).__name__ == "KAN"}
        with inputs_seen(kans) as seen:
            before = model(dict(data))[AtomicDataDict.TOTAL_ENERGY_KEY]
        assert kans
        assert all(0.0 <= off_grid(kans[path], torch.cat(rows)) < 1.0 for path, rows in seen.items())
        assert freeze(model).frozen
        torch.testing.assert_close(model(dict(data))[AtomicDataDict.TOTAL_ENERGY_KEY], before)


@pytest.mark.parametrize("name", stored.MACE_MODELS)
def test_a_model_of_mace_predicts_what_it_did(folder, name):
    pytest.importorskip("mace")
    from kan_heads.global_state import default_dtype

    with default_dtype(torch.float64):
        model = torch.load(folder / f"{name}.model", weights_only=False)
        found = stored.predict_mace(model, stored.MACE_HEADS.get(name, ("Default",)))
    expected = np.load(folder / "mace.npz")
    for key, value in found.items():
        np.testing.assert_allclose(value, expected[f"{name}/{key}"], rtol=0, atol=1e-10)


def test_a_state_of_mace_is_that_of_its_model(folder):
    """A restart reads a state, not a pickle; the parameters keep their number, order and shape."""
    pytest.importorskip("mace")
    import mace_models

    from kan_heads.global_state import default_dtype

    state = torch.load(folder / "mace-bspline.state.pt", weights_only=False)
    with default_dtype(torch.float64):
        small = {"hidden_irreps": mace_models.o3.Irreps("4x0e"), "max_ell": 1, "radial_MLP": [4]}
        model = mace_models.kan(stored.MACE_MODELS["mace-bspline"], seed=5, **small)
        model.load_state_dict(state)
        old = torch.load(folder / "mace-bspline.model", weights_only=False)
        found = stored.predict_mace(model)
    shapes = [parameter.shape for parameter in model.parameters()]
    assert shapes == [parameter.shape for parameter in old.parameters()]
    expected = np.load(folder / "mace.npz")
    for key, value in found.items():
        np.testing.assert_allclose(value, expected[f"mace-bspline/{key}"], rtol=0, atol=1e-10)
