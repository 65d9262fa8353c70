"""``benchmarks.wang2024`` with real trainings of seconds: records, crashes, second processes, failures."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from bench_records import BENCHMARKS

from benchmarks.datasets import availability, lookup
from benchmarks.wang2024.record import KEYS, read_records

PROGRAM = (sys.executable, "-m", "benchmarks.wang2024")
MLP, KAN = (f"allegro-ag-{name}-seed1" for name in ("mlp", "output-gaussian"))

pytestmark = pytest.mark.slow


def declare(folder, table, rows, budget="smoke", baseline="mlp", **changes):
    """Writes one table with some of its rows, and a budget with changes, named tiny."""
    for name in ("tables", "budgets", "published"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    content = yaml.safe_load((BENCHMARKS / "tables" / f"table-{table}.yaml").read_text())
    content["rows"] = [row for row in content["rows"] if row["id"] in rows]
    kept = {None, *rows}
    content["claims"] = [c for c in content["claims"] if {c["row"], c.get("against")} <= kept]
    content |= {"controls": [], "baseline": baseline}
    (folder / "tables" / f"table-{table}.yaml").write_text(yaml.safe_dump(content))
    lines = (BENCHMARKS / "published" / f"table-{table}.csv").read_text().splitlines()
    kept = [line for line in lines if line.split(",")[0] in ("row", *rows)]
    (folder / "published" / f"table-{table}.csv").write_text("\n".join(kept) + "\n")
    content = yaml.safe_load((BENCHMARKS / "budgets" / f"{budget}.yaml").read_text())
    (folder / "budgets" / "tiny.yaml").write_text(yaml.safe_dump({**content, **changes}))
    return folder


def words(folder, *more):
    places = [f"--{name}={folder / name}" for name in ("records", "work")]
    return [*PROGRAM, "run", "--budget=tiny", f"--benchmarks={folder}", *places, *more]


def bench(folder, *more, **environment):
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(words(folder, *more), capture_output=True, text=True, env=variables, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two rows of Table 3, done."""
    folder = declare(tmp_path_factory.mktemp("bench"), 3, ("mlp", "output"))
    done = bench(folder, "--jobs=2")
    assert done.returncode == 0, done.stderr
    return folder


def test_records_say_what_was_run_and_what_nequip_measured(site):
    records = read_records(site / "records")
    assert set(records) == {MLP, KAN}
    for name, record in records.items():
        assert set(KEYS) <= set(record)
        assert record["data"]["prepared"] in ("ag", "ag-emt")
        assert record["data"]["stand_in"] == (record["data"]["prepared"] == "ag-emt")
        assert record["epochs"] == 2
        assert len(record["epoch_wall_s"]) == len(record["epoch_cpu_s"]) == 2
        assert len(record["curves"]["val_force_mae"]) == 2
        assert record["dynamics"]["steps"] == 20
        assert record["peak_memory_mb"] > 100
        assert 0 < sum(record["epoch_wall_s"]) < record["total_wall_s"]
        path = site / "work" / name / "metrics" / "version_0" / "metrics.csv"
        with path.open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        for i, which in enumerate(("train", "val", "test")):
            theirs = float(last[f"test{i}_epoch/forces_mae"])
            assert record["metrics"][f"{which}_force_mae"] == pytest.approx(theirs, rel=1e-5)
    assert records[KAN]["parameters"]["readout"] > records[MLP]["parameters"]["readout"]
    assert records[KAN]["data"] == records[MLP]["data"]
    assert records[KAN]["overrides"] == records[MLP]["overrides"]


def test_the_same_command_again_does_nothing(site):
    before = {path.name: path.read_bytes() for path in (site / "records").glob("*.json")}
    again = bench(site)
    assert again.returncode == 0
    assert "2 runs, 2 of them done" in again.stderr
    assert "..." not in again.stderr
    assert {path.name: path.read_bytes() for path in (site / "records").glob("*.json")} == before


