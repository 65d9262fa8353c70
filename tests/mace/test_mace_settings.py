"""The options of ``--kan``: what they mean together, and what wrong ones say."""

import argparse

import pytest

from kan_heads.errors import ConfigError
from kan_heads.mace.arguments import add_arguments, settings_from
from kan_heads.mace.settings import MACEKANConfig


def parse(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def settings(*words):
    return settings_from(parse("--kan", *words))


def test_presets():
    recommended, published = (settings("--kan_preset", name) for name in ("recommended", "published"))
    assert (recommended.kan.zero_at_origin, recommended.calibrate, recommended.kan.hidden) == (
        True,
        False,
        (),
    )
    assert recommended.kan.grid_range == (-1.5, 1.5)
    assert (recommended.kan.units, published.kan.units) == ("slope", "value")
    assert (published.kan.zero_at_origin, published.calibrate, published.kan.hidden) == (False, False, None)
    assert published.for_features(16).widths == (16, 8, 4, 1)
    assert (published.kan.grid_size, published.kan.order, published.kan.base) == (3, 3, "silu")
    assert published.kan.grid_range == (-1.0, 1.0)
    assert settings() == recommended


def test_command_line_wins_over_the_file(tmp_path):
    file = tmp_path / "kan.yaml"
    file.write_text("basis: gaussian\ngrid_size: 5\nhidden: [4]\nscope: all\ncalibrate: false\n")
    from_file = settings("--kan_config", str(file))
    assert (from_file.kan.basis, from_file.kan.grid_size, from_file.kan.hidden) == ("gaussian", 5, (4,))
    assert (from_file.scope, from_file.calibrate) == ("all", False)
    words = ("--kan_grid_size", "7", "--kan_hidden", "[]", "--kan_scope", "output", "--kan_calibrate", "True")
    both = settings("--kan_config", str(file), *words)
    assert (both.kan.basis, both.kan.grid_size, both.kan.hidden) == ("gaussian", 7, ())
    assert (both.scope, both.calibrate) == ("output", True)


def test_an_empty_file_is_the_recommended_preset(tmp_path):
    (tmp_path / "kan.yaml").write_text("# nothing\n")
    assert settings("--kan_config", str(tmp_path / "kan.yaml")) == settings()


@pytest.mark.parametrize("basis", ["bspline", "gaussian", "fourier", "chebyshev"])
@pytest.mark.parametrize("preset", ["recommended", "published"])
def test_every_basis_goes_with_every_preset(preset, basis):
    assert settings("--kan_preset", preset, "--kan_basis", basis).kan.basis == basis


@pytest.mark.parametrize(
    ("text", "hidden"),
    [("[]", ()), ("[8]", (8,)), ("[8, 4]", (8, 4)), ("8", (8,)), ("'[8, 4]'", (8, 4)), ("'[]'", ())],
)
def test_hidden_widths_in_maces_own_file(text, hidden, tmp_path):
    from mace.tools import build_default_arg_parser

    (tmp_path / "mace.yaml").write_text(f"name: x\nkan: True\nkan_hidden: {text}\nkan_calibrate: false\n")
    args = build_default_arg_parser().parse_args(["--config", str(tmp_path / "mace.yaml")])
    assert settings_from(args).kan.hidden == hidden
    assert (args.kan, settings_from(args).calibrate) == (True, False)


@pytest.mark.parametrize("words", [("8", "4"), ("[8, 4]",), ("[8]", "4")])
def test_hidden_widths_on_the_command_line(words):
    assert settings("--kan_hidden", *words).kan.hidden == (8, 4)
    assert settings("--kan_hidden").kan.hidden == ()


def test_settings_as_plain_data_read_back():
    for preset in ("recommended", "published"):
        original = settings("--kan_preset", preset).for_features(16)
        assert MACEKANConfig.from_dict(original.to_dict()).for_features(16) == original


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--kan_basis", "gausian"),
            r"--kan_basis: basis 'gausian' is unknown \(did you mean 'gaussian'\?\); valid: bspline",
        ),
        (
            ("--kan_scope", "outputs"),
            r"scope 'outputs' is unknown \(did you mean 'output'\?\); valid: all, output",
        ),
        (("--kan_preset", "best"), r"--kan_preset: preset 'best' is unknown; valid: published, recommended"),
        (("--kan_grid_size", "many"), r"--kan_grid_size: grid_size: 'many' must be a whole number"),
        (("--kan_grid_size", "0"), r"grid_size: 0 must be a whole number of at least 1"),
        (("--kan_hidden", "wide"), r"--kan_hidden: hidden: \['wide'\] must be a list of positive widths"),
        (("--kan_hidden", "[0]"), r"hidden: .* must be a list of positive widths"),
        (("--kan_calibrate", "perhaps"), r"--kan_calibrate 'perhaps' must be True or False"),
        (("--kan_config", "nowhere.yaml"), r"--kan_config nowhere.yaml: No such file"),
    ],
)
def test_wrong_options(words, message):
    with pytest.raises(ConfigError, match=message):
        settings(*words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bassis: gaussian", r"kan.yaml: kan option 'bassis' is unknown \(did you mean 'basis'\?\)"),
        ("basis: foo", r"kan.yaml: basis 'foo' is unknown"),
        ("{basis: gaussian, order: 3}", r"kan.yaml: .*order"),
        ("order: 9", r"kan.yaml: .*order"),
        ("order: 1", r"kan.yaml: order: B-splines of order 1 have kinks, so forces would jump"),
        ("base: foo", r"kan.yaml: base 'foo' is unknown"),
        ("hidden: null", r"kan.yaml: hidden: null must be a list of widths"),
        ("preset: [published]", r"kan.yaml: preset \['published'\] is unknown"),
        ("basis: [", r"kan.yaml: not valid YAML"),
        ("- basis", r"kan.yaml: .* must be a mapping of options"),
        ("calibrate: maybe", r"kan.yaml: calibrate: 'maybe' must be true or false"),
        ("{calibrate: true, layer_norm: true, zero_at_origin: false}", r"kan.yaml: calibrate: layer_norm"),
        ("{zero_at_origin: true, bias: true}", r"kan.yaml: bias: true moves phi\(0\)"),
    ],
)
def test_wrong_files_stop_while_arguments_are_read(text, message, tmp_path):
    (tmp_path / "kan.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse("--kan", "--kan_config", str(tmp_path / "kan.yaml"))


def test_too_few_features_for_the_published_widths():
    with pytest.raises(ConfigError, match="need m of at least 4, MLP_irreps gives 2"):
        settings("--kan_preset", "published").for_features(2)
