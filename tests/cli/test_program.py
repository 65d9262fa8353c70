"""The program itself: help, version, and what it says when something is missing."""

import subprocess
import sys

import pytest

from kan_heads import __version__

typer = pytest.importorskip("typer")


def program(*arguments, block=()):
    """Runs ``kan-heads`` in a process of its own, without the packages named in ``block``."""
    hide = "".join(f"sys.modules[{name!r}] = None\n" for name in block)
    argv = ["kan-heads", *arguments]
    code = f"import sys\n{hide}sys.argv = {argv!r}\nimport kan_heads.cli\nkan_heads.cli.main()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_version():
    done = program("--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_help_lists_the_verbs():
    done = program("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in ("data", "demo"))


def test_a_missing_extra_is_one_line():
    done = program("--help", block=["typer"])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'kan-heads[cli]'" in done.stderr


def test_an_unknown_data_set_lists_the_known_ones():
    done = program("data", "prepare", "hfo")
    assert done.returncode == 2
    assert "hfo2" in done.stderr
    assert "Traceback" not in done.stderr