def test_the_report_of_these_records(site):
    words = [*PROGRAM, "report", "--budget=tiny", f"--benchmarks={site}", f"--records={site}/records"]
    for out in ("one", "two"):
        done = subprocess.run([*words, f"--out={site / out}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "report.md" in done.stdout
    for path in (site / "one").iterdir():
        assert path.read_bytes() == (site / "two" / path.name).read_bytes()
    assert "KAN in the output block" in (site / "one" / "report.md").read_text()


def begun(folder, job):
    """Waits until the training of a job runs."""
    log = folder / "work" / job / "nequip-train.log"
    for _ in range(1200):
        if log.is_file() and log.stat().st_size:
            return
        time.sleep(0.1)
    raise AssertionError("the training did not start")


def workers(folder):
    """Process numbers of everything that works for a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(folder).encode() in command:
            found.append(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_kill_at_any_time_and_go_on(site, tmp_path):
    """Everything is killed during a run; then only the main process; each time the same command goes on."""
    folder = declare(tmp_path, 3, ("mlp", "output"))
    (folder / "records").mkdir()
    kept = folder / "records" / f"{MLP}.json"
    kept.write_bytes((site / "records" / f"{MLP}.json").read_bytes())
    before = kept.read_bytes()

    with subprocess.Popen(words(folder), stderr=subprocess.DEVNULL) as first:
        begun(folder, KAN)
        for pid in [first.pid, *workers(folder)]:
            with_no_mercy(pid)
    assert list(read_records(folder / "records")) == [MLP]

    shutil.rmtree(folder / "work" / KAN)  # so that a log is that of the next training
    with subprocess.Popen(words(folder), stderr=subprocess.DEVNULL) as second:
        begun(folder, KAN)
        second.kill()  # its worker lives on and holds the lock
    trained_in = (folder / "work" / KAN).stat().st_ino
    third = bench(folder)
    assert third.returncode == 0, third.stderr
    assert "another process is at it" in third.stderr
    assert set(read_records(folder / "records")) == {MLP, KAN}
    assert (folder / "work" / KAN).stat().st_ino == trained_in  # nobody trained it a second time
    assert kept.read_bytes() == before


def with_no_mercy(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def hears_ctrl_c():
    """A shell's background jobs ignore the signal, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ctrl_c_ends_everything_in_one_line(tmp_path, hears_ctrl_c):
    settings = yaml.safe_load((BENCHMARKS / "budgets" / "smoke.yaml").read_text())["settings"]
    settings["allegro"] = [*settings["allegro"], "n_epochs=3000"]  # not over before it is stopped
    folder = declare(tmp_path, 3, ("output",), baseline="output", settings=settings)
    with subprocess.Popen(words(folder), stderr=subprocess.PIPE, text=True, start_new_session=True) as first:
        try:
            begun(folder, KAN)
            os.killpg(first.pid, signal.SIGINT)  # as a terminal does
            heard = first.communicate(timeout=60)[1]
        except BaseException:
            os.killpg(first.pid, signal.SIGKILL)  # a training of hours
            raise
    assert first.returncode == 130
    assert heard.splitlines()[-1] == "stopped; the same command goes on"
    assert "Traceback" not in heard
    assert workers(folder) == []


def test_a_wrong_override_stops_before_anything_runs(tmp_path):
    settings = {"allegro": ["training_module.model.num_featurs=8"]}
    folder = declare(tmp_path, 3, ("mlp", "output"), settings=settings)
    done = bench(folder)
    assert done.returncode == 2
    assert "error: allegro/ag-mlp with training_module.model.num_featurs=8: " in done.stderr
    assert "Could not override 'training_module.model.num_featurs'" in done.stderr
    assert not (folder / "work").exists()


def test_a_run_that_fails_is_named_with_its_reason_and_the_others_go_on(tmp_path):
    settings = yaml.safe_load((BENCHMARKS / "budgets" / "smoke.yaml").read_text())["settings"]
    settings["allegro/ag-mlp"] = ["training_module.optimizer.lr=-1"]
    folder = declare(tmp_path, 3, ("mlp", "output"), settings=settings)
    done = bench(folder, "--jobs=2")
    assert done.returncode == 2
    assert f"{MLP}: failed: nequip-train failed: ValueError: Invalid learning rate: -1" in done.stderr
    assert f"benchmarks.wang2024: error: 1 of 2 runs failed: {MLP}" in done.stderr
    assert list(read_records(folder / "records")) == [KAN]


def test_without_its_data_a_table_is_left_out(tmp_path):
    folder = declare(tmp_path, 5, ("mlp", "output"))
    done = bench(folder, KAN_HEADS_DATA=str(tmp_path), KAN_HEADS_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0
    assert "left out for want of data: tables 5 (hfo2: " in done.stderr
    assert read_records(folder / "records") == {}


@pytest.mark.parametrize(
    ("table", "row", "job", "data", "metric"),
    [
        (7, "mlp", "mace-carbon-mlp-seed1", "carbon", "test_stress_rmse"),
        (9, "mlp", "etgnn-sio2-mlp-seed1", "sio2", "test_mae"),
    ],
)
def test_the_other_programs(tmp_path, table, row, job, data, metric):
    if availability(lookup(data)) not in ("folder", "cache"):
        pytest.skip(f"{data} is not in KAN_HEADS_DATA")
    folder = declare(tmp_path, table, (row,))
    done = bench(folder)
    assert done.returncode == 0, done.stderr
    record = read_records(folder / "records")[job]
    assert record["metrics"][metric] > 0
    assert record["parameters"]["total"] > record["parameters"]["readout"] > 0
    assert record["epochs"] == 2
    assert (record["dynamics"] is None) == (data == "sio2")
    assert json.dumps(record, allow_nan=False)
