"""The five models and their training, on generated numbers."""

import itertools

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="needs the extra [ru]")

from benchmarks.an2025 import models, training


def generated(n_inputs=3, n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, n_inputs, generator=generator)
    y = torch.stack([x[:, 0] ** 2, x[:, 1] * x[:, 2], x[:, 0]], dim=1)
    return x, (y - y.mean(0)) / y.std(0)


def trained(make, seed=0, epochs=20):
    torch.manual_seed(7)
    module = make()
    x, y = generated()
    training.fit(module, (x, y), generated(seed=1), seed=seed, epochs=epochs)
    with torch.no_grad():
        return module(x), torch.nn.functional.mse_loss(module(x), y).item()


def schnet():
    return training.SchNetRegression(models.SchNet(2, 1))


MAKERS = {
    "kan": lambda: training.KANRegression(models.kan(3)),
    "calhousnet": lambda: training.Regression(models.CalHousNet()),
    "ani": lambda: training.ANIRegression(models.ANI(1)),
    "schnet": schnet,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_decides_everything(name):
    torch.manual_seed(123)
    untouched = torch.get_rng_state()
    first, _ = trained(MAKERS[name], epochs=3)
    torch.manual_seed(321)
    again, _ = trained(MAKERS[name], epochs=3)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.shape == (60, 3)
    torch.manual_seed(123)
    assert torch.equal(untouched, torch.get_rng_state())


@pytest.mark.parametrize("name", ["kan", "calhousnet", "ani"])
def test_training_learns(name):
    torch.manual_seed(7)
    x, y = generated()
    module = MAKERS[name]().eval()
    with torch.no_grad():
        before = torch.nn.functional.mse_loss(module(x), y).item()
    _, after = trained(MAKERS[name], epochs=100 if name == "kan" else 60)
    assert after < 0.9 * min(before, 1.0)


def test_the_generator_of_the_caller_is_left_alone():
    torch.manual_seed(5)
    module = MAKERS["ani"]()
    state = torch.get_rng_state()
    training.fit(module, generated(), generated(seed=1), seed=0, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)


def test_calhousnet_has_three_hidden_nodes_for_each_target():
    assert sum(p.numel() for p in models.CalHousNet().parameters()) == 3 * ((3 * 3 + 3) + (3 + 1))


def test_grids_of_the_kan_cover_the_training_inputs():
    torch.manual_seed(0)
    module = training.KANRegression(models.kan(3))
    x, y = generated()
    x = 10.0 * x  # far outside the grid that it starts with
    training.fit(module, (x, y), (x, y), seed=0, epochs=60)
    assert all(share.max() == 0.0 for share in module.model.coverage(x)[:1])


def by_loops(model, nodes, lengths, sender, receiver):
    """The convolution of the docstring, edge by edge."""
    h = nodes
    for own, others in zip(model.own, model.others, strict=True):
        total = torch.stack([own(row) for row in h])
        for e, (j, i) in enumerate(zip(sender, receiver, strict=True)):
            total[i] = total[i] + others(h[j]) / lengths[e]
        h = total.relu()
    return model.readout(h.max(0).values)


def test_graph_convolution_is_the_documented_one():
    torch.manual_seed(0)
    # Atom 1 is a neighbour of atom 0 by two images.
    sender, receiver = np.array([1, 1, 2, 0]), np.array([0, 0, 1, 2])
    model = models.CrystalGNN(sender, receiver, 3, 4).double()
    nodes, lengths = torch.randn(2, 3, 4).double(), 0.5 + torch.rand(2, 4).double()
    found = model(torch.cat([nodes.reshape(2, -1), lengths], dim=1))
    for k in range(2):
        expected = by_loops(model, nodes[k], lengths[k], sender, receiver)
        torch.testing.assert_close(found[k], expected)


def test_gnn_does_not_see_the_numbering_of_atoms():
    torch.manual_seed(0)
    pairs = np.array(list(itertools.permutations(range(4), 2)))
    model = models.CrystalGNN(pairs[:, 0], pairs[:, 1], 4, 4)
    nodes, lengths = torch.randn(1, 4, 4), 0.5 + torch.rand(1, 4, 4)
    order = torch.tensor([2, 0, 3, 1])

    def flat(nodes, lengths):
        return torch.cat([nodes.reshape(1, -1), lengths[:, pairs[:, 0], pairs[:, 1]]], dim=1)

    renumbered = flat(nodes[:, order], lengths[:, order][:, :, order])
    torch.testing.assert_close(model(flat(nodes, lengths)), model(renumbered))


def test_ani_averages_over_atoms():
    torch.manual_seed(0)
    model = models.ANI(5).eval()
    x = torch.randn(2, 3, 5)
    whole = model(x.reshape(2, -1))
    parts = torch.stack([model(x[:, k]) for k in range(3)])
    torch.testing.assert_close(whole, parts.mean(0))


def test_schnet_learns_forces_in_the_second_half_only():
    torch.manual_seed(0)
    module = schnet().eval()
    x, y = generated(seed=2)
    prediction = module(x)
    energy = (prediction[:, 0] - y[:, 0]).square().mean()
    forces = (prediction[:, 1:] - y[:, 1:]).square().mean()

    class Clock:
        current_epoch = 0

    for epoch, weights in ((0, (1.0, 0.0)), (49, (1.0, 0.0)), (74, (0.875, 0.25)), (99, (0.75, 0.5))):
        Clock.current_epoch = epoch
        module._trainer = Clock
        torch.testing.assert_close(module.loss(x, y), weights[0] * energy + weights[1] * forces)
    module._trainer = None


def test_schnet_has_the_published_rates():
    settings = schnet().configure_optimizers()
    rates = [group["initial_lr"] for group in settings["optimizer"].param_groups]
    assert rates == [1e-5, 2e-5, 5e-5, 5e-5]
    factor = settings["lr_scheduler"].lr_lambdas[0]
    assert factor(19) == factor(20) == 1.0
    assert factor(0) == 0.05
    assert factor(99) < 1e-3
