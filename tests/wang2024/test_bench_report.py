"""The report: what its numbers, tables and marks say."""

import dataclasses

import bench_records as made
import pytest
from bench_records import plain, report, split, table_rows

from benchmarks.wang2024.report import configurations, sections
from benchmarks.wang2024.report.equal_time import equal_time
from benchmarks.wang2024.report.gate import gate
from benchmarks.wang2024.report.numbers import measured, number, percent, printed
from benchmarks.wang2024.report.runs import clock_of, hours, join, seconds_per_epoch
from benchmarks.wang2024.report.samples import Sample
from benchmarks.wang2024.table import Column, Row, Table, load_tables

MLP, KAN, LINEAR = "allegro/hfo2-mlp", "allegro/hfo2-all-gaussian", "allegro/hfo2-output-linear"
NASTY = r"a <b> & c|d *e* _f_ `g` [h](i) $j$ ~~k~~ l\m"


# Numbers


def test_numbers_as_texts():
    assert plain(number(-1234.56, 1)) == "-1,234.6"
    assert number(-0.01, 1) == "0.0"
    assert [plain(percent(x)) for x in (12.34, -0.04, -5.0, None)] == ["+12.3 %", "0.0 %", "-5.0 %", "—"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((0.2, 0.3, 0.7), "0.40 ± 0.26"),
        ((1.0, 2.0), "1.50 ± 0.71 (n = 2)"),
        ((1.0,), "1.00 (n = 1)"),
        ((1.0, None, 3.0), "diverged (1 of 3)"),
        ((float("nan"), 1.0, 1.0), "diverged (1 of 3)"),
        ((0.001, 0.002, 0.003), "0.002 ± 0.001"),  # never a zero that is none
    ],
)
def test_measured_values_as_texts(values, text):
    assert plain(measured(Sample.of(values), 2)) == text


def test_what_is_missing_has_a_name():
    assert measured(None, 2, was_run=False) == "not run"
    assert measured(None, 2, was_run=True) == "not measured"


def test_published_values_keep_their_digits():
    cells = {"a": {None: {"x": 0.2}}, "b": {None: {"x": 0.035}}, "c": {None: {"x": 1.444}}}
    table = made.small_table(published=cells)
    assert [printed(table, row, "x") for row in "abcd"] == ["0.200", "0.035", "1.444", "—"]
    cells = {"a": {1: {"x": 309.4}, 2: {"x": 305.1}, 3: {"x": 320.8}}, "gap": {None: {"x": 1100.0}}}
    table = made.small_table(published=cells)
    assert plain(printed(table, "a", "x")) == "311.8 ± 8.1"
    assert printed(table, "gap", "x") == "1,100"


@pytest.mark.parametrize(
    ("text", "expected"), [("4h 51m", 4.85), ("2d 8h 55m", 56 + 55 / 60), ("7d 3m", 168.05)]
)
def test_published_times_in_hours(text, expected):
    assert hours(text) == pytest.approx(expected)


def test_seconds_per_epoch_leave_out_the_first():
    record = {"epoch_cpu_s": [90.0, 2.0, 4.0, 3.0], "epoch_wall_s": [7.0]}
    assert seconds_per_epoch(record, "cpu") == 3.0
    assert seconds_per_epoch(record, "wall") == 7.0
    assert seconds_per_epoch({}, "cpu") is None


def test_cpu_time_counts_on_one_thread_of_a_processor_only():
    one = made.record(MLP, 1, {})
    assert clock_of([one, one]) == "cpu"
    for change in ({"threads": 2}, {"device": "cuda"}):
        assert clock_of([one, one | {"device": one["device"] | change}]) == "wall"


def test_equal_time_by_hand():
    table = made.small_table()
    curves = {"val_force_mae": [8.0, 4.0, 2.0, 1.0]}
    records = made.runs_of(KAN, [1.0] * 2, curves=curves, epoch_cpu_s=[10.0] * 4)
    curves = {"val_force_mae": [9.0, 3.0, 5.0, None]}
    records |= made.runs_of(MLP, [1.0] * 2, curves=curves, epoch_cpu_s=[5.0] * 4)
    runs = join(table, records)
    found = equal_time(runs, runs.row("kan"), "val_force_mae")
    # The baseline ends after 20 s, when the KAN has done two epochs.
    assert found.time_s.values == (20.0, 20.0)
    assert (found.row.values, found.baseline.values) == ((4.0, 4.0), (3.0, 3.0))
    assert (found.row_all.values, found.baseline_all.values) == ((1.0, 1.0), (3.0, 3.0))
    # The other way around, the row is the one that has time for everything.
    runs = join(dataclasses.replace(table, baseline="kan"), records)
    found = equal_time(runs, runs.row("mlp"), "val_force_mae")
    assert (found.row.values, found.baseline.values) == ((3.0, 3.0), (4.0, 4.0))


