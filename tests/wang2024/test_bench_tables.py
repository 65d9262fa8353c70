"""What the checkout declares, and what wrong declarations say."""

import csv

import pytest
import yaml
from bench_records import BENCHMARKS, ROOT

from benchmarks.wang2024.budget import load_budget
from benchmarks.wang2024.jobs import composed, jobs_of
from benchmarks.wang2024.table import load_tables
from kan_heads.errors import ConfigError

TABLES = load_tables(BENCHMARKS)
CONFIGS = ROOT / "configs"


def edit(path, **changes):
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def test_the_nine_tables_and_three_figures_of_the_paper_are_declared():
    assert list(TABLES) == list(range(1, 10))
    assert {t.figure: n for n, t in TABLES.items() if t.figure} == {6: 2, 7: 3, 8: 5}


@pytest.mark.parametrize("number", range(2, 10))
def test_every_published_row_is_a_row_and_every_paper_row_is_published(number):
    table = TABLES[number]
    assert set(table.published) == {row.id for row in table.rows if not row.control}
    for seeds in table.published.values():
        for values in seeds.values():
            assert values
            assert set(values) <= {column.metric for column in table.columns}


def test_published_numbers_are_those_that_the_text_of_the_paper_derives_from_them():
    """Percentages of Sections 3.1 and 3.2, from the transcribed tables."""

    def change(number, row, metric):
        values = {name: seeds[None][metric] for name, seeds in TABLES[number].published.items()}
        return round(100 * (values[row] / values["mlp"] - 1), 1)

    assert change(2, "gaussian", "val_force_mae") == -12.5
    assert change(2, "bspline", "val_energy_mae") == -17.1
    assert change(3, "output", "val_energy_mae") == -37.1
    assert change(5, "output", "val_force_mae") == -27.0
    assert change(5, "output", "val_energy_mae") == -36.6
    slower = (
        TABLES[4].published["output"][None]["ms_per_step"] - TABLES[4].published["mlp"][None]["ms_per_step"]
    )
    assert slower == pytest.approx(0.70)


@pytest.mark.parametrize("number", [2, 3, 5, 6, 9])
def test_tables_have_a_linear_and_a_parameter_matched_control(number):
    controls = {row.id for row in TABLES[number].rows if row.control}
    assert {"linear", "matched"} <= controls


@pytest.mark.parametrize("budget", ["smoke", "quick", "gpu", "paper"])
def test_every_job_of_every_budget_composes(budget):
    limits = load_budget(BENCHMARKS, budget)
    for job in jobs_of(TABLES.values(), limits):
        composed(CONFIGS, job.config, tuple(job.overrides))
    assert len({job.name for job in jobs_of(TABLES.values(), limits)}) == len(
        jobs_of(TABLES.values(), limits)
    )


def test_rows_of_a_table_differ_in_the_head_only():
    """Data, epochs and training are the same: what a row changes is in the model."""
    limits = load_budget(BENCHMARKS, "quick")
    for table in (TABLES[n] for n in (2, 3, 5, 6, 9)):
        rest = []
        for config in (row.config for row in table.rows):
            content = dict(composed(CONFIGS, config, tuple(limits.overrides(config))))
            training = dict(content["training_module"])
            del training["model"]
            callbacks = {k: v for k, v in content["callbacks"].items() if k != "calibrate"}
            rest.append({**content, "training_module": training, "callbacks": callbacks})
        assert all(other == rest[0] for other in rest), table.title


def test_smaller_tables_of_published_values_are_plain_numbers():
    for path in (BENCHMARKS / "published").glob("table-[2-9].csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                numbers = {k: v for k, v in row.items() if k not in ("row", "training_time") and v}
                assert all(float(v) > 0 for v in numbers.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "trainin"}, "kind 'trainin' is unknown .did you mean 'training'"),
        ({"titel": "x"}, "'titel' is unknown .did you mean 'title'"),
        ({"baseline": ""}, "lacks 'baseline'"),
        ({"baseline": "mpl"}, "row 'mpl' is unknown .did you mean 'mlp'"),
        ({"rows": [{"id": "mlp"}]}, "a row lacks 'label'"),
        (
            {"claims": [{"text": "x", "row": "mlp", "metric": "f", "expect": "lower"}]},
            "metric 'f' is unknown",
        ),
        ({"columns": [{"metric": "x", "label": "x", "unit": "", "digit": 1}]}, "'digit' is unknown"),
    ],
)
def test_a_wrong_table_names_file_and_name(declared, changes, message):
    edit(declared / "tables" / "table-5.yaml", **changes)
    with pytest.raises(ConfigError, match=rf"table-5.*{message}"):
        load_tables(declared)


def test_a_table_that_is_not_yaml_says_so(declared):
    (declared / "tables" / "table-5.yaml").write_text("title: [")
    with pytest.raises(ConfigError, match=r"table-5\.yaml is not YAML"):
        load_tables(declared)
    (declared / "tables" / "table-5.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"table-5\.yaml must hold a mapping, not NoneType"):
        load_tables(declared)


def test_a_table_of_ones_own_needs_no_published_values(declared):
    (declared / "published" / "table-5.csv").unlink()
    assert load_tables(declared)[5].published == {}


def test_a_published_row_that_no_table_has_is_refused(declared):
    path = declared / "published" / "table-5.csv"
    path.write_text(path.read_text().replace("output,", "outptu,"))
    with pytest.raises(ConfigError, match=r"row 'outptu' is unknown \(did you mean 'output'\?\)"):
        load_tables(declared)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": {"mace": [1]}}, "seeds lacks 'default'"),
        ({"seeds": {"default": [1, 1]}}, "different whole numbers"),
        ({"controls": "no"}, "controls must be true or false, found 'no'"),
        ({"threads": 0}, "threads must be a whole number of at least 1"),
        ({"device": "gpu"}, "device 'gpu' is unknown"),
        ({"data": {"ag": {"train": 1}}}, "data of ag needs whole numbers"),
        ({"settings": {"mace": ["lr"]}}, "settings of mace are key=value, found 'lr'"),
        ({"epochs": 3}, "'epochs' is unknown"),
    ],
)
def test_a_wrong_budget_names_file_and_key(declared, changes, message):
    edit(declared / "budgets" / "quick.yaml", **changes)
    with pytest.raises(ConfigError, match=rf"quick\.yaml.*{message}"):
        load_budget(declared, "quick")


def test_an_unknown_budget_lists_the_known_ones(declared):
    with pytest.raises(
        ConfigError, match=r"--budget 'quik' is unknown \(did you mean 'quick'\?\); valid: gpu"
    ):
        load_budget(declared, "quik")
