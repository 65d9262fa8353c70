"""Options are strict: what is wrong is refused at once, and the message names it."""

import pytest
import torch
from kan_reference import SETTINGS

from kan_heads.errors import ConfigError
from kan_heads.kan import KANConfig, KANLayer
from kan_heads.kan.layer import BASE_FUNCTIONS

WRONG = [
    ({"gridsize": 8}, r"'gridsize' is unknown \(did you mean 'grid_size'\?\); valid: .*order"),
    ({"basis": "b-spline"}, r"basis 'b-spline' is unknown.*did you mean 'bspline'"),
    ({"basis": ["bspline"]}, "^basis: "),
    ({"basis": None}, "basis None is unknown"),
    ({"basis": "gaussian", "order": 3}, "^order: not an option of basis 'gaussian'"),
    ({"basis": "fourier", "extrapolation": "zero"}, "^extrapolation: not an option of basis 'fourier'"),
    ({"order": 0}, "^order: 0"),
    ({"order": 6}, "^order: 6"),
    ({"order": True}, "^order: True"),
    ({"order": 3.0}, "^order: 3.0"),
    ({"order": "3"}, "^order: '3'"),
    ({"extrapolation": "constant"}, "extrapolation 'constant' is unknown.*linear, zero"),
    ({"extrapolation": 0}, "^extrapolation: 0"),
    ({"bias": True}, "^bias: .*zero_at_origin: false"),
    ({"layer_norm": True}, "^layer_norm: .*zero_at_origin: false"),
    ({"bias": "yes"}, "^bias: 'yes'"),
    ({"zero_at_origin": "false"}, "^zero_at_origin: 'false'"),
    ({"layer_norm": 1}, "^layer_norm: 1"),
    ({"grid_range": (1.0, -1.0)}, "^grid_range: .*lower < upper"),
    ({"grid_range": (1.0, 1.0)}, "^grid_range: "),
    ({"grid_range": (0.0, float("inf"))}, "^grid_range: "),
    ({"grid_range": (float("nan"), 1.0)}, "^grid_range: "),
    ({"grid_range": [1, 2, 3]}, "^grid_range: "),
    ({"grid_range": 4}, "^grid_range: 4"),
    ({"grid_range": None}, "^grid_range: None"),
    ({"grid_range": "-4, 4"}, "^grid_range: '-4, 4'"),
    ({"grid_range": ["-4", "4"]}, "^grid_range: "),
    ({"hidden": [8, -1]}, r"^hidden: \[8, -1\]"),
    ({"hidden": 0}, "^hidden: 0"),
    ({"hidden": "8"}, "^hidden: '8'"),
    ({"hidden": [8.0]}, "^hidden: "),
    ({"hidden": 8.5}, "^hidden: 8.5"),
    ({"hidden": True}, "^hidden: True"),
    ({"grid_size": 0}, "^grid_size: 0"),
    ({"grid_size": True}, "^grid_size: True"),
    ({"grid_size": 2.5}, "^grid_size: 2.5"),
    ({"grid_size": "8"}, "^grid_size: '8'"),
    ({"spline_fraction": 1.5}, "^spline_fraction: 1.5"),
    ({"spline_fraction": "0.1"}, "^spline_fraction: '0.1'"),
    ({"spline_fraction": float("nan")}, "^spline_fraction: nan"),
    ({"base": "relu"}, "base 'relu' is unknown.*valid: elu, gelu, identity"),
    ({"base": False}, "^base: False"),
    ("bspline", "kan: 'bspline' must be a mapping"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        KANLayer(3, 2, KANConfig.from_dict(options))


RIGHT = [
    {},
    {"hidden": [8, 4], "grid_range": [-1, 3], "spline_fraction": 0},
    {"hidden": 8},
    {"hidden": []},
    {"base": None, "zero_at_origin": False, "bias": True, "layer_norm": True},
    *SETTINGS.values(),
]


@pytest.mark.parametrize("options", RIGHT, ids=str)
def test_plain_data_and_back(options):
    config = KANConfig.from_dict(options)
    plain = config.to_dict()
    assert KANConfig.from_dict(plain) == config
    assert all(isinstance(value, (type(None), bool, int, float, str, list)) for value in plain.values())
    for name, value in options.items():
        stored = plain[name]
        assert stored == ([value] if name == "hidden" and isinstance(value, int) else value)


def test_no_options_are_the_defaults():
    assert KANConfig.from_dict(None) == KANConfig()


@pytest.mark.parametrize("base", sorted(BASE_FUNCTIONS))
def test_the_base_branch_is_the_named_function(base):
    layer = KANLayer(3, 2, KANConfig(base=base, spline_fraction=0.0), torch.Generator().manual_seed(0))
    functions = {
        "silu": lambda x: x / (1.0 + torch.exp(-x)),
        "identity": lambda x: x,
        "elu": lambda x: torch.where(x > 0.0, x, torch.exp(x) - 1.0),
        "gelu": lambda x: 0.5 * x * (1.0 + torch.erf(x / 2.0**0.5)),
        "mish": lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
        "tanh": torch.tanh,
        "ssp": lambda x: torch.log(0.5 * torch.exp(x) + 0.5),
    }
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(x), functions[base](x) @ layer.base_weight.T, rtol=1e-12, atol=1e-12)
