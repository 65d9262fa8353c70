"""What ``kan-heads migrate-mace`` refuses, and how; models of e3nn 0.4.4 are in test_migrate.py."""

import os
import pickle
import sys
import types
import zipfile

import pytest
import torch
from e3nn.util.codegen import CodeGenMixin

from kan_heads.errors import ConfigError, ModelError
from kan_heads.mace.migrate import migrate


class Marker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def of_a_missing_package(path):
    module = sys.modules["gone_package"] = types.ModuleType("gone_package")
    module.Gone = type("Gone", (torch.nn.Linear,), {"__module__": "gone_package"})
    torch.save(module.Gone(1, 1), path)
    del sys.modules["gone_package"]


def truncated(path):
    torch.save(torch.nn.Linear(9, 9), path)
    path.write_bytes(path.read_bytes()[:-40])


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/readme", "nothing")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "no such file"),
        (lambda path: path.write_text("<!DOCTYPE html>"), "no file of torch.save"),
        (lambda path: path.write_bytes(b""), "no file of torch.save"),
        (lambda path: path.write_bytes(b"\x80\x02not a pickle"), "cannot be loaded; it may be damaged"),
        (lambda path: path.write_bytes(pickle.dumps([1])), "cannot be loaded; it may be damaged"),
        (truncated, "is truncated"),
        (archive, "a zip archive without a saved object"),
        (lambda path: torch.jit.script(torch.nn.Linear(1, 1)).save(str(path)), "is compiled .TorchScript."),
        (lambda path: torch.save(torch.nn.Linear(1, 1).state_dict(), path), "holds a dictionary"),
        (lambda path: torch.save({"model": {}, "optimizer": {}}, path), "holds a dictionary"),
        (lambda path: torch.save(torch.nn.Linear(1, 1), path), "holds a Linear, not a MACE model"),
        (of_a_missing_package, "needs a package that is not installed .*gone_package"),
    ],
)
def test_a_file_that_is_no_model_is_one_line(make, message, tmp_path):
    path = tmp_path / "a.model"
    make(path)
    setstate, before = CodeGenMixin.__setstate__, sorted(tmp_path.iterdir())
    with pytest.raises(ModelError, match=message) as caught:
        migrate(str(path), str(tmp_path / "new.model"), trust=True)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before
    assert CodeGenMixin.__setstate__ is setstate


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("there.model", "exists already and is not overwritten"),
        ("a.model", "is the file to migrate itself"),
        ("none/new.model", "there is no folder"),
    ],
)
def test_a_new_name_that_cannot_be_used_is_one_line(name, message, tmp_path):
    (tmp_path / "there.model").write_text("precious")
    torch.save(Marker(tmp_path / "code-ran"), tmp_path / "a.model")
    before = (tmp_path / "a.model").read_bytes()
    with pytest.raises(ConfigError, match=message):
        migrate(str(tmp_path / "a.model"), str(tmp_path / name))
    assert not (tmp_path / "code-ran").exists()
    assert (tmp_path / "there.model").read_text() == "precious"
    assert (tmp_path / "a.model").read_bytes() == before
