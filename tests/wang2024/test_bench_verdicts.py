"""Verdicts on claims: each branch of the rule, by numbers that can be checked by hand."""

import dataclasses

import bench_records as made
import pytest
from scipy import stats

from benchmarks.wang2024.report.runs import join
from benchmarks.wang2024.report.samples import Sample, relative_change, welch_interval
from benchmarks.wang2024.report.verdicts import CANNOT_TELL, NOT_REPRODUCED, REPRODUCED, judge
from benchmarks.wang2024.table import Claim

MLP, KAN = "allegro/hfo2-mlp", "allegro/hfo2-all-gaussian"


def verdict(kan, mlp, expect="lower", **changes):
    table = made.small_table([("kan", "val_force_mae", expect)])
    records = made.runs_of(MLP, mlp, **changes) | made.runs_of(KAN, kan, **changes)
    return judge(join(table, records), table.claims[0])


def plain(text):
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def test_mean_deviation_and_change_by_hand():
    sample = Sample((0.2, 0.3, 0.7))
    assert sample.mean == pytest.approx(0.4)
    # ((0.2)^2 + (0.1)^2 + (0.3)^2) / 2 = 0.07
    assert sample.sd == pytest.approx(0.07**0.5)
    assert relative_change(Sample((1.0, 2.0)), Sample((2.0, 2.0))) == pytest.approx(-25)
    assert Sample((1.0,)).sd is None
    assert Sample((1.0, None, 3.0)).mean is None


def test_welch_interval_by_hand_and_by_scipy():
    # Variances 1 and 1, so 4 degrees of freedom; t(0.975, 4) = 2.776445; sqrt(2/3) = 0.816497.
    assert welch_interval(Sample((1.0, 2.0, 3.0)), Sample((4.0, 5.0, 6.0))) == pytest.approx(
        (-3 - 2.776445 * 0.816497, -3 + 2.776445 * 0.816497), abs=1e-5
    )
    a, b = (0.31, 0.35, 0.42, 0.30), (0.29, 0.80, 0.55)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert welch_interval(Sample(a), Sample(b)) == pytest.approx((expected.low, expected.high))


def test_samples_without_spread_have_an_interval_without_width():
    assert welch_interval(Sample((1.0, 1.0)), Sample((2.0, 2.0))) == (-1.0, -1.0)


@pytest.mark.parametrize(
    ("kan", "mlp", "expect", "outcome"),
    [
        ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "lower", REPRODUCED),
        ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "higher", NOT_REPRODUCED),
        ((4.0, 5.0, 6.0), (1.0, 2.0, 3.0), "lower", NOT_REPRODUCED),
        ((4.0, 5.0, 6.0), (1.0, 2.0, 3.0), "higher", REPRODUCED),
        ((1.0, 2.0, 3.0), (2.0, 3.0, 4.0), "lower", CANNOT_TELL),
        ((1.0, 2.0, 3.0), (2.0, 3.0, 4.0), "higher", CANNOT_TELL),
        ((2.0, 2.0, 2.0), (2.0, 2.0, 2.0), "lower", CANNOT_TELL),
        ((1.00, 1.01, 1.02), (1.01, 1.02, 1.03), "similar", REPRODUCED),  # -1 % +- 2.2 %
        ((1.00, 1.01, 1.02), (1.20, 1.21, 1.22), "similar", NOT_REPRODUCED),
        ((1.20, 1.21, 1.22), (1.00, 1.01, 1.02), "similar", NOT_REPRODUCED),
        ((1.00, 1.01, 1.02), (1.05, 1.06, 1.07), "similar", CANNOT_TELL),  # straddles -5 %
        ((0.80, 1.00, 1.20), (0.80, 1.00, 1.20), "similar", CANNOT_TELL),  # equal, but far too wide
    ],
)
def test_outcome_follows_from_the_interval(kan, mlp, expect, outcome):
    assert verdict(kan, mlp, expect).outcome == outcome


