import json

import pytest

from benchmarks.demo import training
from benchmarks.programs import last_line, run_program
from kan_heads.errors import ConfigError, ModelError


@pytest.fixture
def train(tmp_path, nequip_train, configs, data):
    def call(n_epochs=3, **options):
        return training.train(tmp_path / "it's a run", "demo/hfo2-mlp", configs, data, n_epochs, 1, **options)

    return call


def test_run_records_errors_of_each_epoch_and_of_the_best(train):
    run = train(n_epochs=2)
    assert run.record["validation_force_mae_eV_per_A"] == [1.0, 0.5]
    assert run.record["validation_energy_mae_meV_per_atom"] == pytest.approx([10.0, 5.0])
    assert run.record["best_validation_force_mae_eV_per_A"] == 0.5
    assert len(run.record["epoch_seconds"]) == 2
    assert not run.reused


def test_finished_run_is_reused(train, nequip_train):
    first, second = train(), train()
    assert nequip_train.calls == 1
    assert second.reused
    assert second.record == first.record


def test_force_trains_again(train, nequip_train):
    train()
    assert not train(force=True).reused
    assert nequip_train.calls == 2


@pytest.mark.parametrize("changed", ["epochs", "config", "part", "data"])
def test_other_settings_train_again(train, nequip_train, configs, data, changed):
    train()
    if changed == "config":
        (configs / "demo/hfo2-mlp.yaml").write_text("a: 2\n")
    elif changed == "part":
        (configs / "parts/training.yaml").write_text("b: 3\n")
    elif changed == "data":
        (data / "split.json").write_text(json.dumps({"files": {"train.extxyz": "other"}}))
    assert not train(n_epochs=4 if changed == "epochs" else 3).reused
    assert nequip_train.calls == 2


def test_killed_run_starts_anew(train, nequip_train):
    nequip_train.write("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(ModelError, match="nequip-train was killed by SIGKILL"):
        train()
    nequip_train.write()
    run = train()
    assert not run.reused
    assert (run.folder / "best.ckpt").is_file()


def test_leftovers_of_an_unfinished_run_are_removed(train):
    folder = train().folder
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"done": False}))
    (folder / "last.ckpt").write_text("half")
    assert not train().reused
    assert not (folder / "last.ckpt").exists()


def test_folder_of_somebody_else_is_left_alone(train, tmp_path):
    folder = tmp_path / "it's a run"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years")
    with pytest.raises(ConfigError, match="choose another --out"):
        train()
    assert (folder / "thesis.tex").read_text() == "years"


def test_failure_is_one_line_with_the_log(train, nequip_train, tmp_path):
    nequip_train.write("raise ValueError('lmax must not be 7')")
    with pytest.raises(ModelError) as error:
        train()
    assert str(error.value) == (
        f"nequip-train failed: ValueError: lmax must not be 7 (log: {tmp_path}/it's a run/nequip-train.log)"
    )


def test_missing_program_names_the_extra(nequip_train, tmp_path):
    with pytest.raises(ModelError, match=r"pip install 'kan-heads\[allegro,bench\]'"):
        run_program("nequip-compile", [], tmp_path / "log")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\x1b[31mkan-heads: error: bad scope\x1b[0m\n\n", "bad scope"),
        (
            "Traceback:\n  x\ntorch.AcceleratorError: no memory\n"
            "Set the environment variable HYDRA_FULL_ERROR=1\n",
            "torch.AcceleratorError: no memory",
        ),
        ("working\rEpoch 1/3 ━━━━ 1/2\nKilled\n━━━━━\n", "Killed"),
        ("", "it wrote nothing"),
    ],
)
def test_last_line_tells_why(tmp_path, text, expected):
    (tmp_path / "log").write_text(text)
    assert last_line(tmp_path / "log") == expected


def test_clock_times_epochs_without_the_start_up(tmp_path):
    metrics, log, now, heard = tmp_path / "metrics.csv", tmp_path / training.LOG, [0.0], []
    clock = training.EpochClock(tmp_path, 3, lambda *x: heard.append(x), lambda: now[0])
    head = "epoch,val0_epoch/forces_mae,val0_epoch/per_atom_energy_mae\n"
    steps = [
        (5.0, "building\n", ""),
        (7.0, "building\nTRAIN RUN START\n", ""),
        (10.0, "TRAIN RUN START\n", "0,1.0,0.1\n"),
        (11.0, "TRAIN RUN START\n", "0,1.0,0.1\n1,0."),  # a line that is being written
        (12.0, "TRAIN RUN START\n", "0,1.0,0.1\n1,0.5,0.1\n"),
        (14.0, "TRAIN RUN START\n", "0,1.0,0.1\n1,0.5,0.1\n2,0.4,0.1\n3,0.4,0.1\n"),
    ]
    for time, said, rows in steps:
        now[0] = time
        log.write_text(said)
        metrics.write_text(head + rows)
        clock.look()
    assert clock.seconds() == [3.0, 2.0, 2.0]
    assert heard == [(1, 1.0), (2, 0.5), (3, 0.4)]
