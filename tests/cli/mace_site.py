"""Folders that look like site-packages with mace-torch in them, for the tests of its patch."""

import functools
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kan_heads.patching import State, diff, find_installation

VERSION = "0.3.16"
REPOSITORY = Path(__file__).parents[2]
DIST_INFO = f"mace_torch-{VERSION}.dist-info"
ARG_PARSER = "mace/tools/arg_parser.py"
MODEL_SCRIPT_UTILS = "mace/tools/model_script_utils.py"
SCRIPTS_UTILS = "mace/tools/scripts_utils.py"
TRAIN = "mace/tools/train.py"
METADATA = f"{DIST_INFO}/METADATA"
FILES = [ARG_PARSER, MODEL_SCRIPT_UTILS, SCRIPTS_UTILS, TRAIN, METADATA]


def _installed():
    try:
        return importlib.metadata.version("mace-torch")
    except importlib.metadata.PackageNotFoundError:
        return None


needs_mace = pytest.mark.skipif(
    _installed() != VERSION, reason=f"needs mace-torch {VERSION}, pip install -e '.[mace]'"
)


def recorded(state):
    """The checksums of ``FILES`` in the record."""
    text = (REPOSITORY / f"patches/mace-torch-{VERSION}.{state}.sha256").read_text()
    checksums = {name: checksum for checksum, name in map(str.split, text.splitlines())}
    return [checksums[name] for name in FILES]


@functools.cache
def released():
    """The files as released, whether or not the installed ones are patched."""
    installed = find_installation("mace")
    contents = {}
    for name, state in installed.states().items():
        content = (installed.root / name).read_bytes()
        if state is State.PATCHED:
            content = diff.apply(installed.patch.hunks[name], content, reverse=True)
        contents[name] = content
    assert [hashlib.sha256(contents[name]).hexdigest() for name in FILES] == recorded("pristine")
    return contents


def build(folder):
    """Fills a folder with mace-torch as released, as far as the tests need it."""
    for name, content in released().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for package in ("mace", "mace/tools"):
        (folder / package / "__init__.py").touch()
    shutil.copy(find_installation("mace").root / "mace/tools/default_keys.py", folder / "mace/tools")
    return folder


def find(site):
    """The installation in a folder."""
    return find_installation("mace", [str(site)])


def contents(site):
    """Every file of a folder with its content, so that nothing left behind goes unseen."""
    return {str(p.relative_to(site)): p.read_bytes() for p in site.rglob("*") if p.is_file()}


def killed_after(name):
    """Code that kills ``program`` as soon as it has replaced a file."""
    return f"""
    import os, signal
    replace = os.replace
    def replace_and_die(source, target):
        replace(source, target)
        if str(target).endswith({name!r}):
            os.kill(os.getpid(), signal.SIGKILL)
    os.replace = replace_and_die
    """


def program(site, verb, target="mace", prelude=""):
    """Runs ``kan-heads patch`` in a process that sees ``site`` before its own site-packages."""
    argv = ["kan-heads", "patch", verb, target]
    code = f"import sys\nsys.argv = {argv!r}\n{textwrap.dedent(prelude)}\n"
    code += "from kan_heads.cli import main\nmain()"
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{REPOSITORY}"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
