"""benchmarks/gpu runs on a machine that is seldom at hand, so what does not need one is tested here."""

import json
import pathlib
import re
import sys
import time

import pytest
import torch

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.gpu import checks  # noqa: E402
from benchmarks.gpu.compare import MLP, compare  # noqa: E402
from benchmarks.gpu.log import OK, SKIPPED, Log  # noqa: E402
from benchmarks.gpu.summary import summary  # noqa: E402


def _wait(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)


def test_rows_are_written_at_once_and_failures_are_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    log = Log(1.0, "cpu", path)
    log.row("part", "good", figure=1.23456789)
    assert log.attempt("part", "bad", lambda: 1 / 0, rows=7) is None
    assert log.attempt("part", "fine", lambda: 5) == 5
    good, bad = map(json.loads, path.read_text().splitlines())
    assert (good["status"], good["figure"], good["torch"]) == (OK, 1.23457, torch.__version__)
    assert bad["status"] == "failed: ZeroDivisionError: division by zero"
    assert bad["rows"] == 7


def test_what_takes_too_long_is_interrupted_also_inside_another_attempt():
    log = Log(1.0, "cpu", None)

    def outer() -> None:
        log.attempt("part", "inner", lambda: _wait(60.0), most=0.2)
        _wait(60.0)

    began = time.monotonic()
    log.attempt("part", "outer", outer, most=0.6)
    assert time.monotonic() - began < 30.0
    assert [row["name"] for row in log.rows] == ["inner", "outer"]
    assert all("took longer" in row["status"] for row in log.rows)


def test_nothing_begins_when_the_time_is_up():
    log = Log(0.0, "cpu", None)
    log.attempt("part", "late", lambda: pytest.fail("begun"))
    assert log.rows[0]["status"] == SKIPPED


def test_layers_are_right_and_a_wrong_one_is_noticed(monkeypatch):
    config = dict(checks.configs())["bspline 2 zero"]
    monkeypatch.setattr(checks, "configs", lambda: iter([("bspline 2 zero", config)]))
    log = Log(1.0, "cpu", None)
    checks.check(log, small=False)
    assert len(log.rows) == 2 * 2 * 6
    assert {row["status"] for row in log.rows} == {OK}
    right = checks.reference
    monkeypatch.setattr(checks, "reference", lambda model: right(model.__class__(model.dims)).double())
    checks.check(log, small=False)
    assert "wrong" in {row["status"] for row in log.rows}
    assert "wrong: float64 value" in summary(log.rows)


def test_a_step_that_fails_leaves_the_others_their_times():
    log = Log(1.0, "cpu", None)
    work = {MLP: lambda: torch.ones(9).sum(), "good": lambda: torch.ones(9).sum(), "bad": lambda: 1 / 0}
    compare(log, "blocks", work, {"widths": [9, 1], "rows": 9, "phase": "train"}, rounds=3, memory=True)
    status = {row["name"]: row["status"] for row in log.rows}
    assert status == {"bad": "failed: ZeroDivisionError: division by zero", "good": OK}
    table = summary(log.rows)
    assert "good" in table
    assert "division by zero" in table


def test_carried_versions_are_those_of_the_tests():
    tested = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.M))
    listed = re.findall(r"^([\w-]+)==(\S+)", (ROOT / "benchmarks/gpu/requirements.txt").read_text(), re.M)
    assert {name: tested[name] for name, _ in listed} == dict(listed)
