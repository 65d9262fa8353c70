"""Names and numbers are checked before anything runs; the program says so in one line."""

import dataclasses
import json
import pathlib
import subprocess
import sys
import types

import pytest

from benchmarks import ROOT
from benchmarks.speed import models, pipeline
from benchmarks.speed.cases import MODEL_CASES
from benchmarks.speed.config import ModelSpeedConfig
from kan_heads.errors import ConfigError
from kan_heads.progress import Progress
from kan_heads.speed import SpeedConfig
from kan_heads.speed.cases import BLOCK_CASES
from kan_heads.speed.recorder import Recorder

TINY = ("--rows", "16", "--features", "4", "--seconds", "0", "--threads", "1", "--basis", "chebyshev")


KAN_HEADS = (str(pathlib.Path(sys.executable).parent / "kan-heads"), "speed")
BENCHMARKS = (sys.executable, "-m", "benchmarks.speed")


def program(*arguments, name=KAN_HEADS):
    """Runs ``kan-heads speed``, or the program for whole models."""
    command = [*name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cases": ("readout",)}, r"--cases 'readout' is unknown.*valid: .*latent.*readout-1layer"),
        (
            {"bases": ("spline",)},
            r"--basis 'spline' is unknown.*valid: bspline, chebyshev, fourier",
        ),
        ({"dtype": "float16"}, r"--dtype 'float16' is unknown.*valid: float32, float64"),
        ({"device": "tpu"}, r"--device 'tpu' is unknown.*valid: cpu, cuda"),
        ({"rows": (10, 0)}, r"--rows 0 must be at least 1"),
        ({"features": (-1,)}, r"--features -1 must be at least 1"),
        ({"threads": 0}, r"--threads 0 must be at least 1"),
        ({"seconds": -1.0}, r"--seconds -1.0 must be a number of seconds, not negative"),
    ],
)
def test_what_is_wrong_is_named(wrong, message):
    with pytest.raises(ConfigError, match=message) as error:
        SpeedConfig(**wrong).check()
    assert "\n" not in str(error.value)


def test_a_whole_model_that_is_unknown_is_named():
    wrong = r"unknown \(did you mean 'mace-output'\?\); valid: .*allegro-all"
    with pytest.raises(ConfigError, match=wrong) as error:
        ModelSpeedConfig(cases=("mace-outputt",)).check()
    assert "\n" not in str(error.value)


def test_the_program_says_it_in_one_line():
    for name, cases in ((KAN_HEADS, BLOCK_CASES), (BENCHMARKS, MODEL_CASES)):
        done = program("--cases", "readout-3layer", name=name)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert all(case.name in done.stderr for case in cases)


def test_json_is_all_that_goes_to_standard_output():
    done = program("--cases", "readout-1layer,readout-2layer-8", *TINY, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert {row["case"] for row in json.loads(done.stdout)} == {"readout-1layer", "readout-2layer-8"}
    assert "readout-1layer: KAN [in, 1] against MLP [in, 32, 1]" in done.stderr


def test_the_table_goes_to_standard_output_and_json_to_the_file(tmp_path):
    done = program("--cases", "readout-2layer-8", *TINY, "--json", str(tmp_path / "speed.json"))
    assert done.returncode == 0, done.stderr
    assert "KAN chebyshev" in done.stdout
    assert "torch" in done.stdout
    assert done.stderr.count("\n") == 1  # one group
    assert len(json.loads((tmp_path / "speed.json").read_text())) == 8


def test_a_file_that_cannot_be_written_is_found_before_the_run(tmp_path):
    done = program("--json", str(tmp_path / "nowhere" / "speed.json"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_shapes():
    readout, latent = BLOCK_CASES[0], BLOCK_CASES[-1]
    assert (50_000, 64) in SpeedConfig().shapes(readout)
    assert set(SpeedConfig(quick=True).shapes(readout)) < set(SpeedConfig().shapes(readout))
    assert SpeedConfig(rows=(5, 6), features=(7,)).shapes(readout) == [(5, 7), (6, 7)]
    assert SpeedConfig(rows=(5,), features=(7,)).shapes(latent) == [(5, 192)]
    assert SpeedConfig(features=(7,)).shapes(latent) == [(5_000, 192)]


def test_a_model_asked_for_by_name_must_be_installed(monkeypatch):
    reason = "allegro is not installed; pip install 'kan-heads[allegro]'"
    monkeypatch.setattr(models, "missing", lambda case: reason)
    with pytest.raises(ConfigError, match="allegro-all: allegro is not installed"):
        pipeline.run(ModelSpeedConfig(cases=("allegro-all",)))


def test_what_is_missing_for_mace_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mace-output: mace is not installed; pip .*kan-heads\[mace\]"):
        pipeline.run(ModelSpeedConfig(cases=("mace-output",)))


def test_configurations_are_looked_for_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "missing", lambda case: None)
    cases = {case.name: case for case in MODEL_CASES}
    settings = ModelSpeedConfig(cases=("allegro-output",), configs=tmp_path)
    with pytest.raises(ConfigError, match=r"allegro-output: .*mlp\.yaml does not exist"):
        models.check_available(cases["allegro-output"], settings, Progress())
    assert models.check_available(cases["mace-output"], settings, Progress())  # it has none


def test_what_a_framework_prints_stays_off_standard_output(monkeypatch, capsys):
    def build(case, basis, settings):
        sys.stdout.write("a framework says hello")
        steps = dict.fromkeys(models.MODEL_PHASES, lambda: None)
        return models.Pair(steps, steps, 1, 1, "nothing")

    monkeypatch.setitem(sys.modules, "chatty", types.SimpleNamespace(build=build))
    case = dataclasses.replace(MODEL_CASES[0], build="chatty:build")
    settings = ModelSpeedConfig(seconds=0.0, quick=True)
    assert len(models.measure(case, "bspline", settings, Recorder(settings), Progress())) == 4
    assert capsys.readouterr().out == ""


def test_nothing_heavy_at_import():
    heavy = "{'torch', 'ase', 'numpy', 'nequip', 'mace'}"
    code = f"import sys, kan_heads.cli.speed, kan_heads.speed; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
