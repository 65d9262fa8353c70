"""The cache of compiled kernels: what is taken from it, what is not, and what happens instead."""

import os
import shutil
import stat
import subprocess
import sys

import pytest
import torch

from kan_heads.kan.backends.native import library as library_module

PROGRAM = """
import torch
from kan_heads.kan import KAN
from kan_heads.kan.backends import choose
model = KAN([4, 1])
x = torch.zeros(3, 4)
print(choose(model.layers[0], x).name == "native", model(x).shape)
"""


def start(cache, umask=-1):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "KAN_HEADS_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=umask,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err  # a bus error has no message
    assert out.split()[0] == "True", err
    return err


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def load(capsys):
    """Loads the kernels as a new process would, and says whether they were compiled for it."""
    found = library_module._load(torch.float32)
    assert found.kan_sum
    return "compiling" in capsys.readouterr().err


@pytest.fixture(scope="module")
def two_builds(tmp_path_factory):
    """A cache that two processes have filled at once, under a umask that lets the group write."""
    cache = tmp_path_factory.mktemp("two") / "cache"
    return cache, [finish(process) for process in [start(cache, umask=0o002) for _ in range(2)]]


@pytest.fixture
def cache(two_builds, tmp_path, monkeypatch):
    """A copy of that cache; compilers that are asked for the kernels again copy them, which is faster."""
    copy = tmp_path / "cache"
    shutil.copytree(two_builds[0], copy)
    monkeypatch.setenv("KAN_HEADS_CACHE", str(copy))
    compile_them = library_module._compile

    def compile_fast(compiler, flags, target):
        if not compiler[0].endswith("broken-cc"):
            shutil.copyfile(kernels(two_builds[0]), target)
            target.chmod(0o775)
            return target
        return compile_them(compiler, flags, target)

    monkeypatch.setattr(library_module, "_compile", compile_fast)
    return copy


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(library_module.shutil, "which", lambda name: None)


def kernels(cache):
    (path,) = (cache / "kernels").iterdir()
    return path


def test_two_processes_at_once_leave_one_build_for_the_next(two_builds, cache, capsys):
    assert any("compiling CPU kernels for torch.float32" in err for err in two_builds[1])
    assert kernels(cache).suffix == ".so"
    assert not load(capsys)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_the_umask_opens_the_cache_to_nobody(two_builds):
    assert all("changed by others" not in err for err in two_builds[1])
    assert mode(two_builds[0] / "kernels") == 0o700
    assert mode(kernels(two_builds[0])) == 0o644


class TestWithoutACompiler:
    def test_what_is_kept_is_used(self, cache, no_compiler, capsys, monkeypatch):
        assert not load(capsys)
        monkeypatch.setattr(library_module, "library", library_module._load)
        assert library_module.describe(torch.float32) == "C kernels (compiled before)"

    def test_nor_with_one_that_is_named_but_not_there(self, cache, capsys, monkeypatch):
        monkeypatch.setenv("CC", "no-such-compiler")
        assert not load(capsys)

    def test_nor_with_one_that_is_broken(self, cache, capsys, monkeypatch, tmp_path):
        compiler = tmp_path / "broken-cc"
        compiler.write_text("#!/bin/sh\necho 'error: no license' >&2\nexit 1\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CC", str(compiler))
        assert library_module._load(torch.float32).kan_sum
        kernels(cache).unlink()
        with pytest.raises(library_module.CompilerError, match="broken-cc: error: no license"):
            library_module._load(torch.float32)

    def test_kernels_of_another_precision_or_release_are_not(self, cache, no_compiler, monkeypatch):
        with pytest.raises(library_module.CompilerError, match="no C compiler found"):
            library_module._load(torch.float64)
        monkeypatch.setattr(library_module, "_FLAGS", [*library_module._FLAGS, "-DANOTHER"])
        with pytest.raises(library_module.CompilerError, match="no C compiler found"):
            library_module._load(torch.float32)

    def test_nor_are_damaged_ones(self, cache, no_compiler):
        os.truncate(kernels(cache), 1000)
        with pytest.raises(library_module.CompilerError, match="no C compiler found"):
            library_module._load(torch.float32)


def test_a_compiler_prefers_its_own_build(cache, capsys, monkeypatch, tmp_path):
    """Another compiler makes another build beside the first, and each is found again."""
    link = tmp_path / "another-cc"
    link.symlink_to(shutil.which(library_module._compiler()[0]))
    with monkeypatch.context() as other:
        other.setenv("CC", str(link))
        assert load(capsys)
        assert not load(capsys)
    assert not load(capsys)
    assert len(list((cache / "kernels").iterdir())) == 2


def cut(path):
    os.truncate(path, 1000)


def empty(path):
    os.truncate(path, 0)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def without_checksum(path):
    path.rename(path.with_name(f"{path.stem.rpartition('-')[0]}.so"))


@pytest.mark.parametrize("damage", [cut, empty, flip, without_checksum])
def test_a_damaged_file_is_compiled_again(damage, cache, capsys):
    good = kernels(cache).read_bytes()
    damage(kernels(cache))
    assert load(capsys)
    assert good in [path.read_bytes() for path in (cache / "kernels").iterdir()]
    assert not load(capsys)


def test_a_build_that_was_killed_leaves_nothing_that_is_loaded(cache, capsys):
    path = kernels(cache)
    scratch = cache / "kernels" / "building-killed"
    scratch.mkdir()
    path.rename(scratch / path.name)
    cut(scratch / path.name)
    assert load(capsys)
    assert not load(capsys)


def test_a_cache_that_can_be_read_only(cache, capsys, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(library_module.os, "replace", refuse)
    assert not load(capsys)
    cut(kernels(cache))
    assert load(capsys)  # for this process alone
    assert load(capsys)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners on this system")
class TestOthersCanWrite:
    @pytest.mark.parametrize("extra", [0o020, 0o002])
    def test_to_the_folder(self, extra, cache, capsys):
        folder = cache / "kernels"
        folder.chmod(0o700 | extra)
        before = list(folder.iterdir())
        with pytest.warns(RuntimeWarning, match=r"kernels can be changed by others.*chmod go-w") as told:
            assert load(capsys)
        assert len(told) == 1
        assert list(folder.iterdir()) == before
        folder.chmod(0o700)
        assert not load(capsys)

    def test_to_the_file(self, cache, capsys):
        kernels(cache).chmod(0o666)
        with pytest.warns(RuntimeWarning, match=r"\.so can be changed by others.*chmod go-w"):
            assert load(capsys)
        assert mode(kernels(cache)) == 0o644  # it was replaced
        assert not load(capsys)

    def test_as_the_owner(self, cache, capsys, monkeypatch):
        owner = kernels(cache).stat().st_uid
        monkeypatch.setattr(library_module.os, "geteuid", lambda: owner + 1)
        if owner == 0:  # whom everybody has to trust
            assert not load(capsys)
            os.chown(cache / "kernels", 4321, -1)
            owner = 4321
        told = rf"kernels belongs to user {owner}, .*set KAN_HEADS_CACHE to a folder of your own"
        with pytest.warns(RuntimeWarning, match=told):
            assert load(capsys)

    def test_a_system_without_owners(self, cache, capsys, monkeypatch):
        (cache / "kernels").chmod(0o777)
        monkeypatch.delattr(library_module.os, "geteuid")
        assert not load(capsys)
