"""The checks of the data module follow what the stock class is told about its files."""

import ase.io
import numpy as np
import pytest

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
