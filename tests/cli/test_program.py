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
    assert all(verb in done.stdout for verb in ("data", "predict"))
    assert "bench" not in done.stdout


def test_a_missing_extra_is_one_line():
    done = program("--help", block=["typer"])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'kan-heads[cli]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "now"),
    [
        (("bench", "run", "--tables", "5"), "python -m benchmarks.wang2024"),
        (("demo",), "python -m benchmarks.demo"),
        (("ru", "tables", "--help"), "python -m benchmarks.an2025"),
        (("data", "prepare", "hfo2", "--train", "5"), "python -m benchmarks.datasets prepare"),
        (("data", "list"), "python -m benchmarks.datasets list"),
    ],
)
def test_verbs_that_have_moved_say_where_they_are(words, now):
    done = program(*words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert now in done.stderr
