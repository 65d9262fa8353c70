"""Jobs, their records, and what two processes or a crash do to them."""

import json
import multiprocessing
import os
import shutil

import pytest
from bench_jobs import CONFIGS, JOB, QUICK, record_of
from bench_records import BENCHMARKS, ROOT

from benchmarks.wang2024 import provenance, record, run, worker
from benchmarks.wang2024.budget import load_budget
from benchmarks.wang2024.jobs import Job, composed, jobs_of
from benchmarks.wang2024.table import load_tables
from kan_heads.errors import ConfigError

TABLES = load_tables(BENCHMARKS)


def hold(path, held, let_go):
    with worker.try_lock(path) as mine:
        assert mine
        held.set()
        let_go.wait(60)


def test_tables_that_share_rows_share_their_runs():
    names = [job.name for job in jobs_of([TABLES[2], TABLES[3]], QUICK)]
    assert names.count("allegro-ag-mlp-seed1") == 1
    assert len(names) == 3 * 8


def test_all_rows_of_a_seed_come_before_the_next_seed_and_dynamics_come_last():
    jobs = jobs_of([TABLES[4], TABLES[5]], QUICK)
    trainings = [job for job in jobs if job.kind == "training"]
    assert [job.seed for job in trainings] == sorted(job.seed for job in trainings)
    assert all(job.kind == "dynamics" for job in jobs[len(trainings) :])
    # Each run of dynamics has the training that its model comes from.
    assert {job.training.name for job in jobs[len(trainings) :]} <= {job.name for job in trainings}


def test_controls_can_be_left_out():
    smoke = load_budget(BENCHMARKS, "smoke")
    assert {job.config for job in jobs_of([TABLES[5]], smoke)} == {
        f"allegro/hfo2-{name}"
        for name in ("mlp", "embedding_latent-gaussian", "output-gaussian", "all-gaussian")
    }
    assert len(jobs_of([TABLES[5]], QUICK)) == 3 * 6


def test_mace_has_the_published_seeds_and_others_can_be_chosen():
    assert {job.seed for job in jobs_of([TABLES[7]], QUICK)} == {1111, 2222, 3333}
    assert {job.seed for job in jobs_of([TABLES[5], TABLES[7]], QUICK, seeds=[2])} == {2}
    with pytest.raises(ConfigError, match="--seeds 7: the budget quick has"):
        jobs_of([TABLES[5]], QUICK, seeds=[7])


def test_settings_that_matter_change_the_checksum_and_comments_do_not(tmp_path):
    shutil.copytree(CONFIGS, tmp_path / "configs")
    before = JOB.settings_sha256(CONFIGS)
    path = tmp_path / "configs" / "parts" / "system" / "hfo2.yaml"
    path.write_text(path.read_text() + "# one more comment\n")
    assert JOB.settings_sha256(tmp_path / "configs") == before
    path.write_text(path.read_text().replace("r_max: 5.0", "r_max: 5.5"))
    composed.cache_clear()
    assert JOB.settings_sha256(tmp_path / "configs") != before
    assert Job("training", "allegro/hfo2-mlp", 2, "hfo2", QUICK).settings_sha256(CONFIGS) == before
    assert Job("training", "allegro/hfo2-all-gaussian", 1, "hfo2", QUICK).settings_sha256(CONFIGS) != before
    smoke = load_budget(BENCHMARKS, "smoke")
    assert Job("training", "allegro/hfo2-mlp", 1, "hfo2", smoke).settings_sha256(CONFIGS) != before


def test_a_run_with_a_record_is_not_repeated(folders):
    record.write_record(folders.record(JOB), record_of(JOB))
    before = folders.record(JOB).read_bytes()
    assert run.run([JOB], folders).found == [JOB.name]
    assert worker.do(JOB, folders) == ("found", "")
    assert folders.record(JOB).read_bytes() == before


