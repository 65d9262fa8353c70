"""The report: its numbers, its files, and that the same records give the same bytes."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import warnings
import xml.etree.ElementTree
from html.parser import HTMLParser
from pathlib import Path

import bench_records as made
import pytest

from kan_heads.bench.report import bars, configurations, sections, write
from kan_heads.bench.report.equal_time import equal_time
from kan_heads.bench.report.gate import gate
from kan_heads.bench.report.html import anchor
from kan_heads.bench.report.markdown import escape
from kan_heads.bench.report.numbers import measured, number, percent, printed
from kan_heads.bench.report.runs import clock_of, hours, join, seconds_per_epoch
from kan_heads.bench.report.samples import Sample
from kan_heads.bench.tables import Column, Row, Table, load_tables

MLP, KAN, LINEAR = "allegro/hfo2-mlp", "allegro/hfo2-all-gaussian", "allegro/hfo2-output-linear"
NASTY = r"a <b> & c|d *e* _f_ `g` [h](i) $j$ ~~k~~ l\m"


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def table_rows(markdown, heading):
    """The cells of the first table whose first line has that heading."""
    lines = iter(plain(markdown).splitlines())
    start = next(line for line in lines if line.startswith("|") and heading in line)
    next(lines)
    names, found = split(start), []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(dict(zip(names, split(line), strict=True)))
    return found


def split(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def report(tmp_path, table, records, budget=made.BUDGET):
    write({table.number: table}, records, budget, tmp_path, made.CONFIGS)
    return (tmp_path / "report.md").read_text(encoding="utf-8")


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
    table = load_tables(made.ROOT / "benchmarks")[1]
    for _, config, ours, theirs in configurations.rows(table, made.CONFIGS):
        assert ours == theirs, config


# Pictures and files


def draw(records, **changes):
    return bars.draw(join(made.small_table(**changes), records))


def test_bars_start_at_zero_and_error_bars_are_the_deviations():
    records = made.runs_of(MLP, [0.04, 0.05, 0.06]) | made.runs_of(KAN, [0.02, None, 0.04])
    figure = draw(records)
    upper, lower = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["measured", "published"]
    for axis in figure.axes:
        assert axis.get_xlim()[0] == 0
        assert axis.get_xscale() == "linear"
        assert all(patch.get_x() == 0 for patch in axis.patches)
    assert [patch.get_width() for patch in upper.patches] == pytest.approx([0.05])
    assert [patch.get_width() for patch in lower.patches] == pytest.approx([0.02, 0.015])
    (segment,) = upper.containers[-1].lines[2][0].get_segments() if upper.containers[-1].lines else [None]
    assert segment[:, 0] == pytest.approx([0.04, 0.06])
    assert [text.get_text() for text in upper.texts] == ["diverged", "not run"]


def test_bars_start_at_zero_even_where_a_deviation_reaches_below():
    figure = draw(made.runs_of(MLP, [0.0, 0.0, 0.3]))
    assert figure.axes[0].get_xlim()[0] == 0


def test_pictures_say_how_many_seeds_there_are_if_too_few():
    figure = draw(
        made.runs_of(MLP, [0.04, 0.05]) | made.runs_of(KAN, [0.04] * 3) | made.runs_of(LINEAR, [1.0])
    )
    labels = [" ".join(label.get_text().split()) for label in figure.axes[0].get_yticklabels()]
    assert labels == ["MLPs (n = 2)", "KANs", "linear readout (control, n = 1)"]


def test_files_are_returned_old_pictures_go_and_others_stay(tmp_path):
    (tmp_path / "table-9-bars.svg").write_text("old")
    (tmp_path / "mine.svg").write_text("mine")
    records = made.runs_of(MLP, [1.0] * 3, curves={"val_force_mae": [2.0, 1.0]}, epoch_cpu_s=[1.0, 1.0])
    paths = write({5: made.small_table()}, records, made.BUDGET, tmp_path, made.CONFIGS)
    names = ["report.md", "report.html", "table-5-bars.svg", "table-5-curves.svg"]
    assert [path.name for path in paths] == names
    assert {path.name for path in tmp_path.iterdir()} == {*names, "mine.svg"}


@pytest.mark.parametrize("values", [(None, None, None), (0.0, 0.0, 0.0), (0.1,)])
def test_extreme_runs_can_be_drawn(tmp_path, values):
    changes = {"curves": {"val_force_mae": [values[0]] * 3}, "epoch_cpu_s": [1.0] * 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(tmp_path, made.small_table(published={}), made.runs_of(MLP, values, **changes))
    assert (tmp_path / "table-5-curves.svg").exists()


class Page(HTMLParser):
    """Checks that every element is closed in order; keeps texts, ids and where pictures come from."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.ids, self.images, self.links = [], "", [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        if tag == "img":
            self.images.append(found["src"])
        elif tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def nasty_table():
    table = made.small_table([("kan", "val_force_mae", "lower")], title=NASTY, notes=(NASTY,))
    rows = (table.rows[0], dataclasses.replace(table.rows[1], label=NASTY), *table.rows[2:])
    claim = dataclasses.replace(table.claims[0], text=NASTY)
    return dataclasses.replace(table, rows=rows, claims=(claim,))