def test_equal_time_without_a_finished_epoch_is_no_value(tmp_path):
    slow = {"curves": {"val_force_mae": [1.0, 1.0]}, "epoch_cpu_s": [100.0, 100.0]}
    quick = {"curves": {"val_force_mae": [2.0, 2.0]}, "epoch_cpu_s": [1.0, 1.0]}
    records = made.runs_of(MLP, [1.0] * 3, **quick) | made.runs_of(KAN, [1.0] * 3, **slow)
    row = table_rows(report(tmp_path, made.small_table(), records), "best by then")[0]
    assert (row["best by then"], row["change"]) == ("no value in 3 of 3", "—")


# The tables


def test_measured_and_published_stand_in_columns_of_their_own(tmp_path):
    records = made.runs_of(MLP, [0.04, 0.05, 0.06]) | made.runs_of(KAN, [0.02, 0.03, 0.04])
    text = report(tmp_path, made.small_table(), records)
    mlp, kan, linear = table_rows(text, "validation F MAE (eV/Å), measured")
    heading = "validation F MAE (eV/Å)"
    assert mlp == {
        "row": "MLPs",
        "seeds": "3",
        f"{heading}, measured": "0.0500 ± 0.0100",
        "change": "baseline",
        f"{heading}, published": "0.020",
        "change, published": "baseline",
    }
    assert kan[f"{heading}, measured"] == "0.0300 ± 0.0100"
    assert (kan["change"], kan["change, published"]) == ("-40.0 %", "-25.0 %")
    assert linear["row"] == "*control:* linear readout"
    assert [linear[key] for key in list(linear)[2:]] == ["not run", "—", "—", "—"]


def test_published_values_never_stand_in_for_measured_ones(tmp_path):
    text = report(tmp_path, made.small_table(), {})
    for row in table_rows(text, "measured"):
        assert row["validation F MAE (eV/Å), measured"] == "not run"
        assert row["seeds"] == "0"


def test_too_few_seeds_and_divergence_are_marked(tmp_path):
    records = made.runs_of(MLP, [0.04, 0.06]) | made.runs_of(KAN, [0.02, None, 0.04])
    mlp, kan, _ = table_rows(report(tmp_path, made.small_table(), records), "measured")
    assert (mlp["seeds"], kan["seeds"]) == ("2 (too few)", "3")
    assert mlp["validation F MAE (eV/Å), measured"] == "0.0500 ± 0.0141 (n = 2)"
    assert kan["validation F MAE (eV/Å), measured"] == "diverged (1 of 3)"
    assert kan["change"] == "—"


def test_costs_have_parameters_times_and_the_gate(tmp_path):
    records = made.runs_of(MLP, [1.0] * 3) | made.runs_of(KAN, [1.0] * 3, epoch_cpu_s=[5.0, 1.5, 1.5, 1.5])
    mlp, kan, linear = table_rows(report(tmp_path, made.small_table(), records), "parameters of the readout")
    assert list(mlp.values())[:4] == ["MLPs", "768", "43,210", "1.00 ± 0.00"]
    assert list(kan.values())[3:7] == ["1.50 ± 0.00", "+50.0 %", "12h 30m", "-50.0 %"]
    assert list(kan.values())[7] == "0.030 ± 0.000, 301 ± 0 K, passed 3/3"
    assert list(linear)[7].endswith("2 ps NVE with velocities of 300 K")
    assert list(linear.values())[1:4] == ["not run"] * 3


