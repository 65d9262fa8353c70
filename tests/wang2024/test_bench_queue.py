"""What the queue does with jobs that fail, are busy, or need another job's model."""

import os

import pytest
from bench_jobs import JOB, QUICK, record_of
from bench_records import BENCHMARKS

from benchmarks.wang2024 import lammps_run, record, run, worker
from benchmarks.wang2024.budget import load_budget
from benchmarks.wang2024.jobs import Job
from kan_heads.errors import ConfigError, ModelError


class Done:
    """What submitit returns, of a job that is over at once."""

    def __init__(self, *result):
        self.answer = result

    def done(self):
        return True

    def exception(self):
        return None

    def result(self):
        return self.answer


class Cluster:
    """Stands for submitit."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def submit(self, work, job):
        self.asked.append((work, job.name))
        return self.answer(job)

    def __call__(self, *words):
        return self

    def cancel(self, submitted):
        assert not submitted


class Ears(run.Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def test_dynamics_of_a_failed_training_are_not_tried(folders, monkeypatch):
    monkeypatch.setattr(run, "Here", Cluster(lambda job: Done("failed", "no memory")))
    dynamics = Job("dynamics", JOB.config, 1, "hfo2", QUICK)
    outcome = run.run([JOB, dynamics], folders)
    assert outcome.failed == {JOB.name: "no memory", dynamics.name: "its training failed"}


def test_models_are_compiled_before_the_first_dynamics(folders, monkeypatch):
    trainings = [Job("training", JOB.config, seed, "hfo2", QUICK) for seed in (1, 2)]
    dynamics = [Job("dynamics", JOB.config, seed, "hfo2", QUICK) for seed in (1, 2)]
    cluster = Cluster(lambda job: Done("made", ""))
    monkeypatch.setattr(run, "Here", cluster)
    run.run([dynamics[0], *trainings, dynamics[1]], folders)
    stages = [(worker.do, trainings), (worker.prepare, dynamics), (worker.do, dynamics)]
    assert cluster.asked == [(work, job.name) for work, jobs in stages for job in jobs]


def test_a_model_is_compiled_once_and_again_when_it_was_trained_again(folders, monkeypatch, tmp_path):
    dynamics = Job("dynamics", JOB.config, 1, "hfo2", QUICK)
    compiled = []

    def compile_model(job, folders):
        compiled.append(job.name)
        (folders.work / job.name).mkdir(exist_ok=True)
        (folders.work / job.name / lammps_run.MODEL).touch()

    monkeypatch.setattr(worker, "_identity", lambda job, folders: {"seed": job.seed})
    monkeypatch.setattr(lammps_run, "compile_model", compile_model)
    trained = folders.work / JOB.name / "trained.json"
    trained.parent.mkdir(parents=True)
    trained.write_text('{"seed": 1}')
    for _ in range(2):
        assert worker.prepare(dynamics, folders) == ("prepared", "")
    assert len(compiled) == 1
    os.utime(trained, ns=(0, 0))
    worker.prepare(dynamics, folders)
    assert len(compiled) == 2
    (folders.work / dynamics.name / lammps_run.MODEL).unlink()
    worker.prepare(dynamics, folders)
    assert len(compiled) == 3


def test_a_model_that_does_not_compile_fails_with_its_reason(folders, monkeypatch):
    def fail(job, folders):
        raise ModelError("no compiler")

    monkeypatch.setattr(worker, "_compiled_model", fail)
    assert worker.prepare(JOB, folders) == ("failed", "no compiler")
    with worker.try_lock(folders.work / ".locks" / JOB.name):
        assert worker.prepare(JOB, folders) == ("prepared", ""), "somebody else is at it"


def test_a_busy_job_is_waited_for_and_mentioned_once(folders, monkeypatch):
    def answer(job):
        monkeypatch.setattr(
            run.time, "sleep", lambda s: record.write_record(folders.record(job), record_of(job))
        )
        return Done("busy", "")

    monkeypatch.setattr(run, "Here", Cluster(answer))
    ears = Ears()
    with worker.try_lock(folders.lock(JOB)):
        outcome = run.run([JOB], folders, progress=ears)
    assert (outcome.found, outcome.made) == ([JOB.name], [])
    assert len(ears.notes) == 2


def test_runs_on_cards_go_one_at_a_time(folders, monkeypatch):
    gpu = load_budget(BENCHMARKS, "gpu")
    jobs = [Job("training", JOB.config, seed, "hfo2", gpu) for seed in (1, 2)]
    at_once = []
    monkeypatch.setattr(run, "Here", Cluster(lambda job: Done("made", "")))
    monkeypatch.setattr(
        run, "_Queue", lambda jobs, n, work, cluster, folders, at, *rest: at_once.append(at) or Idle()
    )
    run.run(jobs, folders, n_jobs=4)
    assert at_once == [1, 1, 1]


class Idle:
    def work_off(self):
        pass


def test_slurm_where_there_is_none_says_so_in_one_line(folders):
    with pytest.raises(ConfigError, match=r"--executor slurm: .*srun"):
        run.run([JOB], folders, executor="slurm")
