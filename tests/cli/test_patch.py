"""``kan-heads patch`` on copies of the installed files; the installation itself is never touched."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mace_site import (
    ARG_PARSER,
    DIST_INFO,
    FILES,
    METADATA,
    MODEL_SCRIPT_UTILS,
    REPOSITORY,
    SCRIPTS_UTILS,
    VERSION,
    build,
    contents,
    find,
    killed_after,
    needs_mace,
    program,
    recorded,
)

from kan_heads.errors import ConfigError, ModelError
from kan_heads.patching import State, find_installation, find_patch, patches_dir

pytestmark = needs_mace


def one_line(done):
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_apply_gives_the_recorded_files_and_revert_the_released_ones(site):
    before = contents(site)
    assert find(site).change(State.PATCHED) == FILES
    assert [hashlib.sha256((site / name).read_bytes()).hexdigest() for name in FILES] == recorded("patched")
    assert contents(site).keys() == before.keys()
    assert find(site).change(State.PRISTINE) == FILES
    assert contents(site) == before


def test_a_second_call_changes_nothing(site):
    find(site).change(State.PATCHED)
    times = [(site / name).stat().st_mtime_ns for name in FILES]
    assert find(site).change(State.PATCHED) == []
    assert [(site / name).stat().st_mtime_ns for name in FILES] == times


def test_the_patch_program_agrees(site):
    if shutil.which("patch") is None:
        pytest.skip("needs the program patch")
    text = (patches_dir() / f"mace-torch-{VERSION}.patch").read_bytes()
    subprocess.run(["patch", "-p0", "--quiet"], input=text, cwd=site, check=True)
    assert set(find(site).states().values()) == {State.PATCHED}


@pytest.mark.parametrize("number", range(1, len(FILES)))
@pytest.mark.parametrize("wanted", [State.PATCHED, State.PRISTINE])
def test_what_was_interrupted_is_completed(site, number, wanted):
    before = contents(site)
    find(site).change(State.PATCHED)
    after = contents(site)
    for name in FILES[:number]:
        (site / name).write_bytes(before[name])
    states = list(find(site).states().values())
    assert states == [State.PRISTINE] * number + [State.PATCHED] * (len(FILES) - number)
    find(site).change(wanted)
    assert contents(site) == (after if wanted is State.PATCHED else before)


def test_a_killed_process_leaves_what_the_next_one_completes(site):
    assert program(site, "apply", prelude=killed_after(MODEL_SCRIPT_UTILS)).returncode == -signal.SIGKILL
    assert list(find(site).states().values()) == [State.PATCHED] * 2 + [State.PRISTINE] * 3
    done = program(site, "status")
    assert done.returncode == 0
    assert "partly patched; run: kan-heads patch apply mace" in done.stdout
    done = program(site, "apply")
    assert (done.returncode, done.stdout.split(" in ")[0]) == (
        0,
        f"mace-torch {VERSION}: patched, 3 files changed",
    )


def test_four_processes_at_once(site):
    code = (
        "import sys; from kan_heads.patching import State, find_installation\n"
        "find_installation('mace', sys.argv[1:]).change(State.PATCHED)"
    )
    command = [sys.executable, "-c", code, str(site)]
    running = [subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[1] for process in running] == [b""] * 4
    assert set(find(site).states().values()) == {State.PATCHED}
    assert not list(site.rglob(".kan-heads.*"))


@pytest.mark.parametrize("wanted", [State.PATCHED, State.PRISTINE])
@pytest.mark.parametrize("name", FILES)
def test_a_file_changed_by_somebody_stops_everything(site, name, wanted):
    if wanted is State.PRISTINE:
        find(site).change(State.PATCHED)
    with (site / name).open("a") as file:
        file.write("\n# mine\n")
    before = contents(site)
    assert find(site).states()[name] is State.OTHER
    with pytest.raises(ModelError, match=f"modified.*{name}") as caught:
        find(site).change(wanted)
    assert f"pip install --force-reinstall --no-deps mace-torch=={VERSION}" in str(caught.value)
    assert contents(site) == before


def test_a_missing_file_stops_everything(site):
    (site / SCRIPTS_UTILS).unlink()
    before = contents(site)
    with pytest.raises(ModelError, match=f"missing.*{SCRIPTS_UTILS}"):
        find(site).change(State.PATCHED)
    assert contents(site) == before


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_links_into_a_cache_keep_their_content(site, tmp_path, link):
    cache = tmp_path / "cache"
    before = contents(site)
    for name in FILES:
        kept = cache / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        (site / name).rename(kept)
        link(kept, site / name)
    find(site).change(State.PATCHED)
    assert contents(cache) == {name: before[name] for name in FILES}
    assert set(find(site).states().values()) == {State.PATCHED}


def test_permissions_stay(site):
    (site / ARG_PARSER).chmod(0o640)
    find(site).change(State.PATCHED)
    assert (site / ARG_PARSER).stat().st_mode & 0o777 == 0o640


def test_a_full_disk_changes_nothing(site, monkeypatch):
    before = contents(site)
    real = Path.write_bytes

    def fail_for_the_list(path, content):
        if path.parent.name == DIST_INFO:
            raise OSError(28, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail_for_the_list)
    with pytest.raises(ModelError, match="cannot be written: No space left on device"):
        find(site).change(State.PATCHED)
    assert contents(site) == before


def test_a_read_only_folder_is_one_line():
    with tempfile.TemporaryDirectory() as folder:
        site = build(Path(folder) / "site-packages")
        before = contents(site)
        installation = find(site)
        for path in [Path(folder), site, *site.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        root = os.geteuid() == 0
        if root:  # may write everywhere, so be somebody else for a moment
            os.seteuid(65534)
        try:
            with pytest.raises(ModelError, match="cannot be written: Permission denied; use an environment"):
                installation.change(State.PATCHED)
        finally:
            if root:
                os.seteuid(0)
            for path in [Path(folder), *Path(folder).rglob("*")]:
                path.chmod(0o755)
        assert contents(site) == before


def test_an_unknown_release_names_the_known_ones(site):
    metadata = site / METADATA
    metadata.write_text(metadata.read_text().replace(f"Version: {VERSION}", "Version: 0.3.99"))
    line = one_line(program(site, "apply"))
    assert f"mace-torch 0.3.99 is installed, there is a patch for {VERSION} only" in line
    assert f"pip install 'mace-torch=={VERSION}'" in line


def test_the_newest_release_is_the_remedy(tmp_path):
    for version in ("0.3.9", "0.3.16"):
        (tmp_path / f"mace-torch-{version}.patch").touch()
    with pytest.raises(
        ModelError, match=r"for 0\.3\.9, 0\.3\.16 only; run: pip install 'mace-torch==0\.3\.16'"
    ):
        find_patch("mace-torch", "0.3.20", tmp_path)


def test_without_mace_the_remedy_is_the_extra(tmp_path):
    with pytest.raises(ConfigError, match=r"mace-torch is not installed.*pip install -e '\.\[mace\]'"):
        find_installation("mace", [str(tmp_path)])


def test_an_unknown_target_lists_the_known_ones(site):
    assert "there is no patch for 'nequip'; valid: mace" in one_line(program(site, "apply", "nequip"))


def test_a_patch_that_is_not_the_recorded_one_changes_nothing(site):
    before = contents(site)
    installation = find(site)
    installation.patch.hunks[METADATA][0].new[0] = b"Requires-Dist: e3nn\n"
    with pytest.raises(ModelError, match="another file than recorded"):
        installation.change(State.PATCHED)
    assert contents(site) == before


def test_status_for_each_file(site):
    (site / METADATA).write_bytes(b"Name: mace-torch\nVersion: 0.3.16\n")
    done = program(site, "status")
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[1:-1] == [*(["pristine", name] for name in FILES[:-1]), ["other", METADATA]]
    assert "changed by something else; restore with: pip install" in done.stdout


def test_the_verb_imports_neither_mace_nor_torch(site):
    prelude = "import atexit; atexit.register(lambda: print({'mace', 'torch'} & set(sys.modules)))"
    assert program(site, "apply", prelude=prelude).stdout.endswith("set()\n")
