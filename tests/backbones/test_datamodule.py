"""The checks of the data module follow what the stock class is told about its files."""

import types

import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from nequip.train import EnergyForceStressLoss

from kan_heads.errors import DataError
from kan_heads.nequip import CheckedASEDataModule


@pytest.fixture
def frames(silver):
    return ase.io.read(silver / "train.extxyz", ":")


def unlabelled(frames, folder):
    path = folder / "bare.extxyz"
    for frame in frames:
        frame.calc = None
    ase.io.write(path, frames)
    return str(path)


def test_files_to_predict_need_no_labels(frames, silver, tmp_path):
    path = unlabelled(frames, tmp_path)
    train = str(silver / "train.extxyz")
    CheckedASEDataModule(seed=1, train_file_path=train, val_file_path=train, predict_file_path=path)
    with pytest.raises(DataError, match=r"bare\.extxyz: frame 0 has no 'energy'"):
        CheckedASEDataModule(seed=1, train_file_path=path, val_file_path=train)


def test_renamed_labels_are_looked_up_by_their_name_in_the_file(frames, tmp_path):
    path = tmp_path / "renamed.extxyz"
    for frame in frames:
        frame.info["REF_energy"] = frame.get_potential_energy()
        frame.arrays["REF_forces"] = frame.get_forces()
        frame.calc = None
    frames[2].arrays["REF_forces"][0, 0] = np.nan
    ase.io.write(path, frames)
    mapping = {"key_mapping": {"REF_energy": "total_energy", "REF_forces": "forces"}}
    with pytest.raises(DataError, match="frame 2: REF_forces of atom 0 is NaN"):
        CheckedASEDataModule(seed=1, split_dataset={"file_path": str(path), "train": 4, "val": 4}, **mapping)
    frames[2].arrays["REF_forces"][0, 0] = 0.0
    ase.io.write(path, frames)
    CheckedASEDataModule(seed=1, split_dataset={"file_path": str(path), "train": 4, "val": 4}, **mapping)


def test_the_format_is_passed_on(frames, tmp_path):
    path = tmp_path / "frames.dat"
    ase.io.write(path, frames, format="extxyz")
    CheckedASEDataModule(
        seed=1, train_file_path=str(path), val_file_path=str(path), ase_args={"format": "extxyz"}
    )


def with_stress(frames, n):
    for number, frame in enumerate(frames):
        frame.calc.results.pop("stress", None)
        if number < n:
            frame.calc.results["stress"] = np.zeros(6)
    return frames


def test_labels_that_some_frames_lack_are_left_out(frames, silver, tmp_path, caplog):
    path = str(tmp_path / "some.extxyz")
    ase.io.write(path, with_stress(frames, 2))
    module = CheckedASEDataModule(seed=1, train_file_path=path, val_file_path=str(silver / "val.extxyz"))
    assert f"{path}: stress is on 2 of {len(frames)} frames; nequip cannot batch that" in caplog.text
    module.setup("fit")
    assert all("stress" not in frame and "forces" in frame for frame in module.train_dataset[0])


def test_labels_that_all_or_none_of_a_files_frames_have_stay(frames, tmp_path, caplog):
    paths = [str(tmp_path / f"{n}.extxyz") for n in (0, 99)]
    for n, path in zip((0, 99), paths, strict=True):
        ase.io.write(path, with_stress(frames, n))
    module = CheckedASEDataModule(seed=1, train_file_path=paths[1], val_file_path=paths[0])
    module.setup("fit")
    assert "stress" in module.train_dataset[0][0]
    assert "WARNING" not in caplog.text


@pytest.mark.parametrize("name", ["stress", "REF_stress"])
def test_a_loss_of_what_is_left_out_ends_in_one_line(frames, tmp_path, name):
    path, mapping = str(tmp_path / "some.extxyz"), {}
    with_stress(frames, 2)
    if name != "stress":
        mapping = {"key_mapping": {name: "stress"}}
        for frame in frames[:2]:
            frame.info[name] = frame.calc.results.pop("stress")
    ase.io.write(path, frames)
    module = CheckedASEDataModule(seed=1, train_file_path=path, val_file_path=path, **mapping)
    loss = torch.nn.ModuleDict({"loss": EnergyForceStressLoss()})
    module.trainer = types.SimpleNamespace(lightning_module=loss)
    with pytest.raises(DataError, match=rf"{name} is on 2 of .* frames, but the loss or a metric needs it"):
        module.setup("fit")


def transforms(names):
    return [{"_target_": "x", "model_type_names": names}, {"_target_": "y"}]


def test_types_without_training_data_are_named(silver, caplog):
    files = {"train_file_path": str(silver / "train.extxyz"), "val_file_path": str(silver / "val.extxyz")}
    CheckedASEDataModule(seed=1, transforms=transforms(["Ag"]), **files)
    assert "WARNING" not in caplog.text
    CheckedASEDataModule(seed=1, transforms=transforms(["Ag", "Ni", "Pt"]), **files)
    assert "type_names: no training structure holds Ni, Pt; the model will not know it" in caplog.text


def test_at_signs_and_isolated_atoms_are_read(frames, tmp_path):
    path = str(tmp_path / "run@300K.extxyz")
    alone = frames[0][:1]
    alone.calc = SinglePointCalculator(alone, energy=0.0, forces=np.zeros((1, 3)))
    alone.cell = np.diag([30.0] * 3)
    ase.io.write(path, [alone, *with_stress(frames, 0)])
    module = CheckedASEDataModule(seed=1, check_r_max=5.0, train_file_path=path, val_file_path=path)
    module.setup("fit")
    assert len(module.train_dataset[0]) == len(frames) + 1