def test_a_record_of_other_settings_stops_before_anything_is_overwritten(folders):
    record.write_record(folders.record(JOB), record_of(JOB, settings_sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"seed1\.json was made with other settings.*remove it to repeat"):
        run.run([JOB], folders)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}', '{"format": 99}', "[]"])
def test_a_damaged_record_is_named(folders, text):
    folders.records.mkdir()
    folders.record(JOB).write_text(text)
    with pytest.raises(ConfigError, match=r"hfo2-mlp-seed1\.json .*remove it to repeat the run"):
        record.read_records(folders.records)


def test_a_record_appears_whole_or_not_at_all(folders, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        record.write_record(folders.record(JOB), record_of(JOB))
    assert record.read_records(folders.records) == {}
    with pytest.raises(ValueError, match="JSON"):  # not a number, not in a record
        record.write_record(folders.record(JOB), record_of(JOB, metrics={"x": float("nan")}))


def test_two_processes_do_not_do_the_same_job_and_a_killed_one_blocks_nobody(folders):
    context = multiprocessing.get_context("spawn")
    held, let_go = context.Event(), context.Event()
    lock = folders.records / ".locks" / JOB.name
    lock.parent.mkdir(parents=True)
    other = context.Process(target=hold, args=(lock, held, let_go))
    other.start()
    assert held.wait(60)
    assert worker.do(JOB, folders) == ("busy", "")
    assert not (folders.work / JOB.name).exists()
    other.kill()
    other.join()
    with worker.try_lock(lock) as mine:
        assert mine


@pytest.fixture
def prepared(folders, tmp_path):
    """Folders with frames of two kinds, by name, which jobs need to be told apart."""
    for name in ("hfo2", "other"):
        (tmp_path / name).mkdir()
        split = {"name": "hfo2", "files": {"train.extxyz": name}}
        (tmp_path / name / "split.json").write_text(json.dumps(split))
    return worker.Folders(folders.configs, folders.records, folders.work, {"hfo2": tmp_path / "hfo2"})


def test_dynamics_take_no_model_of_other_frames_or_settings(prepared, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(worker, "_train", lambda job, folders: trained.append(job.name))
    model = prepared.work / JOB.name / "trained.json"
    model.parent.mkdir(parents=True)
    model.write_text(json.dumps(worker._identity(JOB, prepared)))
    worker.train_again(JOB, prepared)
    assert trained == []
    other = worker.Folders(prepared.configs, prepared.records, prepared.work, {"hfo2": tmp_path / "other"})
    worker.train_again(JOB, other)
    smoke = Job("training", JOB.config, 1, "hfo2", load_budget(BENCHMARKS, "smoke"))
    worker.train_again(smoke, prepared)
    model.write_text("{")
    worker.train_again(JOB, prepared)
    assert trained == [JOB.name] * 3


def test_records_of_other_frames_are_not_mixed(prepared):
    about = {"files": {"train.extxyz": "emt"}, "prepared": "ag-emt"}
    record.write_record(prepared.record(JOB), record_of(JOB, data=about))
    second = Job("training", JOB.config, 2, "hfo2", QUICK)
    with pytest.raises(ConfigError, match=r"other frames \(ag-emt\) than are here \(hfo2\)"):
        run.run([JOB, second], prepared)


def test_git_state_names_commit_and_changes(tmp_path):
    state = provenance.git_state(ROOT)
    assert state["commit"] is None or len(state["commit"]) == 40
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": None}


def test_what_is_recorded_is_json(folders, tmp_path):
    split = {"name": "hfo2", "paper_data": False, "stand_in": False, "relation": "", "sizes": {}, "files": {}}
    (tmp_path / "split.json").write_text(json.dumps(split))
    there = worker.Folders(CONFIGS, folders.records, folders.work, {"hfo2": tmp_path})
    about = provenance.describe(JOB, there.configs, there.data[JOB.data])
    assert set(record.KEYS) - {"format", "metrics"} <= set(about)
    assert json.loads(json.dumps(about)) == about
