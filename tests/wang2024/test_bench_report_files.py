"""The files of the report: pictures, HTML, and that the same records give the same bytes."""

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
from bench_records import report, table_rows

from benchmarks.markdown import escape
from benchmarks.wang2024.report import bars, write
from benchmarks.wang2024.report.html import anchor
from benchmarks.wang2024.report.runs import join
from benchmarks.wang2024.report.samples import Sample

MLP, KAN, LINEAR = "allegro/hfo2-mlp", "allegro/hfo2-all-gaussian", "allegro/hfo2-output-linear"
NASTY = r"a <b> & c|d *e* _f_ `g` [h](i) $j$ ~~k~~ l\m"


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


def test_a_bar_that_would_hide_the_others_is_cut():
    def bar(*values):
        return bars.Bar("row", "val", Sample.of(values), "")

    assert bars.right_end([bar(1.0, 2.0), bar(3.0), bar(4.0)]) is None
    assert bars.right_end([bar(0.0), bar(0.0)]) is None
    assert bars.right_end([bar(None), bar(2.0), bar(1.0), bar(3.0), bar(90.0)]) == pytest.approx(3.3)


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
from benchmarks.wang2024.report import write
from benchmarks.wang2024.table import load_tables
tables = {n: t for n, t in load_tables(made.BENCHMARKS).items() if n in (1, 4, 5, 8)}
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
    code = f"import sys, benchmarks.wang2024.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_same_process_gives_the_same_bytes_again(tmp_path):
    records = made.runs_of(MLP, [1.0, 2.0, 3.0], curves={"val_force_mae": [2.0, 1.0]}, epoch_cpu_s=[1.0, 1.0])

    def digests(name):
        paths = write({5: made.small_table()}, records, made.BUDGET, tmp_path / name, made.CONFIGS)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    assert digests("a") == digests("b")
