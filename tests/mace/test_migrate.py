"""MACE models made under e3nn 0.4.4, an environment of its own, carried to the e3nn installed."""

import contextlib
import os
import pathlib
import subprocess
import sys
import zipfile

import e3nn
import numpy as np
import old_models
import pytest
import torch
from e3nn.util.codegen import CodeGenMixin
from programs import run

from kan_heads.errors import ConfigError, ModelError
from kan_heads.mace.migrate import migrate, old_code_accepted

KEPT = pathlib.Path(sys.prefix) / "share" / "e3nn-0.4.4"
PROGRAM = str(pathlib.Path(old_models.__file__))
GOOD = ("float32", "float64", "heads")

pytestmark = pytest.mark.skipif(e3nn.__version__.startswith("0.4"), reason="e3nn 0.4 is the one installed")


def command(*arguments, **environment):
    return subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture(scope="session")
def e3nn_044(tmp_path_factory):
    """A folder with e3nn 0.4.4 and nothing else."""
    if (KEPT / "e3nn").is_dir():
        return KEPT
    folder = tmp_path_factory.mktemp("e3nn-0.4.4")
    # Without --no-config uv reads pyproject.toml, which overrides the version.
    uv = ["uv", "pip", "install", "--no-config", "--python", sys.executable]
    for installer in ([sys.executable, "-m", "pip", "install"], uv):
        with contextlib.suppress(FileNotFoundError):
            done = command(*installer, "--quiet", "--no-deps", "--target", str(folder), "e3nn==0.4.4")
            if done.returncode == 0:
                return folder
    pytest.skip(f"needs e3nn 0.4.4: {sys.executable} -m pip install --no-deps --target {KEPT} e3nn==0.4.4")


@pytest.fixture(scope="session")
def old(e3nn_044, tmp_path_factory):
    """A folder with models of e3nn 0.4.4 and their energies and forces there."""
    folder = tmp_path_factory.mktemp("old")
    done = command(sys.executable, PROGRAM, "make", str(folder), PYTHONPATH=str(e3nn_044))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def new(old, tmp_path_factory):
    """A folder with the migrated models, and what a fresh process computes with them."""
    folder = tmp_path_factory.mktemp("new")
    for name in GOOD:
        migrate(str(old / f"{name}.model"), str(folder / f"{name}.model"), trust=True)
    done = command(sys.executable, PROGRAM, "evaluate", str(folder), *GOOD)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def unchanged():
    """Fails if e3nn or torch is left in another state than before."""
    before = CodeGenMixin.__setstate__, torch.get_default_dtype()
    yield
    assert (CodeGenMixin.__setstate__, torch.get_default_dtype()) == before


def load(path):
    return torch.load(path, map_location="cpu", weights_only=False)


def state_of(path):
    with old_code_accepted():
        return load(path).state_dict()


def holds(state, expected):
    """True if every tensor of ``expected`` is in the state, bit for bit."""
    return all(
        name in state and state[name].dtype == value.dtype and torch.equal(state[name], value)
        for name, value in expected.items()
    )


def test_the_old_files_do_not_load_as_they_are(old):
    with pytest.raises(ValueError, match="too many values to unpack"):
        load(old / "float64.model")


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-6), ("float64", 1e-12), ("heads", 1e-12)])
def test_energies_and_forces_are_those_of_the_old_environment(name, tolerance, old, new):
    expected, found = np.load(old / f"{name}.npy"), np.load(new / f"{name}.npy")
    assert np.abs(expected).min() > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", GOOD)
def test_every_number_arrives_and_stays_what_it_is(name, old, new):
    assert holds(load(new / f"{name}.model").state_dict(), state_of(old / f"{name}.model"))


def test_constants_that_e3nn_folds_when_it_loads_a_model_do_no_harm(old, new):
    added = load(new / "heads.model").state_dict().keys() - state_of(old / "heads.model").keys()
    assert added
    assert all("_compiled_main_left_right._tensor_constant" in name for name in added)


def test_frozen_parameters_and_evaluation_mode_stay(new):
    frozen, trained = load(new / "float32.model"), load(new / "float64.model")
    assert not frozen.training
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert trained.training
    assert all(parameter.requires_grad for parameter in trained.parameters())


def test_the_result_says_what_was_found_and_compared(old, tmp_path, unchanged):
    result = migrate(str(old / "heads.model"), str(tmp_path / "new.model"), trust=True)
    assert (result.model_class, result.elements, result.dtype) == ("ScaleShiftMACE", ("C", "O"), "float64")
    assert (result.heads, result.origin) == (old_models.HEADS, "e3nn 0.4")
    assert result.n_parameters == sum(p.numel() for p in load(tmp_path / "new.model").parameters())
    assert result.migrated
    assert result.n_atoms > 8
    assert result.differences.keys() == {"energy", "forces"}
    assert max(result.differences.values()) < 1e-10


