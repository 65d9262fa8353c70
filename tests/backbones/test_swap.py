"""Which modules become KANs, how wide they are, and what is said when nothing fits."""

import pytest
import torch
from models import ALLEGRO, GENERIC, KAN_MODELS, NEQUIP, STOCK, build

from kan_heads.backbones.graph import short_path
from kan_heads.errors import ConfigError
from kan_heads.kan import KAN
from kan_heads.swap import find_mlps, replace_mlps

READOUT = {"nequip": "per_atom_energy_readout.mlp_module", "allegro": "edge_readout.mlp_module"}
OTHERS = {
    "nequip": {"layer0_convnet.conv.edge_mlp", "layer1_convnet.conv.edge_mlp"},
    "allegro": {"scalar_embed_mlp.mlp_module", "allegro.latents.0"},
}


def kans(model):
    return {short_path(path): module for path, module in model.named_modules() if isinstance(module, KAN)}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["layer*_convnet.conv.edge_mlp"], OTHERS["nequip"]),
        (["layer1*"], {"layer1_convnet.conv.edge_mlp"}),
        (["*readout", "layer0*"], {READOUT["nequip"], "layer0_convnet.conv.edge_mlp"}),
        (["model.func.per_atom_energy_readout.mlp_module"], {READOUT["nequip"]}),
    ],
)
def test_scope_takes_module_paths_with_wildcards(patterns, expected):
    assert set(kans(build(NEQUIP, {"scope": patterns}))) == expected


def test_widths_follow_the_mlp_unless_hidden_is_given():
    readout = READOUT["allegro"]
    width = build(STOCK["allegro"]).model.func.edge_readout.mlp_module.dims
    assert kans(build(ALLEGRO, {"scope": "output"}))[readout].dims == width
    assert kans(build(ALLEGRO, {"hidden": []}))[readout].dims == [width[0], 1]
    assert kans(build(ALLEGRO, {"hidden": [5, 3]}))[readout].dims == [width[0], 5, 3, 1]


@pytest.mark.parametrize("backbone", ["nequip", "allegro"])
def test_the_rest_of_the_model_starts_as_the_stock_model(backbone):
    stock = build(STOCK[backbone]).state_dict()
    swapped = build(KAN_MODELS[backbone], {"scope": "output"}).state_dict()
    shared = [name for name in stock if "readout" not in name]
    assert shared
    assert all(torch.equal(stock[name], swapped[name]) for name in shared)


def test_the_generic_builder_builds_what_the_named_one_builds():
    named, generic = build(NEQUIP, {"basis": "fourier"}), build(GENERIC, {"basis": "fourier"})
    assert all(torch.equal(a, b) for a, b in zip(named.parameters(), generic.parameters(), strict=True))


def test_the_seed_decides_the_weights_of_the_kan():
    first, again = build(NEQUIP, {}), build(NEQUIP, {})
    other = build(NEQUIP, {}, seed=7)
    weight = "model.func.per_atom_energy_readout.mlp_module.layers.0.coefficients"
    assert torch.equal(first.state_dict()[weight], again.state_dict()[weight])
    assert not torch.equal(first.state_dict()[weight], other.state_dict()[weight])


@pytest.mark.parametrize(
    ("kan", "words"),
    [
        ({"scope": "outptu"}, ["kan.scope", "outptu", "did you mean 'output'"]),
        ({"bais": "bspline"}, ["bais", "did you mean 'basis'", "grid_size"]),
        ({"basis": "bsplin"}, ["bsplin", "did you mean 'bspline'", "gaussian"]),
        ({"scope": ["latents*"]}, ["latents*", "matches no MLP", "layer0_convnet.conv.edge_mlp"]),
        ({"scope": []}, ["kan.scope", "list of module paths"]),
        ({"scope": 3}, ["kan.scope", "3", "list of module paths"]),
        ({"scope": {"output": True}}, ["kan.scope", "list of module paths"]),
        ({"basis": "gaussian", "order": 3}, ["order", "gaussian", "remove"]),
        ({"order": 1}, ["order", "kinks", "forces would jump", "2 to 5"]),
        ({"hidden": [0]}, ["hidden", "positive"]),
        ({"layer_norm": True}, ["layer_norm", "zero_at_origin"]),
        ("bspline", ["mapping"]),
    ],
)
def test_a_wrong_section_is_one_line_that_names_the_thing(kan, words):
    with pytest.raises(ConfigError) as error:
        build(NEQUIP, kan)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_a_trained_deep_linear_readout_keeps_its_widths():
    stock = {**STOCK["nequip"], "readout_mlp_hidden_layers_depth": 1, "readout_mlp_hidden_layers_width": 6}
    model = build(stock, readout_mlp_nonlinearity=None)
    mlp = model.get_submodule("model.func.per_atom_energy_readout.mlp_module")
    x = torch.randn(7, mlp.dims[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    replace_mlps(model, kan={"hidden": [6]}, keep_function=True)
    kan = kans(model)[READOUT["nequip"]]
    assert kan.dims == mlp.dims
    torch.testing.assert_close(kan(x), mlp(x))


def test_the_base_of_a_trained_mlp_cannot_be_chosen():
    with pytest.raises(ConfigError, match=r"base: 'gelu' cannot be chosen here"):
        replace_mlps(build(STOCK["allegro"]), kan={"base": "gelu"}, keep_function=True)


def test_an_unknown_stock_builder_is_named():
    with pytest.raises(ConfigError, match=r"nequip.model.NoSuchModel"):
        build({**GENERIC, "builder": "nequip.model.NoSuchModel"}, {})


def test_a_model_without_matching_mlp_says_what_there_is():
    model = build(NEQUIP, {"scope": "all"})
    with pytest.raises(ConfigError, match=r"holds KANs already: .*edge_mlp"):
        replace_mlps(model, kan={"scope": "all"})


def test_a_failed_swap_leaves_the_model_as_it_was():
    model = build(STOCK["allegro"])
    before = list(find_mlps(model))
    with pytest.raises(ConfigError):
        replace_mlps(model, kan={"scope": "all", "hidden": [99]}, keep_function=True)
    assert list(find_mlps(model)) == before


def test_what_was_trained_with_order_1_still_loads():
    """nequip builds a model anew to load a checkpoint of an earlier release into it."""
    from nequip.model.utils import override_model_compile_mode

    with override_model_compile_mode("eager"):
        model = build(ALLEGRO, {"scope": "output", "order": 1})
    assert any(getattr(module, "order", None) == 1 for module in model.modules())
