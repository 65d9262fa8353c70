import json

import ase.io
import numpy as np
import pytest
from typer.testing import CliRunner

from kan_heads.cli.data import app
from kan_heads.errors import ConfigError, DataError


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")

    def call(*args):
        result = CliRunner().invoke(app, [str(a) for a in args])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception  # the main command turns these into exit status 2
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


@pytest.fixture
def labelled(tmp_path, frame):
    """A file of 20 frames under ASE's names, of five trajectories."""
    frames = [frame(seed=i) for i in range(20)]
    for i, atoms in enumerate(frames):
        atoms.info["run"] = f"md-{i // 4}"
    ase.io.write(tmp_path / "mine.extxyz", frames, format="extxyz")
    return tmp_path / "mine.extxyz"


def test_check(run, labelled, tmp_path, frame):
    out = run("check", labelled, "--r-max", 8)
    assert "20 frames" in out
    assert "forces (20)" in out
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [frame(forces=None)], format="extxyz")
    with pytest.raises(DataError, match="no 'forces'"):
        run("check", path)
    run("check", path, "--require", "energy")


def test_convert_gives_each_program_its_names_and_back(run, labelled, tmp_path):
    before = ase.io.read(labelled, ":")
    mace, again = tmp_path / "mace.extxyz", tmp_path / "again.extxyz"
    assert run("convert", labelled, mace, "--mace") == f"{mace}: 20 frames\n"
    run("convert", mace, again)
    for old, middle, new in zip(before, ase.io.read(mace, ":"), ase.io.read(again, ":"), strict=True):
        assert middle.calc is None
        assert middle.info["REF_energy"] == pytest.approx(old.get_potential_energy(), abs=1e-12)
        assert np.allclose(middle.arrays["REF_forces"], old.get_forces(), atol=1e-7)
        assert middle.info["REF_stress"].shape == (3, 3)
        assert not [name for name in (*new.info, *new.arrays) if name.startswith("REF_")]
        assert np.allclose(new.get_forces(), old.get_forces(), atol=1e-7)
        assert np.allclose(new.get_stress(), old.get_stress(), atol=1e-7)
        assert new.info["run"] == old.info["run"]


def test_convert_keeps_what_is_there(run, labelled, tmp_path):
    target = tmp_path / "kept.xyz"
    target.write_text("mine")
    with pytest.raises(ConfigError, match=r"kept.xyz exists; .*--force"):
        run("convert", labelled, target)
    assert target.read_text() == "mine"
    run("convert", labelled, target, "--force", "--index", "::10")
    assert len(ase.io.read(target, ":")) == 2
    with pytest.raises(ConfigError, match=r"out.cif: extended XYZ is written; name it out.extxyz"):
        run("convert", labelled, tmp_path / "out.cif")
    with pytest.raises(DataError, match=r"nothing.xyz: no such file"):
        run("convert", tmp_path / "nothing.xyz", tmp_path / "out.xyz")


def test_split_is_complete_disjoint_and_repeatable(run, labelled, tmp_path):
    out = tmp_path / "set"
    assert "16 train, 2 val, 2 test" in run("split", labelled, "--out", out)
    record = json.loads((out / "split.json").read_text())
    assert sorted(i for part in record["indices"].values() for i in part) == list(range(20))
    frames, parts = ase.io.read(labelled, ":"), {}
    for name, indices in record["indices"].items():
        parts[name] = (out / f"{name}.extxyz").read_bytes()
        energies = [atoms.get_potential_energy() for atoms in ase.io.read(out / f"{name}.extxyz", ":")]
        assert energies == pytest.approx([frames[i].get_potential_energy() for i in indices])
    run("split", labelled, "--out", tmp_path / "again")
    assert all((tmp_path / f"again/{name}.extxyz").read_bytes() == part for name, part in parts.items())
    run("split", labelled, "--out", tmp_path / "other", "--seed", 1)
    assert (tmp_path / "other/train.extxyz").read_bytes() != parts["train"]
    run("split", labelled, "--out", tmp_path / "small", "--train", 5, "--val", 1, "--test", 0)
    small = json.loads((tmp_path / "small/split.json").read_text())["indices"]
    assert small["train"] == record["indices"]["train"][:5]
    assert not (tmp_path / "small/test.extxyz").exists()


def test_split_keeps_groups_together(run, labelled, tmp_path):
    run("split", labelled, "--out", tmp_path / "set", "--group", "run", "--mace")
    seen = {}
    for name in ("train", "val", "test"):
        for atoms in ase.io.read(tmp_path / f"set/{name}.extxyz", ":"):
            assert "REF_energy" in atoms.info
            seen.setdefault(atoms.info["run"], set()).add(name)
    assert len(seen) == 5
    assert all(len(names) == 1 for names in seen.values())
    few = ["split", labelled, "--out", tmp_path / "few", "--group", "stand"]
    frames = ase.io.read(labelled, ":")
    for i, atoms in enumerate(frames):
        atoms.info["stand"] = i < 10
    ase.io.write(labelled, frames, format="extxyz")
    with pytest.raises(ConfigError, match="--group stand makes 2 groups, too few"):
        run(*few)
    with pytest.raises(DataError, match="frame 0 has no 'flight'"):
        run("split", labelled, "--out", tmp_path / "b", "--group", "flight")


def test_split_stops_before_it_writes(run, labelled, tmp_path, frame):
    with pytest.raises(ConfigError, match=r"mine.extxyz has 20 frames for .*30 \+ 2 \+ 2"):
        run("split", labelled, "--out", tmp_path / "set", "--train", 30)
    broken = tmp_path / "broken.extxyz"
    ase.io.write(broken, [frame(), frame(forces=np.full((3, 3), np.nan))], format="extxyz")
    with pytest.raises(DataError, match="forces of atom 0 is NaN"):
        run("split", broken, "--out", tmp_path / "set", "--train", 2, "--val", 0, "--test", 0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("chapter 1")
    with pytest.raises(DataError, match=r"holds 'thesis.tex', which is not part of a split"):
        run("split", labelled, "--out", tmp_path / "mine")
    assert not (tmp_path / "set").exists()