def test_a_tensor_of_another_precision_keeps_it(old, tmp_path):
    migrate(str(old / "mixed.model"), str(tmp_path / "new.model"), trust=True)
    model = load(tmp_path / "new.model")
    assert model.r_max.dtype == torch.float64
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_model_saved_on_a_gpu_arrives_on_the_cpu(old, new, tmp_path):
    with zipfile.ZipFile(old / "gpu.model") as archive:
        assert archive.read("gpu/data.pkl").count(b"cuda:0") > 1
    migrate(str(old / "gpu.model"), str(tmp_path / "new.model"), trust=True)
    model = torch.load(tmp_path / "new.model", weights_only=False)
    assert holds(model.state_dict(), load(new / "float64.model").state_dict())
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


def test_constants_that_an_old_mace_did_not_save_are_added_and_named(old, new, tmp_path):
    result = migrate(str(old / "mace-0.3.4.model"), str(tmp_path / "new.model"), trust=True)
    assert result.recomputed
    assert all(name.endswith("_zeroed") for name in result.recomputed)
    assert max(result.differences.values()) < 1e-10
    assert holds(load(tmp_path / "new.model").state_dict(), load(new / "float64.model").state_dict())


def test_a_model_that_cannot_be_compared_is_migrated_and_says_so(old, new, tmp_path):
    result = migrate(str(old / "not-runnable.model"), str(tmp_path / "new.model"), trust=True)
    assert (result.differences, result.n_atoms) == ({}, 0)
    assert "normalize" in result.note
    assert holds(load(tmp_path / "new.model").state_dict(), load(new / "float64.model").state_dict())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uneven", "differs from the old one by .* in energy"),
        ("two-correlations", "MACE cannot rebuild this ScaleShiftMACE"),
        ("unscaled", "MACE cannot rebuild a MACE"),
        ("mace-0.3.4-not-runnable", "does not hold .*_zeroed.* cannot be run"),
    ],
)
def test_a_model_that_would_change_is_refused_and_nothing_is_written(name, message, old, tmp_path, unchanged):
    with pytest.raises(ModelError, match=message):
        migrate(str(old / f"{name}.model"), str(tmp_path / "new.model"), trust=True)
    assert list(tmp_path.iterdir()) == []


def test_a_parameter_that_mace_leaves_out_is_an_error(old, tmp_path, monkeypatch):
    from mace.tools import scripts_utils

    extract = scripts_utils.extract_config_mace_model

    def without_repulsion(model):
        return {**extract(model), "pair_repulsion": False}

    monkeypatch.setattr(scripts_utils, "extract_config_mace_model", without_repulsion)
    with pytest.raises(ModelError, match="old and new do not share pair_repulsion_fn"):
        migrate(str(old / "heads.model"), str(tmp_path / "new.model"), trust=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["old", "new"])
def test_a_full_disk_is_one_line_and_leaves_nothing(folder, request, tmp_path):
    resource = pytest.importorskip("resource")
    source = request.getfixturevalue(folder) / "float64.model"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(ConfigError, match=r"new\.model: cannot be written"):
            migrate(str(source), str(tmp_path / "new.model"), trust=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_loads_as_it_is_is_copied(new, tmp_path):
    result = migrate(str(new / "heads.model"), str(tmp_path / "new.model"), trust=True)
    assert (result.migrated, result.origin) == (False, f"e3nn {e3nn.__version__}")
    assert (tmp_path / "new.model").read_bytes() == (new / "heads.model").read_bytes()


def test_the_program_says_what_it_found_checked_and_wrote(old, tmp_path):
    words = ("migrate-mace", old / "heads.model", tmp_path / "new.model", "--trust")
    output, errors = run("kan-heads", *words, cwd=tmp_path, fresh=True)
    assert errors == ""
    found, checked, difference, written = output.splitlines()
    assert found.startswith("found: ScaleShiftMACE, C O, heads ground, other, ")
    assert found.endswith("float64, saved for e3nn 0.4")
    assert checked.startswith("checked: every parameter and buffer")
    assert "27 atoms, each head: energy " in difference
    assert written == f"written: {tmp_path / 'new.model'}"
    assert (tmp_path / "new.model").is_file()


def test_kan_models_can_be_imported_first_under_the_old_e3nn(e3nn_044):
    """e3nn 0.4 loads its constants under a setting that MACE makes: MACE must come first."""
    code = "import kan_heads.mace.models, e3nn; assert e3nn.__version__ == '0.4.4'"
    done = command(sys.executable, "-c", code, PYTHONPATH=str(e3nn_044), TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="0")
    assert done.returncode == 0, done.stderr[-1000:]
