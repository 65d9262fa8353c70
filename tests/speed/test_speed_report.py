"""Tables show ratios beside their targets."""

import io
import json
import pathlib

import pytest
from rich.console import Console

from benchmarks.speed.report import ModelReport
from kan_heads.speed import Row
from kan_heads.speed.report import to_json
from kan_heads.speed.targets import extra_memory, to_mlp, to_reference

RECORDS = pathlib.Path(__file__).parents[2] / "benchmarks" / "speed" / "records"
SHARED = {"device": "cpu", "threads": 2, "repeats": 9, "ratio_error": 0.01, "host": "a CPU"}
SHARED |= {"torch": "2.0", "kernels": "torch formulas"}


def rows(case, ratio, peak, n=2_000, dtype="float32", data=None, definition=None, structures=None):
    """The rows of an MLP and of a KAN with given ratios."""
    found = []
    for model, times, memory in (("mlp", 1.0, 100.0), ("kan", ratio, peak)):
        for phase in ("train", "inference"):
            found.append(
                Row(
                    case=case,
                    basis="bspline" if model == "kan" else None,
                    rows=n,
                    dtype=dtype,
                    phase=phase,
                    median_ms=2.0 * times,
                    ratio_to_mlp=times,
                    ratio_to_reference=definition if model == "kan" else None,
                    peak_mb=memory if phase == "train" else None,
                    features=64,
                    model=model,
                    data=data,
                    structures=structures,
                    **SHARED,
                )
            )
    return found


def text(found):
    report = ModelReport(found)
    console = Console(file=io.StringIO(), width=160)
    for table in report.tables():
        console.print(table)
    console.print(report.summary())
    return console.file.getvalue()


def test_a_target_is_met_or_missed():
    shown = text(rows("readout-1layer", 0.5, 50.0) + rows("readout-2layer-8", 2.6, 50.0))
    assert shown.count("0.5 ok") == 2
    assert shown.count("2.6 miss") == 2
    assert "2 of 4 targets met" in shown
    assert "a CPU, 2 thread(s), torch 2.0" in shown


def test_few_rows_have_a_target_of_their_own():
    assert "1.5 ok" in text(rows("readout-1layer", 1.5, 50.0, n=71))
    assert "1.5 miss" in text(rows("readout-1layer", 1.5, 50.0))


def test_the_definition_has_a_target():
    assert "1/40 ok" in text(rows("readout-1layer", 0.5, 50.0, definition=1 / 40))
    assert "1/20 miss" in text(rows("readout-1layer", 0.5, 50.0, definition=1 / 20))


def test_targets_are_for_single_precision():
    shown = text(rows("readout-1layer", 0.5, 50.0, dtype="float64"))
    assert "ok" not in shown
    assert "0.5" in shown


def test_whole_models_show_errors_and_the_memory_that_a_kan_adds():
    shown = text(
        rows("allegro-output", 1.02, 101.0, data="hfo2") + rows("nequip-output", 1.04, 103.0, data="ag")
    )
    assert "1.020 ± 0.010 (<= 1.03) ok" in shown
    assert "+1.0 % ok" in shown
    assert "1.040 ± 0.010 (<= 1.03) miss" in shown
    assert "+3.0 % miss" in shown
    assert "hfo2" in shown


def test_mace_has_a_target_for_training_alone():
    shown = text(rows("mace-output", 1.06, 100.0, data="carbon") + rows("mace-all", 1.2, 90.0, data="carbon"))
    assert "1.060 ± 0.010 (<= 1.05) miss" in shown
    assert "0 of 1 targets met" in shown


def test_whole_models_show_structures_per_second_of_training():
    shown = text(rows("etgnn-output", 1.25, 100.0, data="sio2", structures=12))  # 2 ms and 2.5 ms
    mlp, kan = (next(line for line in shown.splitlines() if start in line) for start in ("│ MLP ", "│ KAN "))
    assert " 6000 " in mlp
    assert "on sio2" in kan
    assert " 4800 " in kan
    assert "1.250 ± 0.010 (<= 1.05) miss" in kan


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_stored_results_make_a_report(path):
    stored = json.loads(path.read_text())
    again = json.loads(to_json(Row(**row) for row in stored))
    assert all(new.items() >= old.items() for new, old in zip(again, stored, strict=True))
    shown = text([Row(**row) for row in stored])
    assert all(row["case"] in shown for row in stored)
    assert all(f"on {row['data']}" in shown for row in stored if row["data"])


@pytest.mark.parametrize("phase", ["train", "inference"])
def test_the_targets_are_those_of_the_issue(phase):
    assert to_mlp("readout-2layer-32", phase, 2_000) == 6.5
    assert to_mlp("latent", phase, 5_000) == 8.0
    assert to_mlp("allegro-all", phase, 20_000) == 2.0
    assert to_mlp("readout-1layer", "forward", 2_000) is None
    assert to_reference("readout-1layer", phase) == pytest.approx(1 / 30)
    assert extra_memory("allegro-output") == 0.02
