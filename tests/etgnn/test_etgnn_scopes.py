"""Which modules of ETGNN become KANs, and KANs that start out equal to trained MLPs."""

import pytest
import torch
from etgnn_models import BORN, build, graph, network, predict, silica
from nequip.model import NequIPGNNModel

from kan_heads.backbones.etgnn import ETGNNAdapter
from kan_heads.backbones.graph import short_path
from kan_heads.errors import ConfigError
from kan_heads.etgnn import ETGNNModel
from kan_heads.kan import KAN
from kan_heads.swap import replace_mlps
from kan_heads.testing import BackboneTests

OUTPUT = {"etgnn.edge_readout.mlp_module", "etgnn.triplet_readout.mlp_module"}
PROJECTIONS = {
    f"etgnn.{kind}_updates.{layer}.{part}.projection"
    for kind in ("edge", "triplet")
    for layer in (0, 1)
    for part in ("messages.down", "up")
}
RESIDUALS = {
    *(f"etgnn.edge_updates.{layer}.before_skip.mlp" for layer in (0, 1)),
    *(f"etgnn.edge_updates.{layer}.after_skip.{i}.mlp" for layer in (0, 1) for i in (0, 1)),
    *(f"etgnn.triplet_updates.{layer}.before_gate.{i}.mlp" for layer in (0, 1) for i in (0, 2, 3)),
    *(f"etgnn.triplet_updates.{layer}.after_gate.{i}.mlp" for layer in (0, 1) for i in (0, 1)),
}


def kans(model):
    return {short_path(path): module for path, module in model.named_modules() if isinstance(module, KAN)}


class TestETGNN(BackboneTests):
    """What every backbone passes."""

    adapter = ETGNNAdapter
    scopes = {  # noqa: RUF012
        "output": OUTPUT,
        "projections": PROJECTIONS,
        "embedding_latent": PROJECTIONS | RESIDUALS,
        "all": OUTPUT | PROJECTIONS | RESIDUALS,
    }
    to_keep = {"zero_at_origin": False}  # noqa: RUF012
    atol = 1e-11

    def build(self):
        return build()

    def batch(self):
        return graph(silica())

    def predict(self, model):
        return {BORN: predict(model, silica())}

    def output(self, model):
        weights = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        return (model(graph(silica()))[BORN] * weights).sum()

    def test_its_readouts_are_one_of_edges_and_one_of_triplets(self):
        assert list(self.adapter().readouts(self.stock()).values()) == ["edges", "triplets"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (["*edge_readout"], {"etgnn.edge_readout.mlp_module"}),
        (
            ["*.up.projection", "etgnn.triplet_readout"],
            {p for p in PROJECTIONS if ".up." in p} | {max(OUTPUT)},
        ),
        (["etgnn.edge_updates.1.*_skip*"], {p for p in RESIDUALS if "edge_updates.1" in p}),
    ],
)
def test_scope_names_the_documented_modules(scope, expected):
    assert set(kans(build({"scope": scope}))) == expected


def test_widths_follow_the_mlps_unless_hidden_is_given():
    found = {path: kan.dims for path, kan in kans(build({"scope": "all"})).items()}
    assert found["etgnn.edge_readout.mlp_module"] == [8, 8, 8, 1]
    assert found["etgnn.triplet_readout.mlp_module"] == [10, 8, 8, 1]
    assert found["etgnn.edge_updates.0.messages.down.projection"] == [8, 6]
    assert found["etgnn.edge_updates.0.up.projection"] == [6, 8]
    assert found["etgnn.triplet_updates.1.after_gate.0.mlp"] == [10, 10, 10]
    single = kans(build({"scope": "output", "hidden": []}))
    assert sorted(kan.dims for kan in single.values()) == [[8, 1], [10, 1]]


def test_the_rest_of_the_model_starts_as_the_model_with_mlps():
    stock = build(perturbed=False).state_dict()
    swapped = build({"scope": "output"}, perturbed=False).state_dict()
    shared = [name for name in stock if "readout" not in name]
    assert shared
    assert all(torch.equal(stock[name], swapped[name]) for name in shared)


@pytest.mark.parametrize("scope", ["output", "projections", "all"])
@pytest.mark.parametrize("basis", ["bspline", "gaussian"])
@pytest.mark.parametrize("preset", ["sound", "faithful"])
@pytest.mark.parametrize("activation", [None, "tanh", "gelu", "mish"])
def test_a_trained_mlp_becomes_an_equal_kan(scope, basis, preset, activation):
    model = build(preset=preset, **({} if activation is None else {"activation": activation}))
    before = predict(model, silica())
    section = {"scope": scope, "basis": basis, "zero_at_origin": False}
    assert replace_mlps(model, kan=section, keep_function=True)
    torch.testing.assert_close(predict(model, silica()), before, atol=1e-11, rtol=1e-10)


def test_an_equal_kan_is_free_to_learn():
    model = build()
    replace_mlps(model, kan={"scope": "output", "zero_at_origin": False}, keep_function=True)
    model(graph(silica()))[network(model).tensor_field].square().sum().backward()
    assert all((kan.layers[0].coefficients.grad != 0.0).any() for kan in kans(model).values())


def test_biases_of_a_trained_mlp_need_a_kan_with_biases():
    with pytest.raises(ConfigError, match=r"edge_readout.mlp_module: .*biases.*zero_at_origin: false"):
        replace_mlps(build(), kan={"scope": "output"}, keep_function=True)


@pytest.mark.filterwarnings("ignore:Found `per_type_energy")
def test_only_etgnn_has_projections():
    options = {
        "avg_num_neighbors": 9.0,
        "num_layers": 1,
        "l_max": 1,
        "num_features": 4,
        "radial_mlp_depth": 1,
        "radial_mlp_width": 4,
    }
    model = NequIPGNNModel(seed=1, model_dtype="float32", type_names=["O"], r_max=4.0, **options)
    with pytest.raises(ConfigError) as error:
        replace_mlps(model, kan={"scope": "projections"})
    message = str(error.value)
    assert "kan.scope: 'projections' matches no MLP of this model" in message
    assert "edge_mlp" in message


@pytest.mark.parametrize(
    ("kan", "words"),
    [
        ({"scope": "projection"}, ["kan.scope 'projection'", "did you mean 'projections'"]),
        ({"scope": ["*latents*"]}, ["'*latents*' matches no MLP", "etgnn.edge_readout.mlp_module"]),
        ({"bais": "bspline"}, ["kan option 'bais'", "did you mean 'basis'"]),
    ],
)
def test_a_wrong_section_is_one_line(kan, words):
    with pytest.raises(ConfigError) as error:
        build(kan)
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_the_default_scope_is_the_output():
    options = {
        "seed": 1,
        "model_dtype": "float32",
        "type_names": ["O", "Si"],
        "r_max": 4.0,
        "num_features": 8,
    }
    assert set(kans(ETGNNModel(kan={}, **options))) == OUTPUT