def test_verdict_says_change_interval_and_published_change():
    found = verdict((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert found.change == pytest.approx(-60)
    assert found.interval == pytest.approx((-105.339, -14.661), abs=1e-3)
    assert found.published == pytest.approx(-25)  # 0.015 against 0.02
    assert plain(found.reason) == "95 % interval -105.3 % to -14.7 %"


def test_stand_in_data_never_judge_a_claim():
    data = made.record(MLP, 1, {})["data"] | {"stand_in": True}
    found = verdict((1.0, 1.1, 0.9), (4.0, 4.1, 3.9), data=data)
    assert found.outcome == CANNOT_TELL
    assert plain(found.reason) == "stand-in data (on it: lower by 75.0 %)"
    assert "higher by 300.0" in verdict((4.0, 4.1, 3.9), (1.0, 1.1, 0.9), data=data).reason


def test_stand_in_data_tell_what_a_row_costs():
    """Times depend on the atoms, not on their labels."""
    changes = {"data": made.record(MLP, 1, {})["data"] | {"stand_in": True}}
    table = made.small_table([("kan", "seconds_per_epoch", "higher")])
    records = {}
    for config, times in ((MLP, (9.0, 1.0, 1.0)), (KAN, (9.0, 2.0, 2.0))):
        clocks = {"epoch_wall_s": list(times), "epoch_cpu_s": list(times)}
        records |= made.runs_of(config, (0.1, 0.1, 0.1), **changes, **clocks)
    found = judge(join(table, records), table.claims[0])
    assert found.outcome == REPRODUCED
    assert found.change == pytest.approx(100)


def test_a_claim_may_name_another_row_than_the_baseline():
    claim = Claim("a claim", "kan", "val_force_mae", "lower", against="linear")
    table = dataclasses.replace(made.small_table(), claims=(claim,))
    linear = made.runs_of("allegro/hfo2-output-linear", (2.0, 2.1, 1.9))
    records = made.runs_of(MLP, (0.1, 0.2, 0.3)) | made.runs_of(KAN, (1.0, 1.1, 0.9)) | linear
    found = judge(join(table, records), claim)
    assert (found.outcome, found.change) == (REPRODUCED, pytest.approx(-50))


def test_values_count_not_records():
    """Three seeds of which one lacks the metric are two."""
    records = made.runs_of(MLP, (4.0, 4.1, 3.9)) | made.runs_of(KAN, (1.0, 1.1, 0.9))
    for record in list(records.values())[1:3]:
        record["metrics"] = {}
    table = made.small_table([("kan", "val_force_mae", "lower")])
    assert judge(join(table, records), table.claims[0]).outcome == CANNOT_TELL


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_seeds_judge_nothing(n):
    found = verdict((1.0, 1.01, 1.02)[:n], (4.0, 4.01, 4.02)[:n])
    assert found.outcome == CANNOT_TELL
    assert found.reason.startswith("1 seed," if n == 1 else "2 seeds,")


def test_only_seeds_that_both_rows_have_are_compared():
    found = verdict((1.0, 1.01, 1.02, 50.0), (4.0, 4.01, 4.02))
    assert found.change == pytest.approx(100 * (1.01 - 4.01) / 4.01)
    assert found.outcome == REPRODUCED


@pytest.mark.parametrize(
    ("kan", "mlp", "reason"),
    [
        ((), (1.0, 1.0, 1.0), "KANs: not run"),
        ((1.0, 1.0, 1.0), (), "MLPs: not run"),
        ((1.0, None, 1.0), (2.0, 2.0, 2.0), "KANs: diverged in 1 of 3 seeds"),
        ((1.0, 1.0, 1.0), (None, None, None), "MLPs: diverged in 3 of 3 seeds"),
        ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), "the baseline is 0"),
    ],
)
def test_missing_and_diverged_runs_judge_nothing(kan, mlp, reason):
    found = verdict(kan, mlp)
    assert (found.outcome, found.reason, found.change) == (CANNOT_TELL, reason, None)


def test_a_metric_that_was_not_measured_judges_nothing():
    table = made.small_table([("kan", "val_force_mae", "lower")])
    records = made.runs_of(MLP, [1.0] * 3) | made.runs_of(KAN, [1.0] * 3, metric="another")
    assert judge(join(table, records), table.claims[0]).reason == "KANs: not measured"


def test_rows_on_different_data_judge_nothing():
    table = made.small_table([("kan", "val_force_mae", "lower")])
    other = made.record(MLP, 1, {})["data"] | {"files": {"train.extxyz": "bb"}}
    records = made.runs_of(MLP, [4.0, 5.0, 6.0]) | made.runs_of(KAN, [1.0, 2.0, 3.0], data=other)
    found = judge(join(table, records), table.claims[0])
    assert found.outcome == CANNOT_TELL
    assert "same data" in found.reason


def test_different_epochs_are_said():
    table = made.small_table([("kan", "val_force_mae", "lower")])
    records = made.runs_of(MLP, [4.0, 5.0, 6.0], epochs=8) | made.runs_of(KAN, [1.0, 2.0, 3.0], epochs=9)
    assert judge(join(table, records), table.claims[0]).reason.endswith("epochs differ: 9 against 8")


def test_training_time_is_judged_per_epoch_and_published_time_compared_in_hours():
    table = made.small_table([("kan", "seconds_per_epoch", "higher")])
    records = made.runs_of(MLP, [1.0] * 3, epoch_cpu_s=[9.0, 1.0, 2.0, 1.0])
    records |= made.runs_of(KAN, [1.0] * 3, epoch_cpu_s=[9.0, 3.0, 3.0, 4.0])
    found = judge(join(table, records), table.claims[0])
    assert (found.outcome, found.change) == (REPRODUCED, pytest.approx(200))
    assert found.published == pytest.approx(-50)  # 12.5 h against 25 h