def test_gate_names_failures():
    records = made.runs_of(KAN, [1.0] * 3)
    broken = {"stable": False, "steps": 812, "min_distance_A": 0.44, "drift_meV_per_atom_per_ps": 99.0}
    first, second, third = records.values()
    second["dynamics"] |= broken
    third["dynamics"] |= {"atoms_lost": 2}
    text = plain(gate(join(made.small_table(), records).row("kan")))
    assert text == (
        "0.030, 301 K, passed 1/3, **FAILED**: seed 2 broke off after 812 steps, atoms as close as 0.44 Å; "
        "seed 3 lost 2 atoms"
    )
    second["dynamics"] = {"stable": False, "steps": 0, "timestep_fs": 1.0, "error": "ValueError: no *frame*"}
    third["dynamics"] |= {"atoms_lost": 0, "drift_meV_per_atom_per_ps": -13.0}
    assert plain(gate(join(made.small_table(), records).row("kan"))).endswith(
        "passed 1/3, **FAILED**: seed 2: ValueError: no \\*frame\\*; seed 3 drifts by -13.0 meV/atom/ps"
    )
    for record in records.values():
        record["dynamics"] = None
    assert gate(join(made.small_table(), records).row("kan")) == "not run"
    assert first["job"] == "allegro-hfo2-all-gaussian-seed1"


def test_stand_in_data_and_changed_files_are_warned_of_in_bold(tmp_path):
    data = made.record(MLP, 1, {})["data"] | {
        "stand_in": True, "paper_data": False, "prepared": "ag-emt", "name": "ag", "relation": "from EMT",
    }  # fmt: skip
    git = {"commit": "f" * 40, "dirty": True}
    text = report(tmp_path, made.small_table(), made.runs_of(MLP, [1.0] * 3, data=data, git=git))
    assert "**Stand-in data: ag-emt in place of ag; from EMT.**" in text
    assert "**Some runs were made with files that differ from the commit.**" in text
    assert "commit: ffffffffff with changes" in text


def test_records_of_another_budget_are_left_out(tmp_path):
    records = made.runs_of(MLP, [1.0] * 3, budget="long")
    text = report(tmp_path, made.small_table(), records)
    assert "3 records of other budgets left out." in text
    assert table_rows(text, "measured")[0]["seeds"] == "0"


def test_without_records_every_claim_is_open(tmp_path):
    table = made.small_table([("kan", "val_force_mae", "lower")])
    text = report(tmp_path, table, {})
    assert "Of 1 claims, at this budget: 0 reproduced, 0 not reproduced, 1 cannot tell." in text
    assert not list(tmp_path.glob("*.svg"))


def literature():
    rows = (Row("published", "MACE with KANs", "mace/carbon-output-published"), Row("gap", "GAP"))
    values = {"published": {1: {"test_force_rmse": 309.4}}, "gap": {None: {"test_force_rmse": 1100.0}}}
    column = Column("test_force_rmse", "F RMSE", "meV/Å", 1)
    return made.small_table(
        number=8, kind="literature", data="carbon", rows=rows, columns=(column,), baseline="published",
        published=values, published_times={},
    )  # fmt: skip


def test_literature_has_published_values_only_and_the_share_of_the_data_is_said(tmp_path):
    data = made.record(MLP, 1, {})["data"] | {
        "name": "carbon",
        "sizes": {"train": 388, "val": 20, "test": 450},
        "available": {"train": 388, "val": 20, "test": 450},
    }
    records = made.runs_of("mace/carbon-output-published", [300.0] * 3, "test_force_rmse", data=data)
    text = report(tmp_path, literature(), records)
    ours, gap = table_rows(text, "measured")
    assert ours["F RMSE (meV/Å), measured"] == "300.0 ± 0.0"
    assert list(gap.values())[1:5] == ["literature", "—", "—", "1,100"]
    assert (
        "Training frames, ours: 388 (of 388 available to train on); published: 4,080; ours are 9.5 % of "
        "them. Test frames, ours: 450 of the paper's 450."
    ) in text


def test_configurations_are_compared_with_the_papers_table(tmp_path):
    folder = tmp_path / "configs" / "allegro"
    folder.mkdir(parents=True)
    kan = "{scope: embedding_latent, basis: fourier}"
    (folder / "x.yaml").write_text(f"training_module: {{model: {{kan: {kan}}}}}\n")
    theirs = {"besides_output": "KAN", "output": "KAN", "basis": "fourier"}
    table = Table(
        1, "Configurations", "summary", "", (Row("allegro/x", "A"),), (), (), "", None, (), {}, {},
        {"allegro/x": theirs},
    )  # fmt: skip
    text = sections.summary(table, tmp_path / "configs")[0]
    assert split(text.splitlines()[-1])[2:] == ["KAN", "MLP", "fourier", "KAN", "KAN", "fourier", "**no**"]


def test_configurations_of_the_project_are_those_of_the_paper():
    table = load_tables(made.BENCHMARKS)[1]
    for _, config, ours, theirs in configurations.rows(table, made.CONFIGS):
        assert ours == theirs, config


# Pictures and files
