"""A stock program ends with the process that started it, and starts as it would from a shell."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks import programs, tether
from kan_heads.errors import ModelError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such tie")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a stock program beside a Python of our own."""
    python = tmp_path / "python"
    python.symlink_to(sys._base_executable)
    monkeypatch.setattr(programs.sys, "executable", str(python))

    def write(text):
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return write


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_it_dies_when_its_parent_is_killed(write, tmp_path):
    write(f"echo $$ > {tmp_path}/pid.part && mv {tmp_path}/pid.part {tmp_path}/pid; exec sleep 100")
    code = (
        "import sys, pathlib; from benchmarks import programs;"
        f"sys.executable = {programs.sys.executable!r};"
        f"programs.run_program('program', [], pathlib.Path({str(tmp_path / 'log')!r}))"
    )
    parent = subprocess.Popen([os.path.join(sys.prefix, "bin", "python"), "-c", code])
    try:
        assert wait_until((tmp_path / "pid").exists)
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not alive(pid))


def test_it_is_not_started_for_a_parent_that_has_ended(write, tmp_path):
    program = write(f"touch {tmp_path}/started")
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    command = [sys.executable, "-I", "-S", tether.__file__, str(gone.pid), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{program}: not started, the process that asked for it has ended\n"
    assert not (tmp_path / "started").exists()


def test_it_gets_its_arguments_and_variables_and_the_signals_of_a_shell(write, tmp_path):
    write('echo "$1|$2|$GREETING"; grep SigIgn /proc/self/status; echo "$$"')
    seen = []
    log = tmp_path / "log"
    programs.run_program("program", ["a b", "-c"], log, seen.append, {"GREETING": "hello"})
    first, ignored, pid = log.read_text().splitlines()
    assert first == "a b|-c|hello"
    assert not int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))
    assert set(seen) == {int(pid)}  # what is watched is the program


def test_it_runs_from_threads_at_once(write, tmp_path):
    write("sleep 0.3; exit 3")
    failures = []

    def start(name):
        with pytest.raises(ModelError, match="program failed"):
            programs.run_program("program", [], tmp_path / name)
        failures.append(name)

    threads = [threading.Thread(target=start, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(failures) == ["a", "b", "c"]


def test_one_that_cannot_be_run_is_named(write, tmp_path):
    write("").chmod(0o644)
    with pytest.raises(ModelError, match=r"program failed: PermissionError: .*Permission denied"):
        programs.run_program("program", [], tmp_path / "log")
