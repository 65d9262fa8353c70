"""The clock takes turns and leaves the warm-up out; the meter of memory counts what is held at once."""

import gc

import pytest
import torch

from kan_heads.speed.memory import peak_bytes
from kan_heads.speed.timing import Timing, ratio_error, take_turns

MB = 1 << 20


def test_steps_take_turns_after_a_warm_up_of_each():
    calls = []
    steps = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = take_turns(steps, "cpu", rounds=4, slice_seconds=0.0)
    warm_up = calls.index("b")
    assert calls == ["a"] * warm_up + ["b"] * warm_up + ["a", "b"] * 4
    assert warm_up >= 1
    assert all(times[name].repeats == 4 for name in "ab")


def test_a_fast_step_runs_more_often():
    times = take_turns({"a": lambda: None}, "cpu", rounds=2, slice_seconds=0.01)
    assert times["a"].repeats > 10


def test_no_collection_while_the_clock_runs():
    states = []
    take_turns({"a": lambda: states.append(gc.isenabled())}, "cpu", rounds=1, slice_seconds=0.0)
    assert set(states) == {False}
    assert gc.isenabled()


def test_the_median_is_over_all_steps():
    assert Timing([[1.0, 9.0], [2.0], [3.0, 4.0]]).median == 3.0


def test_the_error_of_a_ratio_comes_from_its_scatter_between_turns():
    mlp = Timing([[1.0]] * 5)
    assert ratio_error(Timing([[2.0]] * 5), mlp) == 0.0
    drifting = [1.0, 5.0, 2.0, 7.0, 3.0]  # both slow down together: no error
    assert ratio_error(Timing([[2.0 * t] for t in drifting]), Timing([[t] for t in drifting])) == 0.0
    assert ratio_error(Timing([[t] for t in drifting]), mlp) == pytest.approx(1.25 * 3.0 / 1.35 / 5**0.5)


def test_the_peak_counts_what_is_held_at_once():
    def step():
        a = torch.empty(4 * MB, dtype=torch.uint8)
        b = torch.empty(8 * MB, dtype=torch.uint8)
        del a
        c = torch.empty(2 * MB, dtype=torch.uint8)
        return b, c

    assert peak_bytes(step) == 12 * MB


def test_the_peak_holds_what_a_backward_pass_saves_and_kernels_allocate():
    weight = torch.ones(256, 256, requires_grad=True)
    x = torch.ones(4096, 256)

    def step():
        (x @ weight).square().sum().backward()
        weight.grad = None

    # The product, its square or gradient, and the gradient of the weight.
    step()
    assert peak_bytes(step) == pytest.approx(3 * x.nbytes, rel=0.4)


def test_what_was_there_before_does_not_count():
    held = torch.empty(16 * MB, dtype=torch.uint8)
    assert peak_bytes(lambda: held.add_(1)) < MB


def test_the_profiler_says_nothing(capfd):
    peak_bytes(lambda: torch.ones(10))
    assert capfd.readouterr() == ("", "")
