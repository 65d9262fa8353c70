"""Every verb that reads a MACE ``.model`` asks for ``--trust`` before a pickle can run code."""

import os
import pickle

import pytest
from test_program import program

from kan_heads.errors import ConfigError, KanHeadsError
from kan_heads.trust import require_trust

torch = pytest.importorskip("torch")

VERBS = {
    "lammps": ("lammps", "run", "{model}", "{folder}/s.extxyz"),
    "migrate-mace": ("migrate-mace", "{model}", "{folder}/new.model"),
}


class Marker:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def zipped(path, payload):
    torch.save(payload, path)


def plain(path, payload):
    path.write_bytes(pickle.dumps(payload, protocol=2))


def torchscript_behind_a_pickle(path, payload):
    """A zip archive is found from its end, a pickle from its start."""
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    path.write_bytes(pickle.dumps(payload, protocol=2) + path.read_bytes())


FORMS = [zipped, plain, torchscript_behind_a_pickle]


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "code-ran"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_runs_no_code_without_trust(verb, marker, tmp_path):
    model = tmp_path / "a.model"
    zipped(model, Marker(marker))
    (tmp_path / "s.extxyz").write_text("no structure")
    done = program(*(word.format(model=model, folder=tmp_path) for word in VERBS[verb]))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{model}: is a pickle, which can run any code when it is loaded" in done.stderr
    assert "if you trust its source, repeat with --trust" in done.stderr
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_python_runs_no_code_without_trust(form, marker, tmp_path):
    pytest.importorskip("mace", reason="needs the extra [mace]")
    from kan_heads.lammps.models import load_calculator
    from kan_heads.mace.migrate import migrate

    model = tmp_path / "a.model"
    form(model, Marker(marker))
    with pytest.raises(ConfigError, match="is a pickle"):
        load_calculator(str(model))
    with pytest.raises(KanHeadsError):  # some of these forms are no file of torch.save in the first place
        migrate(str(model), str(tmp_path / "new.model"))
    assert not marker.exists()
    with pytest.raises(KanHeadsError, match="cannot be loaded"):
        load_calculator(str(model), trust=True)
    assert marker.exists(), "this form would not have run code anyway"


def test_with_trust_a_pickle_is_let_through(tmp_path):
    zipped(tmp_path / "a.model", [1])
    require_trust(str(tmp_path / "a.model"), True)


def test_torchscript_runs_no_code_and_needs_no_trust(tmp_path):
    path = tmp_path / "a_compiled.model"
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    require_trust(str(path), False)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ConfigError, match="is a pickle"):
        require_trust(str(path), False)


def test_the_name_of_a_file_is_no_pattern(marker, tmp_path):
    """A name that would match another file, with the file that was checked beside it."""
    pytest.importorskip("mace", reason="needs the extra [mace]")
    from kan_heads.lammps.models import load_calculator

    torch.jit.script(torch.nn.Linear(1, 1)).save(str(tmp_path / "a[1].model"))
    zipped(tmp_path / "a1.model", Marker(marker))
    with pytest.raises(KanHeadsError):
        load_calculator(str(tmp_path / "a[1].model"))
    assert not marker.exists()
