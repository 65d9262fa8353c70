"""Options of a model: what presets mean, and one line for each that is wrong."""

import pytest
import torch
from etgnn_models import SMALL, build, network

from kan_heads.errors import ConfigError
from kan_heads.etgnn import ETGNNModel, tensor_field
from kan_heads.etgnn.settings import PRESETS, ETGNNConfig

WRONG = [
    ({"preset": "fatihful"}, ["preset 'fatihful'", "did you mean 'faithful'", "sound"]),
    ({"preset": None}, ["preset None", "faithful, sound"]),
    ({"num_feature": 8}, ["model option 'num_feature'", "did you mean 'num_features'"]),
    ({"activation": "relu"}, ["activation 'relu'", "valid: elu, gelu, mish, silu, tanh"]),
    ({"cutoff": "cosinus"}, ["cutoff 'cosinus'", "did you mean 'cosine'"]),
    ({"triplet_envelope": "hard"}, ["triplet_envelope 'hard'", "smooth, step"]),
    ({"triplet_r_max": 3.7}, ["cutoffs: triplet_r_max 3.7 <= angular_r_max 3.4 <= r_max 4 must hold"]),
    ({"angular_r_max": 4.5}, ["angular_r_max 4.5 <= r_max 4 must hold"]),
    ({"angular_r_max": None, "triplet_r_max": 5.0}, ["triplet_r_max 5 <= angular_r_max 5 <= r_max 4"]),
    ({"field": "energetics"}, ["field: 'energetics' is new", "per: atom or per: crystal"]),
    ({"field": "new.name", "per": "atom"}, ["'new.name' cannot name a field", "letters"]),
    ({"field": ""}, ["field: ''", "give that of the tensor"]),
    ({"field": None}, ["field: None", "give that of the tensor"]),
    ({"field": "forces"}, ["'forces' is a field of nequip, but no 3 x 3 tensor", "another name"]),
    ({"per": "atoms"}, ["per 'atoms'", "did you mean 'atom'", "crystal"]),
    ({"per": "crystal"}, ["per: crystal contradicts field 'born_effective_charges'", "per: atom", "leave"]),
    ({"symmetric": True}, ["symmetric: True contradicts", "symmetric: false"]),
    ({"symmetric": "no"}, ["symmetric: 'no' must be true or false"]),
    ({"field": "dielectric_tensor", "sum_rule": True}, ["sum_rule: 'dielectric_tensor'", "per crystal"]),
    ({"per_type_shifts": {"O": -1.5}}, ["per_type_shifts: nothing for Si", "each type"]),
    *(
        ({name: value}, [f"{name}: {value!r} must be a whole number of at least 1"])
        for name in ("num_layers", "num_features", "num_triplet_features", "projection_width", "basis_width")
        for value in (0, 1.0, True)
    ),
    ({"num_bessels": 0}, ["num_bessels: 0", "at least 1"]),
    ({"max_neighbors": 0}, ["max_neighbors: 0", "at least 1"]),
    ({"readout_mlp_hidden_layers_width": 0}, ["readout_mlp_hidden_layers_width: 0", "at least 1"]),
    ({"readout_mlp_hidden_layers_depth": -1}, ["readout_mlp_hidden_layers_depth: -1", "at least 0"]),
    ({"l_max": -1}, ["l_max: -1", "at least 0"]),
    *(
        ({name: value}, [f"{name}: {value!r} must be a length in Angstrom"])
        for name in ("r_max", "triplet_r_max", "angular_r_max")
        for value in (0.0, -1.0, "4", float("nan"), float("inf"), True)
    ),
    *(
        ({name: 1}, [f"{name}: 1 must be true or false"])
        for name in ("edge_envelope", "angular_cutoff_in_angstrom", "sum_rule")
    ),
    ({"edge_envelope": None}, ["edge_envelope: None must be true or false"]),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=[str(changes) for changes, _ in WRONG])
