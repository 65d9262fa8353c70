"""Errors name the options of ``kan-heads eam`` that a user wrote, and its help the settings' own defaults."""

import re
import typing

import pytest

pytest.importorskip("typer", reason="needs the extra [cli]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from eam_data import emt, labelled, strained_copper, write
from eam_md_potentials import copper

from kan_heads.cli import app, eam, eam_md
from kan_heads.cli.options import option_of
from kan_heads.eam.coexistence import CoexistenceConfig
from kan_heads.eam.config import EAMConfig
from kan_heads.eam.heating import HeatingConfig
from kan_heads.eam.training import FitConfig
from kan_heads.elastic import GPA
from kan_heads.errors import ConfigError, SettingError

DEPTH = ("--cohesive-energy", "3.51")
LARGEST = 2**31 - 3

WRONG = {
    "train": {
        "--cutoff": [
            ("-1", "must be above 0"),
            ("1", "must lie beyond inner: 2.* Å"),
            ("nan", "must be above 0"),
        ],
        "--inner": [("-1", "must be above 0"), ("0", "must be above 0")],
        "--grid-size": [("0", "must be a whole number of at least 1")],
        "--density-grid-size": [("-3", "must be a whole number of at least 1")],
        "--order": [("2", "must be 3, 4 or 5")],
        "--cohesive-energy": [("-3.5", "must be above 0"), ("inf", "must be above 0")],
        "--bulk-modulus": [("-1", "must be above 0")],
        "--rounds": [("0", "must be at least 1")],
        "--energy-tolerance": [("0", "must be above 0"), ("-2.5", "must be above 0")],
        "--stress-tolerance": [("-1", "must be above 0")],
        "--stress-weight": [("-0.5", "must be 0 or more")],
        "--softening": [("0", "must be above 0")],
        "--smoothness": [("nan", "must be 0 or more")],
        "--seed": [("-1", "must be 0 or more")],
    },
    "export": {
        "--points": [("50", "must be at least 100")],
        "--inner": [("-1", "must lie between 0 and the cutoff, 6 Å"), ("7", "must lie between")],
    },
    "heat": {
        "--size": [("0", "at least one cell")],
        "--to": [("200", "must be above cold, 300 K"), ("-5", "must be above 0"), ("inf", "must be above 0")],
        "--rate": [("-1", "must be above 0"), ("0", "must be above 0")],
        "--rdf": [("9000", "lies outside the run")],
        "--a": [("0.1", "a lattice constant is between")],
        "--c": [("4", "only hcp has a second")],
        "--timestep": [("0", "must be above 0")],
        "--seed": [("0", f"must be from 1 to {LARGEST}")],
    },
    "melt": {
        "--guess": [("-1", "must lie between 0 and 20000 K"), ("1e6", "must lie between")],
        "--ps": [("-1", "must be above 0"), ("0", "must be above 0")],
        "--attempts": [("0", "must be at least 1")],
        "--a": [("99", "a lattice constant is between")],
        "--timestep": [("-2", "must be above 0")],
        "--seed": [(str(2**31), f"must be from 1 to {LARGEST}")],
    },
}
CASES = [
    (verb, option, *case)
    for verb, options in WRONG.items()
    for option, found in options.items()
    for case in found
]


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Runs a verb in this process, in a folder with data and a potential."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "cu.extxyz", [labelled(atoms, *emt(atoms)) for atoms in strained_copper()[:30]])
    copper().save(tmp_path / "cu.json")
    arguments = {
        "train": ("cu.extxyz", *DEPTH),
        "export": ("cu.json", "--format", "table", "--out", "new/Cu.table"),
        "heat": ("cu.json", "--out", "new"),
        "melt": ("cu.json", "--out", "new"),
    }

    def run(verb, *options):
        app.app(["eam", verb, *arguments[verb], *options], standalone_mode=False)

    return run


@pytest.mark.parametrize(("verb", "option", "value", "message"), CASES)
def test_an_option_out_of_range_is_named_as_it_was_written(call, tmp_path, verb, option, value, message):
    number = f"{float(value):g}" if "e" in value else value
    with pytest.raises(ConfigError, match=f"^{option} {re.escape(number)}: .*{message}") as error:
        call(verb, option, value)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cu.extxyz", "cu.json"], "nothing was written"


def test_every_option_with_a_number_is_among_the_tried_ones():
    verbs = {"train": eam.train, "export": eam_md.export, "heat": eam_md.heat, "melt": eam_md.melt}
    for name, verb in verbs.items():
        numbers = {
            option_of(verb, parameter) for parameter, hint in annotated(verb) if {int, float} & kinds(hint)
        }
        # An hcp crystal's second constant is checked as the first one is.
        assert numbers - set(WRONG[name]) <= {"--c"}, name


def annotated(verb):
    hints = typing.get_type_hints(verb, include_extras=True)
    return [(name, hint) for name, hint in hints.items() if name != "return"]


def kinds(hint):
    """The classes that an annotation is made of."""
    return {hint}.union(*map(kinds, typing.get_args(hint))) if typing.get_args(hint) else {hint}


def test_the_other_one_of_two_options_is_named_where_only_one_was_written(call):
    with pytest.raises(ConfigError, match=r"^--cutoff 6 Å: must lie beyond inner: 7 Å$"):
        call("train", "--inner", "7")


def test_points_of_a_setfl_file(call):
    with pytest.raises(ConfigError, match=r"^--points 50: must be at least 100"):
        call("export", "--format", "eam/fs", "--points", "50")


def test_settings_themselves_have_no_options():
    with pytest.raises(SettingError, match=r"^run: -1 must be above 0$"):
        CoexistenceConfig(run=-1)


DEFAULTS = {
    eam.train: (
        {**vars(EAMConfig("Cu")), **vars(FitConfig())},
        {"energy_tolerance": 1e3, "softening": 1e3, "stress_tolerance": GPA},
    ),
    eam_md.heat: (vars(HeatingConfig()), {}),
    eam_md.melt: (vars(CoexistenceConfig()), {}),
}


@pytest.mark.parametrize("verb", DEFAULTS)
def test_help_tells_the_defaults_that_the_settings_have(verb):
    """The settings alone have defaults, the options none, so that there is one of each."""
    defaults, units = DEFAULTS[verb]
    told = 0
    for name, hint in annotated(verb):
        found = re.search(r"(?:default|published) (\d[\d.]*\d|\d)", typing.get_args(hint)[1].help)
        if found and name in defaults and name != "inner":  # which depends on the data
            assert float(found[1]) == pytest.approx(defaults[name] * units.get(name, 1.0)), name
            told += 1
    assert told >= (10 if verb is eam.train else 3)
