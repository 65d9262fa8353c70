"""What a model is shown of a labelled file: every number in its place, neighbours searched once."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from etgnn_runs import BORN, LOADER, born_frames, module, silica
from hydra.utils import instantiate

from kan_heads.etgnn import TensorStatisticsManager


def batch(path, field=BORN, **options):
    """All frames of a file, as a model would see them."""
    data = module(path, field, train_dataloader={**LOADER, "batch_size": 100}, **options)
    data.setup("fit")
    (whole,) = data.train_dataloader()
    return whole


@pytest.fixture
def born(tmp_path):
    path = tmp_path / "born.extxyz"
    ase.io.write(path, born_frames(4))
    return path


def test_neighbours_are_searched_once_for_each_frame_of_each_file(born, tmp_path, monkeypatch):
    import nequip.data.transforms.neighborlist as stock

    searched, original = [], stock.compute_neighborlist_

    def count(data, *args, **kwargs):
        searched.append(data)
        return original(data, *args, **kwargs)

    monkeypatch.setattr(stock, "compute_neighborlist_", count)
    other = tmp_path / "other.extxyz"
    ase.io.write(other, born_frames(3, seed=50))
    manager = {
        "_target_": "kan_heads.etgnn.TensorStatisticsManager",
        "field": BORN,
        "type_names": ["O", "Si"],
    }
    loader = {**LOADER, "shuffle": True}
    files = {"val_file_path": str(other), "test_file_path": [str(born), str(other)]}
    data = module(born, train_dataloader=loader, stats_manager=manager, **files)
    data.get_statistics()
    for stage in ("fit", "fit", "test"):
        data.setup(stage)
        for _ in range(3):
            loaders = data.test_dataloader() if stage == "test" else [data.train_dataloader()]
            assert sum(len(b["num_atoms"]) for each in loaders for b in each) == (7 if stage == "test" else 4)
        data.teardown(stage)
    assert len(searched) == 4 + 3
    frames = ase.io.read(born, ":")
    frames[0].positions[0] += 0.25
    ase.io.write(born, frames[:2])
    assert len(batch(born)["num_atoms"]) == 2, "a file that changed is read again"


def test_a_model_cannot_change_what_is_kept(born):
    data = module(born, train_dataloader={**LOADER, "batch_size": 1})
    data.setup("fit")
    for once in data.train_dataloader():
        once["pos"] = once["pos"] + 1.0
        once["extra"] = once["pos"]
    kept = ase.io.read(born, ":")
    for frame, again in zip(kept, data.train_dataloader(), strict=True):
        assert "extra" not in again
        np.testing.assert_allclose(again["pos"], frame.positions)


def test_workers_load_the_same_batches(born):
    def batches(workers):
        data = module(born, train_dataloader={**LOADER, "num_workers": workers})
        data.setup("fit")
        return list(data.train_dataloader())

    for one, two in zip(batches(0), batches(2), strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_crystal_tensor_that_ase_writes_is_read_as_it_was(tmp_path):
    frames, tensors = zip(*[silica(k) for k in range(3)], strict=True)
    tensors = [t.sum(0) for t in tensors]
    tensors[1] = np.arange(9).reshape(3, 3)  # whole numbers
    for frame, tensor in zip(frames, tensors, strict=True):
        frame.info["response"] = tensor
    path = tmp_path / "own.extxyz"
    ase.io.write(path, frames)
    found = batch(path, "response", per="crystal")["response"]
    np.testing.assert_allclose(found, tensors)
    for frame in frames:
        frame.info["response"] = frame.info["response"].ravel()  # nine numbers, as written by hand
    ase.io.write(path, frames)
    assert "_JSON" not in path.read_text()
    np.testing.assert_allclose(batch(path, "response", per="crystal")["response"], tensors)


def test_a_dielectric_tensor_is_read_in_every_form(tmp_path):
    tensor = np.array([[2.0, 0.4, 0.3], [0.4, 3.0, 0.2], [0.3, 0.2, 4.0]])
    voigt = np.array([2.0, 3.0, 4.0, 0.2, 0.3, 0.4])
    frames = []
    for k, form in enumerate((tensor, tensor.ravel(), voigt)):
        frames.append(silica(k)[0])
        frames[-1].info["dielectric_tensor"] = form
    path = tmp_path / "eps.extxyz"
    ase.io.write(path, frames)
    np.testing.assert_allclose(batch(path, "dielectric_tensor")["dielectric_tensor"], [tensor] * 3)


@pytest.mark.parametrize("symmetric", [False, True])
def test_an_atomic_tensor_of_ones_own_is_read_row_by_row(symmetric, tmp_path):
    name = f"shielding_{symmetric}"
    frames, tensors = zip(*[silica(k) for k in range(2)], strict=True)
    if symmetric:
        tensors = [t + t.swapaxes(1, 2) for t in tensors]
    frames[0].set_array(name, tensors[0].reshape(6, 9))
    second = tensors[1].reshape(6, 9)
    frames[1].set_array(name, second[:, [0, 4, 8, 5, 2, 1]] if symmetric else second)
    path = tmp_path / "own.extxyz"
    ase.io.write(path, frames)
    found = batch(path, name, per="atom", symmetric=symmetric)[name]
    np.testing.assert_allclose(found, np.concatenate(tensors), atol=1e-7)


def test_a_column_of_another_name_wins_over_the_field_itself(tmp_path):
    frames = born_frames(2)
    for frame in frames:
        frame.set_array("z_hybrid", 2.0 * frame.arrays[BORN])
    path = tmp_path / "two.extxyz"
    ase.io.write(path, frames)
    found = batch(path, key_mapping={"z_hybrid": BORN})[BORN].reshape(-1, 9)
    np.testing.assert_allclose(found, np.concatenate([f.arrays["z_hybrid"] for f in frames]), atol=1e-7)


def test_other_labels_of_some_frames_do_no_harm(tmp_path):
    frames = born_frames(3)
    frames[1].calc = SinglePointCalculator(frames[1], energy=1.0, forces=np.zeros((6, 3)))
    frames[2].info["dielectric_tensor"] = np.eye(3)
    frames.append(Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.6]]))  # a molecule among crystals
    frames[3].set_array(BORN, np.ones((2, 9)))
    path = tmp_path / "mixed.extxyz"
    ase.io.write(path, frames)
    whole = batch(path)
    assert whole[BORN].shape == (20, 3, 3)
    assert not {"total_energy", "forces", "dielectric_tensor"} & whole.keys()


def statistics(path, **options):
    manager = TensorStatisticsManager(
        options.get("field", BORN), type_names=options.get("type_names", ["O", "Si"])
    )
    data = module(path, **options)
    data.setup("fit")
    return manager.get_statistics(data.train_dataloader())


def test_statistics_are_those_of_the_labels(born):
    frames = ase.io.read(born, ":")
    tensors = np.concatenate([f.calc.results[BORN] for f in frames]).reshape(-1, 3, 3)
    symbols = np.concatenate([f.symbols for f in frames])
    thirds = np.trace(tensors, axis1=1, axis2=2) / 3.0
    mean = {name: thirds[symbols == name].mean() for name in ("O", "Si")}
    found = statistics(born)
    assert found["per_type_isotropic_mean"] == pytest.approx(mean)
    anisotropic = tensors - thirds[:, None, None] * np.eye(3)
    assert found["anisotropic_rms"] == pytest.approx((anisotropic**2).mean() ** 0.5)
    shifts = np.array([mean[s] for s in symbols])
    rest = tensors - shifts[:, None, None] * np.eye(3)
    assert found["deviation_rms"] == pytest.approx((rest**2).mean() ** 0.5)


@pytest.mark.parametrize("excess", [0.0, 0.5])
def test_charges_that_break_the_sum_rule_cause_a_warning(excess, tmp_path, caplog):
    frames = born_frames(4)
    for frame in frames:
        frame.arrays[BORN] += excess
    ase.io.write(tmp_path / "born.extxyz", frames)
    found = statistics(tmp_path / "born.extxyz")
    assert found["crystal_mean_rms"] == pytest.approx(excess, abs=1e-7)
    assert ("sum rule" in caplog.text) == (excess > 0.0)


def test_statistics_suit_crystals_that_are_all_isotropic(tmp_path):
    frames = [silica(k)[0] for k in range(3)]
    for value, frame in zip((2.0, 3.0, 7.0), frames, strict=True):
        frame.info["dielectric_tensor"] = value * np.eye(3)
    path = tmp_path / "cubic.extxyz"
    ase.io.write(path, frames)
    found = statistics(path, field="dielectric_tensor")
    assert found["per_type_isotropic_mean"] == pytest.approx({"O": 4.0, "Si": 4.0})
    assert found["deviation_rms"] == pytest.approx((14.0 / 9.0) ** 0.5)  # anisotropic_rms is 0
    frames = [frames[0]] * 2
    ase.io.write(path, frames)
    assert statistics(path, field="dielectric_tensor")["deviation_rms"] == 1.0


def test_a_type_without_atoms_gets_a_finite_shift(born, caplog):
    found = statistics(born, type_names=["O", "H", "Si"])
    assert found["per_type_isotropic_mean"]["H"] == 0.0
    assert np.isfinite(found["deviation_rms"])
    assert "no training structure holds H" in caplog.text


def test_hydra_builds_it(born):
    """From a configuration, where lists and mappings are hydra's own."""
    from omegaconf import OmegaConf

    config = OmegaConf.create(
        {
            "_target_": "kan_heads.etgnn.TensorDataModule",
            "_recursive_": False,
            "field": "z",
            "per": "atom",
            "r_max": 4,
            "type_names": ["O", "Si"],
            "seed": 1,
            "key_mapping": {BORN: "z"},
            "train_file_path": [str(born)],
            "val_file_path": str(born),
        }
    )
    data = instantiate(config)
    data.setup("fit")
    assert data.train_dataset[0][0]["z"].shape == (6, 3, 3)
