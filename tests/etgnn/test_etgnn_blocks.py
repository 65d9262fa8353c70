"""The blocks against torch_geometric's, and what vanishes where a basis vanishes."""

import pytest
import torch
from nequip.utils import torch_default_dtype

from kan_heads.backbones.graph import GraphAdapter
from kan_heads.etgnn.blocks import EdgeUpdate, Gate, TripletUpdate, make_mlp
from kan_heads.etgnn.settings import ETGNNConfig

SETTINGS = ETGNNConfig(
    r_max=5.0,
    num_features=12,
    num_triplet_features=9,
    projection_width=7,
    basis_width=5,
    num_bessels=4,
    l_max=2,
)
N_EDGES, N_TRIPLETS = 23, 61


@pytest.fixture(autouse=True)
def _double():
    with torch_default_dtype(torch.float64):
        yield


@pytest.fixture
def inputs():
    """Random features and bases of edges and triplets, every edge short."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "edges": normal(N_EDGES, 12),
        "radial": normal(N_EDGES, 4),
        "angular": normal(N_TRIPLETS, 12),
        "kj": torch.randint(N_EDGES, (N_TRIPLETS,), generator=generator),
        "ji": torch.randint(N_EDGES, (N_TRIPLETS,), generator=generator),
        "triplets": normal(N_TRIPLETS, 9),
    }


def randomised(module):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def copy_into(linears, mlp):
    """Copies an MLP of nequip into as many linear maps of torch."""
    weights, biases, _ = GraphAdapter().read(mlp)
    with torch.no_grad():
        for linear, weight, bias in zip(linears, weights, biases, strict=True):
            linear.weight.copy_(weight)
            assert (bias is None) == (linear.bias is None)
            if bias is not None:
                linear.bias.copy_(bias)


def reference_for(update):
    """Builds torch_geometric's block with the weights of ours."""
    dimenet = pytest.importorskip("torch_geometric.nn.models.dimenet", reason="a reference for tests")
    block = dimenet.InteractionPPBlock(
        hidden_channels=12,
        int_emb_size=7,
        basis_emb_size=5,
        num_spherical=3,
        num_radial=4,
        num_before_skip=1,
        num_after_skip=2,
        act=torch.nn.SiLU(),
    )
    messages = update.messages
    pairs = [
        (block.lin_rbf1, messages.radial_gate.inner),
        (block.lin_rbf2, messages.radial_gate.outer),
        (block.lin_sbf1, messages.angular_gate.inner),
        (block.lin_sbf2, messages.angular_gate.outer),
        (block.lin_kj, messages.source.linear),
        (block.lin_down, messages.down.projection),
        (block.lin_ji, update.target.linear),
        (block.lin_up, update.up.projection),
        (block.lin, update.skip.linear),
    ]
    for linear, mlp in pairs:
        copy_into([linear], mlp)
    residuals = [update.before_skip, *update.after_skip]
    layers = [*block.layers_before_skip, *block.layers_after_skip]
    for layer, residual in zip(layers, residuals, strict=True):
        copy_into([layer.lin1, layer.lin2], residual.mlp)
    copied = sum(parameter.numel() for parameter in block.parameters())
    assert copied == sum(parameter.numel() for parameter in update.parameters())
    return block


def edge_update(update, inputs, short=None):
    short = torch.arange(N_EDGES) if short is None else short
    names = ("edges", "radial", "angular")
    return update(*(inputs[name] for name in names), short, inputs["kj"], inputs["ji"])


def test_the_edge_update_is_that_of_torch_geometric(inputs):
    update = randomised(EdgeUpdate(SETTINGS, norm=1.0))
    block = reference_for(update)
    theirs = block(inputs["edges"], inputs["radial"], inputs["angular"], inputs["kj"], inputs["ji"])
    torch.testing.assert_close(edge_update(update, inputs), theirs, rtol=1e-12, atol=1e-12)


def test_edges_that_are_not_short_hear_nothing(inputs):
    update = randomised(EdgeUpdate(SETTINGS, norm=0.3))
    generator = torch.Generator().manual_seed(2)
    order = torch.randperm(N_EDGES, generator=generator)
    short = order[:15].sort().values
    position = torch.full((N_EDGES,), -1)
    position[short] = torch.arange(15)
    both = (position[inputs["kj"]] >= 0) & (position[inputs["ji"]] >= 0)
    among = {
        **inputs,
        "kj": position[inputs["kj"][both]],
        "ji": position[inputs["ji"][both]],
        "angular": inputs["angular"][both],
    }
    silent = {**inputs, "angular": torch.where(both.unsqueeze(1), inputs["angular"], 0.0)}
    assert 0 < both.sum() < N_TRIPLETS
    torch.testing.assert_close(edge_update(update, among, short), edge_update(update, silent))


def test_the_norm_divides_what_an_edge_hears(inputs):
    unit, half = (randomised(EdgeUpdate(SETTINGS, norm)) for norm in (1.0, 0.5))
    twice = {**inputs, "angular": 2.0 * inputs["angular"]}
    torch.testing.assert_close(edge_update(half, twice), edge_update(unit, inputs))


def triplet_update(update, inputs):
    return update(*(inputs[name] for name in ("triplets", "edges", "radial", "angular", "kj", "ji")))


def test_a_triplet_hears_itself_only(inputs):
    update = randomised(TripletUpdate(SETTINGS))
    before = triplet_update(update, inputs)
    assert before.shape == (N_TRIPLETS, 9)
    changed = {**inputs, "angular": inputs["angular"].clone(), "triplets": inputs["triplets"].clone()}
    changed["angular"][3] += 1.0
    changed["triplets"][5] += 1.0
    moved = (triplet_update(update, changed) - before).abs().amax(dim=1) > 1e-9
    assert set(torch.nonzero(moved).flatten().tolist()) == {3, 5}


def test_a_triplet_reads_its_source_from_kj_and_its_target_from_ji(inputs):
    update = randomised(TripletUpdate(SETTINGS))
    inputs["kj"][0], inputs["ji"][0] = 4, 9
    before = triplet_update(update, inputs)[0]
    expected_ji = update.target(inputs["edges"])[9] + update.up(
        update.messages(inputs["edges"], inputs["radial"], inputs["angular"], inputs["kj"])[:1]
    )
    gate = update.radial_gate(inputs["radial"])[9]
    gated = update.before_gate(expected_ji) * gate + update.own(inputs["triplets"][:1])
    torch.testing.assert_close(before, (update.after_gate(gated) + inputs["triplets"][:1])[0])
    for row in set(range(N_EDGES)) - {4, 9}:
        inputs["edges"][row] += 1.0
    torch.testing.assert_close(triplet_update(update, inputs)[0], before)


def test_gates_vanish_where_the_basis_does():
    gate = randomised(Gate(4, 5, 6))
    assert (gate(torch.zeros(2, 4)) == 0.0).all()
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(gate(-2.0 * x), -2.0 * gate(x))


@pytest.mark.parametrize("name", ["elu", "gelu", "mish", "silu", "tanh"])
def test_every_nonlinearity_stands_between_the_layers(name):
    mlp = randomised(make_mlp([3, 4, 4, 2], name))
    (w1, w2, w3), (b1, b2, b3), found = GraphAdapter().read(mlp)
    assert found == name
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(4))
    act = getattr(torch.nn.functional, name)
    expected = act(act(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(mlp(x), expected)
