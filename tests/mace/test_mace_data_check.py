"""What ``mace_run_train --kan`` says of its files before MACE reads them."""

import ase.io
import configargparse
import numpy as np
import pytest
from ase.build import bulk

from kan_heads.errors import ConfigError, DataError
from kan_heads.mace.arguments import add_arguments


@pytest.fixture
def parse():
    """MACE's parser, as far as files go."""
    parser = configargparse.ArgumentParser()
    for name in ("train_file", "valid_file", "test_file", "heads"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--r_max", type=float, default=5.0)
    add_arguments(parser)
    return lambda *words: parser.parse_args(list(map(str, words)))


def copper(spoil=lambda atoms: None):
    frames = [bulk("Cu", cubic=True) for _ in range(3)]
    for frame in frames:
        frame.info["REF_energy"] = -1.0
        frame.arrays["REF_forces"] = np.zeros((4, 3))
    spoil(frames[1])
    return frames


def comma(atoms):
    atoms.info["REF_energy"] = np.array([-11, 558884])


def overlap(atoms):
    atoms.positions[1] = atoms.positions[0]


BAD = {
    "comma": (comma, r"frame 1: REF_energy has shape \(2,\), expected one number"),
    "overlap": (overlap, r"frame 1: atoms 0 \(Cu\) and 1 .* are 0 Å apart"),
}


@pytest.mark.parametrize("where", ["--train_file", "--valid_file", "--test_file", "--heads"])
@pytest.mark.parametrize("kind", BAD)
def test_files_are_checked_wherever_they_are_named(parse, tmp_path, kind, where):
    spoil, words = BAD[kind]
    path = tmp_path / "a.extxyz"
    ase.io.write(path, copper(spoil))
    given = repr({"one": {"train_file": [str(path)]}}) if where == "--heads" else path
    with pytest.raises(DataError, match=words):
        parse("--kan", where, given)
    parse(where, given)  # without KANs MACE is as it was


def test_sound_files_and_what_ase_does_not_read_pass(parse, tmp_path, capsys):
    ase.io.write(tmp_path / "a.extxyz", copper())
    (tmp_path / "a.h5").write_bytes(b"no structure")
    parse("--kan", "--train_file", tmp_path / "a.extxyz", "--valid_file", tmp_path / "a.h5")
    assert capsys.readouterr().err == ""


def test_frames_without_labels_and_isolated_atoms_pass(parse, tmp_path, capsys):
    frames = copper()
    frames[0].info.clear()
    alone = frames[0][:1]
    alone.cell = np.diag([20.0] * 3)
    ase.io.write(tmp_path / "a.extxyz", [*frames, alone])
    parse("--kan", "--train_file", tmp_path / "a.extxyz")
    assert "isolated atoms, without a pair within 5 Å: 3" in capsys.readouterr().err


def test_an_at_sign_is_refused_since_mace_would_read_another_file(parse, tmp_path):
    path = tmp_path / "run@5.extxyz"
    ase.io.write(path, copper())
    with pytest.raises(ConfigError, match=r"--train_file .*run@5\.extxyz: MACE takes what follows an @"):
        parse("--kan", "--train_file", path)
