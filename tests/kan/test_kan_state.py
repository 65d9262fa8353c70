"""What a state holds besides weights: which functions they belong to, and in which units they are."""

import copy
import io
import pickle

import pytest
import torch
from kan_reference import BASES, options, randn

from kan_heads.errors import ConfigError, ModelError
from kan_heads.kan import KAN, KANConfig, KANLayer


def network(generator, widths=(4, 1), **more):
    return KAN(list(widths), KANConfig.from_dict(more), generator=generator)


@pytest.mark.parametrize(
    ("trained", "built", "words"),
    [
        ({"basis": "chebyshev", "grid_size": 9}, {"basis": "gaussian"}, "basis chebyshev, here gaussian"),
        ({"basis": "fourier", "grid_size": 4}, {"basis": "chebyshev", "grid_size": 8}, "basis fourier"),
        ({}, {"extrapolation": "zero"}, "extrapolation linear, here zero"),
        ({"order": 2, "grid_size": 9}, {"order": 3}, "order 2, here 3"),
        ({}, {"zero_at_origin": False}, "zero_at_origin True, here False"),
        ({"base": "tanh"}, {"base": "silu"}, "base tanh, here silu"),
    ],
)
class TestRecord:
    def test_weights_of_other_functions_are_refused_by_name(self, trained, built, words, generator):
        state = network(generator, **trained).state_dict()
        model = network(generator, **built)
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(ModelError, match=rf"layers\.0: the weights are those of other .*{words}"):
            model.load_state_dict(state)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    def test_also_through_a_file_and_without_strictness(self, trained, built, words, generator):
        file = io.BytesIO()
        torch.save(network(generator, **trained).state_dict(), file)
        file.seek(0)
        with pytest.raises(ModelError, match=words):
            network(generator, **built).load_state_dict(torch.load(file, weights_only=True), strict=False)


@pytest.mark.parametrize("basis", BASES)
def test_own_weights_load(basis, generator):
    model, other = (network(generator, (4, 3, 1), basis=basis) for _ in range(2))
    model.calibrate(randn(generator, 50, 4))
    other.load_state_dict(model.state_dict())
    x = randn(generator, 9, 4)
    assert torch.equal(model(x), other(x))


@pytest.mark.parametrize("basis", BASES)
class TestUnits:
    def test_a_step_changes_slopes_alike_on_every_grid(self, basis, generator):
        """What moves a coefficient moves the slope of its function by as much, however narrow the grid."""
        slopes = []
        for width in (2.0, 0.1):
            layer = KANLayer(1, 1, options({"bspline": "bspline3"}.get(basis, basis), base=None))
            layer.basis.set_range(torch.tensor([-width / 2]), torch.tensor([width / 2]))
            layer.reset_units()
            with torch.no_grad():
                layer.coefficients.copy_(torch.randn(layer.coefficients.shape, generator=generator).sign())
            generator.manual_seed(20)
            x = torch.linspace(-width / 2, width / 2, 200).unsqueeze(-1).requires_grad_()
            slopes.append(torch.autograd.grad(layer(x).sum(), x)[0])
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-6, atol=1e-6)

    def test_the_function_stays_when_units_follow_a_grid(self, basis, generator):
        if basis == "fourier":
            pytest.skip("harmonics of another period cannot make up the function")
        model = network(generator, basis=basis)
        x = 0.1 * randn(generator, 200, 4)
        before = model(x)
        model.calibrate(x)
        assert model.layers[0].unit is not None
        # Inputs of 0.1 give outputs of 0.1; chebyshev functions and Gaussians fit each other to some percent.
        torch.testing.assert_close(model(x), before, rtol=0.02, atol=0.005)

    def test_initial_functions_do_not_depend_on_the_units(self, basis):
        x = torch.linspace(-3.0, 3.0, 40).view(10, 4)
        made = [
            network(torch.Generator().manual_seed(1), basis=basis, units=units, grid_range=[-0.5, 0.7])
            for units in ("slope", "value")
        ]
        torch.testing.assert_close(made[0](x), made[1](x), rtol=1e-12, atol=1e-12)
        assert made[1].layers[0].unit is None

    def test_a_state_without_units_is_in_values(self, basis, generator):
        """As releases up to 0.1 wrote it."""
        model = network(generator, basis=basis, units="value", grid_range=[-0.5, 0.7])
        old = {k: v for k, v in model.state_dict().items() if not k.endswith("_extra_state")}
        assert len(old) == 4
        newer = network(generator, basis=basis, grid_range=[-0.5, 0.7])
        assert newer.layers[0].unit is not None
        newer.load_state_dict(old)
        x = randn(generator, 9, 4)
        torch.testing.assert_close(newer(x), model(x), rtol=1e-12, atol=1e-12)

    def test_a_state_with_units_loads_into_a_layer_that_had_none(self, basis, generator):
        model = network(generator, basis=basis, grid_range=[-0.5, 0.7])
        other = network(generator, basis=basis, units="value")
        other.load_state_dict(model.state_dict())
        x = randn(generator, 9, 4)
        assert torch.equal(other(x), model(x))

    def test_a_module_of_a_release_without_units_unpickles(self, basis, generator):
        model = network(generator, basis=basis, units="value")
        for layer in model.layers:  # what 0.1 pickled
            del layer.__dict__["slope_units"], layer._buffers["unit"]
        loaded = pickle.loads(pickle.dumps(model))
        x = randn(generator, 9, 4)
        assert torch.equal(loaded(x), network_of(model)(x))
        assert (
            loaded.state_dict().keys() == network(generator, basis=basis, units="value").state_dict().keys()
        )


def network_of(model):
    """The same functions, built anew."""
    other = KAN(model.dims, model.config)
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    other.load_state_dict({name: state[name] for name in other.state_dict() if name in state})
    return other


def test_wrong_units():
    with pytest.raises(ConfigError, match="units 'steps' is unknown; valid: slope, value"):
        KANConfig(units="steps")


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("width", [8.0, 0.3])
def test_training_is_stable_on_narrow_grids_and_with_many_harmonics(basis, width, generator):
    """Adam at a usual learning rate; in units of values narrow grids and harmonics diverge."""
    x = width / 8.0 * randn(generator, 256, 8)
    wanted = torch.sin(8.0 / width * x).sum(-1, keepdim=True) * width / 8.0
    model = network(generator, (8, 16, 1), basis=basis)
    model.calibrate(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (model(x) - wanted).square().mean() / wanted.square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    assert max(losses) < 3.0 * losses[0]