def test_a_wrong_option_is_one_line_that_names_the_thing_and_the_remedy(changes, words):
    with pytest.raises(ConfigError) as error:
        build(**changes)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_the_sound_preset_is_the_default():
    assert ETGNNConfig.from_preset("sound", {"r_max": 6.0}) == ETGNNConfig(r_max=6.0)
    settings = ETGNNConfig(r_max=6.0)
    assert settings.triplet_r_max == settings.angular_r_max == 4.0
    assert settings.readout_mlp_hidden_layers_width == settings.num_features == 128
    assert (settings.max_neighbors, settings.edge_envelope, settings.triplet_envelope) == (
        None,
        True,
        "smooth",
    )


def test_the_faithful_preset_is_what_was_published():
    settings = ETGNNConfig.from_preset("faithful", {"r_max": 6.0})
    assert (settings.r_max, settings.angular_r_max, settings.triplet_r_max) == (6.0, 6.0, 4.0)
    assert settings.max_neighbors == 32
    assert (settings.activation, settings.cutoff) == ("elu", "cosine")
    assert (settings.edge_envelope, settings.triplet_envelope) == (False, "step")
    assert settings.angular_cutoff_in_angstrom is False
    assert settings.sum_rule is False
    sizes = (settings.num_layers, settings.num_features, settings.num_triplet_features)
    assert (*sizes, settings.projection_width) == (4, 128, 128, 64)
    assert (settings.basis_width, settings.num_bessels, settings.l_max) == (8, 8, 7)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_option_goes_over_the_preset(preset):
    options = {"r_max": 5.0, "angular_r_max": 4.5, "activation": "tanh", "max_neighbors": 7, "sum_rule": True}
    settings = ETGNNConfig.from_preset(preset, options)
    assert all(getattr(settings, name) == value for name, value in options.items())


def test_the_width_of_the_regressions_follows_the_features():
    assert ETGNNConfig(r_max=5.0, num_features=24).readout_mlp_hidden_layers_width == 24
    readout = network(
        build(readout_mlp_hidden_layers_width=17, readout_mlp_hidden_layers_depth=3)
    ).edge_readout
    assert readout.mlp_module.dims == [8, 17, 17, 17, 1]
    assert network(build(readout_mlp_hidden_layers_depth=0)).triplet_readout.mlp_module.dims == [10, 1]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"sum_rule": False}, False),
        ({"preset": "faithful"}, False),
        ({"preset": "faithful", "sum_rule": True}, True),
        ({"field": "dielectric_tensor"}, False),
        ({"field": "test_site_tensor", "per": "atom"}, False),
        ({"field": "test_site_tensor", "per": "atom", "sum_rule": True}, True),
    ],
)
def test_the_sum_rule_is_for_born_charges_unless_asked_for(changes, expected):
    assert network(build(**changes)).sum_rule is expected


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [(None, [0.0, 0.0]), (0.5, [0.5, 0.5]), ({"Si": 3, "O": -1.5, "Al": 9.0}, [-1.5, 3.0])],
)
def test_shifts_are_in_the_order_of_the_types(shifts, expected):
    assert network(build(per_type_shifts=shifts)).per_type_shifts.tolist() == expected


def test_known_fields_say_what_they_are():
    born, dielectric = tensor_field("born_effective_charges"), tensor_field("dielectric_tensor")
    assert (born.per, born.symmetric) == ("atom", False)
    assert (dielectric.per, dielectric.symmetric) == ("crystal", True)


def test_a_new_field_is_registered_once_and_kept():
    first = tensor_field("test_kept_tensor", per="crystal", symmetric=True)
    assert tensor_field("test_kept_tensor") == first
    with pytest.raises(ConfigError, match=r"contradicts field 'test_kept_tensor'"):
        tensor_field("test_kept_tensor", per="atom")


def test_the_seed_decides_the_weights():
    first, again, other = build(perturbed=False), build(perturbed=False), build(perturbed=False, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_the_default_model_has_the_published_size():
    options = {name: SMALL[name] for name in ("seed", "type_names")}
    for preset in PRESETS:
        model = ETGNNModel(r_max=6.0, model_dtype="float32", preset=preset, **options)
        heads = (network(model).edge_readout, network(model).triplet_readout)
        assert sum(parameter.numel() for parameter in model.parameters()) == 1_879_938  # published: 1.97 M
        assert sum(weight.numel() for head in heads for weight in head.parameters()) == 66_306
