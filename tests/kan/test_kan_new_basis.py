"""A basis of another package, named by an entry point: in YAML, in files, on every road of a layer."""

import argparse
import copy
import pickle
import sys

import pytest
import torch
from kan_reference import chosen, energy_and_forces, randn

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN, KANConfig, basis_names
from kan_heads.kan.bases import registry

MODULE = """
import torch
from kan_heads.kan import Basis


class Powers(Basis):
    def __init__(self, in_features, config):
        super().__init__(in_features, config)
        self.n_basis = config.grid_size

    def forward(self, x):
        t = (x - self.lower) / (self.grid_size * self.step)
        values = torch.zeros(1, dtype=x.dtype, device=x.device)
        power = torch.ones_like(t)
        for j in range(self.n_basis):
            power = power * t
            values = values + torch.nn.functional.pad(power.unsqueeze(-1), [j, self.n_basis - 1 - j])
        return values


number = 3
"""
ENTRY_POINTS = """[kan_heads.bases]
powers = my_basis:Powers
number = my_basis:number
lost = my_basis:Nowhere
bspline = my_basis:Powers
"""


@pytest.fixture(autouse=True)
def distribution(tmp_path, monkeypatch):
    """A distribution on the path, as pip installs one."""
    (tmp_path / "my_basis.py").write_text(MODULE)
    info = tmp_path / "my_basis-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-basis\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    yield
    sys.modules.pop("my_basis", None)
    registry._entry_points.cache_clear()


def network(generator=None):
    options = {"basis": "powers", "grid_size": 4, "spline_fraction": 0.5}
    return KAN([3, 2, 1], KANConfig.from_dict(options), generator=generator)


def test_its_values_are_all_that_it_takes(generator, monkeypatch):
    model, x = network(generator), randn(generator, 20, 3)
    assert chosen(model.layers[0], x) == "definition"
    energy, forces = energy_and_forces(model, x)
    torch.testing.assert_close(energy, model.layers[1].edge_functions(model.layers[0](x)).sum(-1))
    assert bool((model(torch.zeros(2, 3)) == 0.0).all())
    torch.autograd.gradgradcheck(model, x[:4].detach().clone().requires_grad_(True), fast_mode=True)
    scripted = torch.jit.script(model)
    torch.testing.assert_close(energy_and_forces(scripted, x), (energy, forces))
    model.calibrate(x)
    torch.testing.assert_close(model(x), energy, rtol=0.05, atol=0.05)
    torch.testing.assert_close(model.refine(5)(x), model(x))


def test_the_state_and_the_pickle_name_it(generator):
    model, x = network(generator), randn(generator, 5, 3)
    assert model.layers[0].functions()["basis"] == "powers"
    other = network()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    data = pickle.dumps(model)
    del sys.modules["my_basis"]  # read as by a process that has built no such layer
    for copied in (other, pickle.loads(data)):
        assert torch.equal(copied(x), model(x))
        assert copied.layers[0].functions() == model.layers[0].functions()


def test_it_stands_among_the_names_and_replaces_none():
    assert {"powers", "bspline", "gaussian"} <= set(basis_names())
    assert type(KAN([3, 1]).layers[0].basis).__module__.startswith("kan_heads.")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("power", r"basis 'power' is unknown \(did you mean 'powers'\?\); valid: bspline, .*powers"),
        ("number", "basis 'number': my_basis:number is no subclass of kan_heads.kan.Basis"),
        ("lost", "basis 'lost': my_basis:Nowhere cannot be imported .*Nowhere"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(name, message):
    with pytest.raises(ConfigError, match=message) as error:
        KAN([3, 1], KANConfig(basis=name))
    assert "\n" not in str(error.value)


def test_yaml_and_the_option_of_mace_take_the_name():
    from kan_heads.swap.config import SwapConfig

    assert SwapConfig.from_dict({"basis": "powers"}).kan.basis == "powers"
    arguments = pytest.importorskip("kan_heads.mace.arguments")
    parser = argparse.ArgumentParser()
    arguments.add_arguments(parser)
    assert parser.parse_args(["--kan_basis", "powers"]).kan_basis == "powers"
