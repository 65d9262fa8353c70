"""KANs in any torch model: which modules are MLPs, and what becomes of their weights."""

import pytest
import torch

from kan_heads.errors import ConfigError, ModelError
from kan_heads.kan import KAN, KANConfig
from kan_heads.swap import StackAdapter, adapter_of, find_mlps, kans_of, replace_mlps
from kan_heads.testing import BackboneTests

KEEP = {"zero_at_origin": False}


class Toy(torch.nn.Module):
    """A model of nobody's framework: an embedding, an MLP, attention, a head."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Linear(3, 6)
        self.body = torch.nn.Sequential(
            torch.nn.Linear(6, 5), torch.nn.SiLU(), torch.nn.Dropout(0.5), torch.nn.Linear(5, 6)
        )
        self.gate = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Sigmoid())
        self.attention = torch.nn.MultiheadAttention(6, 2)
        self.head = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.GELU(), torch.nn.Linear(4, 1))

    def forward(self, x):
        x = self.embed(x)
        x = x + self.body(x) * self.gate(x)
        x = x + self.attention(x, x, x)[0]
        return self.head(x)


def toy():
    torch.manual_seed(0)
    return Toy().double().eval()


def inputs():
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class TestToy(BackboneTests):
    adapter = StackAdapter
    scopes = {"all": {"body", "head"}}  # noqa: RUF012
    to_keep = KEEP

    def build(self):
        return toy()

    def batch(self):
        return inputs()

    def predict(self, model):
        return {"y": model(inputs()).detach()}

    def output(self, model):
        return model(inputs()).sum()

    def compiled(self, model):
        return torch.compile(model, backend="eager")


def test_stacks_and_single_maps_are_found():
    model = toy()
    assert type(adapter_of(model)) is StackAdapter
    assert set(find_mlps(model)) == {"embed", "body", "gate.0", "head"}


@pytest.mark.parametrize("scope", ["embed", "gate.0", ["embed", "h*"]])
def test_a_module_is_named_by_its_path(scope):
    model = toy()
    before = model(inputs())
    found = replace_mlps(model, scope, kan=KEEP, keep_function=True)
    assert found == (["embed", "head"] if isinstance(scope, list) else [scope])
    torch.testing.assert_close(model(inputs()), before, rtol=1e-10, atol=1e-12)


def test_options_come_as_a_mapping_or_as_a_record():
    a, b = toy(), toy()
    for model, kan in (
        (a, {"basis": "gaussian", "hidden": [3]}),
        (b, KANConfig(basis="gaussian", hidden=(3,))),
    ):
        torch.manual_seed(5)
        replace_mlps(model, "head", kan)
    assert a.head.dims == b.head.dims == [6, 3, 1]
    assert torch.equal(a(inputs()), b(inputs()))
    with pytest.raises(ConfigError, match="scope: 'head' is given, and kan has one as well"):
        replace_mlps(toy(), "head", {"scope": "all"})


def test_precision_and_mode_are_those_of_the_module():
    model = toy().float()
    replace_mlps(model, "head")
    assert {p.dtype for p in model.head.parameters()} == {torch.float32}
    assert not model.head.training


def test_a_module_that_serves_in_two_places_is_replaced_in_both():
    model = torch.nn.Module()
    model.a = torch.nn.Linear(2, 2)
    model.b = torch.nn.ModuleList([torch.nn.Identity(), model.a])
    assert replace_mlps(model, "a") == ["a"]
    assert isinstance(model.a, KAN)
    assert model.b[1] is model.a


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 2)], "ReLU.*known: SiLU"),
        ([torch.nn.Linear(2, 2), torch.nn.ELU(0.5), torch.nn.Linear(2, 2)], r"ELU\(alpha=0.5\).*known"),
        ([torch.nn.Linear(2, 2), torch.nn.GELU("tanh"), torch.nn.Linear(2, 2)], "approximate='tanh'"),
        (
            [torch.nn.Linear(2, 2), torch.nn.SiLU(), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)],
            "one and the same nonlinearity",
        ),
        (
            [
                *(torch.nn.Linear(2, 2), torch.nn.SiLU(), torch.nn.Linear(2, 2), torch.nn.Tanh()),
                torch.nn.Linear(2, 2),
            ],
            "one and the same nonlinearity",
        ),
    ],
)
def test_what_no_kan_can_equal_is_refused_but_can_be_replaced(layers, words):
    model = torch.nn.ModuleDict({"mlp": torch.nn.Sequential(*layers)})
    with pytest.raises(ModelError, match=words):
        replace_mlps(model, "mlp", KEEP, keep_function=True)
    assert not kans_of(model)
    assert replace_mlps(model, "mlp") == ["mlp"]


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ("heads", "'heads' matches no MLP of this model; there are: embed, body, gate.0, head; scopes"),
        ("output", "'output' matches no MLP"),
        ("al", "kan.scope 'al' is unknown .did you mean 'all'"),
        (["body", "tail"], "'tail' matches no MLP"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(scope, words):
    model = toy()
    with pytest.raises(ConfigError, match=words):
        replace_mlps(model, scope)
    assert not kans_of(model)


def test_biases_need_a_kan_with_biases():
    with pytest.raises(ConfigError, match=r"head: .*biases.*zero_at_origin: false"):
        replace_mlps(toy(), "head", keep_function=True)


def test_the_package_offers_calibration_of_whole_models_and_of_a_kan_alone():
    import kan_heads

    model = toy()
    kan_heads.replace_mlps(model, "all")
    assert set(kan_heads.calibrate(model, [inputs(), 2.0 * inputs()])) == {"body", "head"}
    alone = KAN([3, 1]).double()
    kan_heads.calibrate(alone, [inputs()], margin=0.0)
    torch.testing.assert_close(alone.layers[0].basis.upper, inputs().amax(0).clamp_min(0.0))
    with pytest.raises(ConfigError, match="calibrate: there are no data"):
        kan_heads.calibrate(alone, [])
    with pytest.raises(ConfigError, match="calibrate: the model holds no KAN"):
        kan_heads.calibrate(toy(), [inputs()])
