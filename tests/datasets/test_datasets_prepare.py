import json
import os
import signal
import subprocess
import sys
import textwrap

import ase.io
import numpy as np
import pytest

from benchmarks.datasets import prepare
from kan_heads.data import folder
from kan_heads.errors import ConfigError, DataError


def tree(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def indices(folder):
    return json.loads((folder / "split.json").read_text())["indices"]


def test_same_arguments_same_bytes_and_disjoint_splits(tiny, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    assert prepare("tiny", a).sizes == {"train": 20, "val": 6, "test": 4}
    prepare("tiny", b)
    assert tree(a) == tree(b)
    assert set(tree(a)) == {"train.extxyz", "val.extxyz", "test.extxyz", "split.json"}
    used = [i for which in indices(a).values() for i in which]
    assert sorted(used) == list(range(30))


def test_frames_are_the_source_frames_with_their_labels(tiny, tmp_path, frame):
    prepare("tiny", tmp_path / "a")
    for split, which in indices(tmp_path / "a").items():
        for i, read in zip(which, ase.io.read(tmp_path / f"a/{split}.extxyz", ":"), strict=True):
            wanted = frame(seed=i)
            assert read.get_potential_energy() == wanted.get_potential_energy()
            assert read.pbc.all()
            np.testing.assert_allclose(read.get_forces(), wanted.get_forces(), atol=1e-8)
            np.testing.assert_allclose(read.get_stress(), wanted.get_stress(), atol=1e-12)
            np.testing.assert_allclose(read.positions, wanted.positions, atol=1e-8)


def test_labels_named_for_mace(tiny, tmp_path):
    """The same frames; a stress that is missing stays missing, which MACE needs to leave it out."""
    frames = ase.io.read(tiny, ":")
    frames[0].calc.results.pop("stress")
    ase.io.write(tiny, frames, format="extxyz")
    plain = prepare("tiny", tmp_path / "plain")
    named = prepare("tiny", tmp_path / "named", mace=True)
    assert prepare("tiny", tmp_path / "named", mace=True).already
    pairs = [
        (ase.io.read(plain.folder / f"{s}.extxyz", ":"), ase.io.read(named.folder / f"{s}.extxyz", ":"))
        for s in ("train", "val", "test")
    ]
    missing = 0
    for ours, maces in pairs:
        for a, b in zip(ours, maces, strict=True):
            assert b.calc is None
            assert b.info["REF_energy"] == a.get_potential_energy()
            assert np.array_equal(b.arrays["REF_forces"], a.get_forces())
            if "stress" in a.calc.results:
                assert np.allclose(b.info["REF_stress"], a.get_stress(voigt=False), atol=1e-7)
            else:
                missing += 1
                assert "REF_stress" not in b.info
    assert missing == 1


@pytest.mark.parametrize(("small", "large"), [((5, 2, 1), (20, 6, 4)), ((5, 8, 2), (12, 10, 2))])
def test_a_smaller_set_is_a_prefix_of_a_larger_one(tiny, tmp_path, small, large):
    prepare("tiny", tmp_path / "small", *small)
    prepare("tiny", tmp_path / "large", *large)
    a, b = indices(tmp_path / "small"), indices(tmp_path / "large")
    for split, n in zip(("train", "val", "test"), small, strict=True):
        assert len(a[split]) == n
        assert a[split] == b[split][:n]


def test_another_seed_is_another_split(tiny, tmp_path):
    prepare("tiny", tmp_path / "a", seed=0)
    prepare("tiny", tmp_path / "b", seed=1)
    assert indices(tmp_path / "a") != indices(tmp_path / "b")


def test_too_many_frames_says_how_many_there_are(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"tiny has 30 frames for train.*28 \+ 3 \+ 0 = 31"):
        prepare("tiny", tmp_path / "a", 28, 3, 0)
    assert prepare("tiny", tmp_path / "a", 27, 3, 0).sizes["train"] == 27
    for bad in ((0, 1, 1), (5, -1, 1)):
        with pytest.raises(ConfigError):
            prepare("tiny", tmp_path / "b", *bad)
    assert not (tmp_path / "b").exists()


def test_a_rerun_changes_nothing_and_needs_no_source(tiny, tmp_path):
    out, said = tmp_path / "a", []
    prepare("tiny", out, 5, 2, 1)
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    tiny.unlink()
    assert prepare("tiny", out, 5, 2, 1, say=said.append).already
    assert "already prepared" in said[0]
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before


def test_a_damaged_or_different_output_is_rebuilt(tiny, tmp_path):
    out = tmp_path / "a"
    prepare("tiny", out)
    good = tree(out)
    (out / "val.extxyz").write_text("damaged")
    assert not prepare("tiny", out).already
    assert tree(out) == good
    assert prepare("tiny", out, 5, 2, 0).sizes == {"train": 5, "val": 2, "test": 0}
    assert set(tree(out)) == {"train.extxyz", "val.extxyz", "split.json"}
    assert not list(tmp_path.glob(".a.tmp-*"))


def test_a_folder_that_is_not_ours_is_never_touched(tiny, tmp_path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("precious")
    with pytest.raises(DataError, match=r"chapter1.tex"):
        prepare("tiny", out)
    prepare("tiny", tmp_path / "a")
    (tmp_path / "a" / "notes.txt").write_text("precious")
    with pytest.raises(DataError, match=r"notes.txt"):
        prepare("tiny", tmp_path / "a", 5, 2, 0)
    only = tmp_path / "b"
    only.mkdir()
    (only / "train.extxyz").write_text("mine")
    with pytest.raises(DataError, match="was not written by"):
        prepare("tiny", only)
    assert (out / "chapter1.tex").read_text() == (tmp_path / "a" / "notes.txt").read_text() == "precious"
    assert (only / "train.extxyz").read_text() == "mine"


def test_damaged_source_frames_never_reach_the_output(tiny, tmp_path):
    frames = ase.io.read(tiny, ":")
    frames[7].calc.results["forces"][1, 1] = np.nan
    ase.io.write(tiny, frames, format="extxyz")
    with pytest.raises(DataError, match="forces of atom 1 is NaN"):
        prepare("tiny", tmp_path / "out" / "a")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_exception_mid_way_keeps_the_old_output(tiny, tmp_path, monkeypatch):
    out = tmp_path / "out" / "a"
    prepare("tiny", out)
    good = tree(out)

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "_write_record", fail)
    with pytest.raises(DataError, match="No space left"):
        prepare("tiny", out, 5, 2, 1)
    assert tree(out) == good
    assert [p.name for p in out.parent.iterdir()] == ["a"]


def test_kill_9_mid_way_leaves_no_output_and_a_rerun_works(tiny, tmp_path):
    out = tmp_path / "out" / "a"
    script = textwrap.dedent(
        """
        import importlib, sys, time
        from benchmarks.datasets import registry, sources
        from kan_heads.data import folder
        p = importlib.import_module("benchmarks.datasets.prepare")
        registry.DATASETS["tiny"] = registry.Dataset("tiny", "", (registry.DataFile("tiny/tiny.extxyz"),), 30,
            (20, 6, 4), ("energy", "forces"), False, "", "", "")
        sources.READERS["tiny"] = lambda paths, work: sources._from_files(paths, [30])
        def hang(*args):
            print("written", flush=True)
            time.sleep(60)
        folder._write_record = hang
        p.prepare("tiny", sys.argv[1])
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "written\n"  # the structure files are there, the record is not
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not out.exists()
    (left,) = out.parent.iterdir()
    os.utime(left, (0, 0))
    assert prepare("tiny", out).sizes["train"] == 20
    assert [p.name for p in out.parent.iterdir()] == ["a"]  # the leftover went as well
