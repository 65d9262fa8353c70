import pytest
from typer.testing import CliRunner

from benchmarks.datasets.__main__ import app
from kan_heads.data import check_file
from kan_heads.errors import ConfigError


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")

    def call(*args):
        result = CliRunner().invoke(app, [str(a) for a in args])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception  # the main command turns these into exit status 2
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_list_shows_every_set_and_names_the_stand_in(run, cache, monkeypatch):
    monkeypatch.delenv("KAN_HEADS_DATA", raising=False)
    out = run("list")
    for name in ("ag", "ag-emt", "hfo2", "carbon", "sio2", "ru"):
        assert f" {name} " in out
    assert "stand-in (ASE-EMT)" in out
    assert "not public" in out
    assert "generated on demand" in out


def test_list_says_what_is_in_the_folder(run, cache, tmp_path, monkeypatch):
    (tmp_path / "ag").mkdir()
    (tmp_path / "ag" / "Ag_warm_nospin.xyz").touch()
    monkeypatch.setenv("KAN_HEADS_DATA", str(tmp_path))
    (row,) = [line for line in run("list").splitlines() if " ag " in line]
    assert " folder " in row


def test_prepare_and_get(run, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("get", "tiny").strip() == str(tiny)
    run("prepare", "tiny", "--train", 5, "--val", 2, "--test", 0, "--seed", 1)
    report = check_file(tmp_path / "data/tiny/train.extxyz", 8.0)
    assert (report.n_frames, report.labels["forces"]) == (5, 5)
    run("prepare", "tiny", "--out", "elsewhere")
    assert (tmp_path / "elsewhere/split.json").exists()


def test_errors_reach_the_main_command(run):
    for command in ("get", "prepare"):
        with pytest.raises(ConfigError, match="choose one of: ag, ag-emt"):
            run(command, "gold")