def test_html_is_well_formed_whole_and_shows_labels_as_they_are(tmp_path):
    curves = {"curves": {"val_force_mae": [2.0, 1.0]}, "epoch_cpu_s": [1.0, 1.0]}
    records = made.runs_of(MLP, [1.0] * 3, **curves) | made.runs_of(KAN, [1.0] * 3, **curves)
    report(tmp_path, nasty_table(), records)
    page = Page()
    page.feed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.open == []
    # Title, note, two tables of verdicts, values, costs, equal time.
    assert page.text.count(NASTY) == 7
    assert len(page.images) == 2
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.images)
    assert len(set(page.ids)) == len(page.ids)
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    for path in tmp_path.glob("*.svg"):
        assert NASTY.split(" *")[0] in "".join(xml.etree.ElementTree.parse(path).getroot().itertext())


def test_markdown_tables_keep_their_columns_whatever_the_labels(tmp_path):
    text = report(tmp_path, nasty_table(), made.runs_of(KAN, [1.0] * 3))
    assert escape(NASTY) in text
    for special in ("<b>", "c|d", "*e*", "[h]("):
        assert special not in text
    assert len(table_rows(text, "validation F MAE")) == 3


def test_headings_of_html_have_the_anchors_of_github():
    assert anchor("Table 2") == "table-2"
    assert anchor("How to read the tables") == "how-to-read-the-tables"


DIGEST = """
import hashlib, sys
from pathlib import Path
import bench_records as made
from kan_heads.bench.report import write
from kan_heads.bench.tables import load_tables
tables = {n: t for n, t in load_tables(made.ROOT / "benchmarks").items() if n in (1, 4, 5, 8)}
records = made.sample_records()
if sys.argv[2] == "reversed":
    records = dict(reversed(records.items()))
for path in write(tables, records, made.BUDGET, Path(sys.argv[1]), made.CONFIGS):
    print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.slow
def test_same_records_give_the_same_bytes_whoever_asks(tmp_path):
    settings = tmp_path / "matplotlibrc"
    settings.write_text("font.size: 20\nlines.linewidth: 7\nsvg.fonttype: path\naxes.facecolor: red\n")
    here = str(Path(__file__).parent)
    seen = []
    for seed, order, extra in (
        ("1", "sorted", {"LC_ALL": "C"}),
        ("2", "reversed", {"LC_ALL": "C.UTF-8", "MATPLOTLIBRC": str(settings), "TZ": "Asia/Tokyo"}),
    ):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": here, **extra}
        command = [sys.executable, "-c", DIGEST, str(tmp_path / seed), order]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        seen.append(done.stdout)
    assert seen[0] == seen[1]
    assert seen[0].count("\n") == 2 + 3  # two reports, bars of Tables 4 and 5, curves of Table 5
    assert str(tmp_path).encode() not in (tmp_path / "1" / "report.html").read_bytes()


def test_importing_the_report_is_light():
    heavy = ("matplotlib", "scipy", "torch")
    code = f"import sys, kan_heads.bench.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_same_process_gives_the_same_bytes_again(tmp_path):
    records = made.runs_of(MLP, [1.0, 2.0, 3.0], curves={"val_force_mae": [2.0, 1.0]}, epoch_cpu_s=[1.0, 1.0])

    def digests(name):
        paths = write({5: made.small_table()}, records, made.BUDGET, tmp_path / name, made.CONFIGS)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    assert digests("a") == digests("b")
