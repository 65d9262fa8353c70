import matplotlib.image
import numpy as np
import pytest
import torch

from benchmarks.demo import evaluation, plots
from benchmarks.demo.evaluation import Prediction
from kan_heads.dynamics import Trajectory
from kan_heads.kan import KAN, KANConfig


@pytest.fixture
def learned():
    torch.manual_seed(0)
    scale = torch.linspace(0.1, 6.0, 20)
    layer = KAN([20, 1], KANConfig(basis="bspline")).layers[0]
    return layer, evaluation._functions(layer, scale * torch.randn(3000, 20), 12)


def _picture(path):
    """Height, width and the share of pixels that are not white."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return pixels.shape[0], pixels.shape[1], (pixels < 0.99).any(-1).mean()


def test_functions_are_those_of_the_layer_and_vanish_at_zero(learned):
    layer, f = learned
    assert f.x.shape == f.y.shape == (12, 401)
    assert (np.diff(f.spread) <= 0).all()
    at = [int(name.split()[1]) for name in f.names]
    x = torch.zeros(401, 20)
    x[:, at] = torch.from_numpy(f.x.T.copy())
    np.testing.assert_allclose(f.y, layer.edge_functions(x)[:, 0, at].detach().T, atol=1e-6)
    zero = [np.interp(0.0, x, y) for x, y in zip(f.x, f.y, strict=True)]
    np.testing.assert_allclose(zero, 0.0, atol=1e-2)
    assert f.outside.max() > 0.1


def test_functions_of_several_outputs_say_which():
    layer = KAN([3, 2], KANConfig(basis="gaussian")).layers[0]
    f = evaluation._functions(layer, torch.randn(50, 3), 12)
    assert len(f.names) == 6
    assert all(" to " in name for name in f.names)


def test_pictures_are_drawn(results, learned, tmp_path):
    rng = np.random.RandomState(0)
    reference = Prediction(rng.normal(size=50), rng.normal(size=(500, 3)))
    near = Prediction(reference.energies + 0.01, reference.forces + 0.1)
    t = np.arange(100.0)
    run = Trajectory(t, 1e-5 * rng.normal(size=100), 300 + t, True, 1.8, 40.0, 0)
    plots.learning_curves(results, tmp_path / "1.png")
    plots.parity(results, reference, {"mlp": near, "kan": near}, tmp_path / "2.png")
    plots.functions(results, learned[1], tmp_path / "3.png")
    plots.dynamics(results, run, tmp_path / "4.png")
    for i in range(1, 5):
        height, width, drawn = _picture(tmp_path / f"{i}.png")
        assert min(height, width) > 600
        assert drawn > 0.02


def test_pictures_of_the_shortest_runs_are_drawn(results, tmp_path):
    for model in results["models"].values():
        model["history"] = {k: v[:1] for k, v in model["history"].items()}
    results["dynamics"] |= {"drift_meV_per_atom_per_ps": None, "stable": False}
    layer = KAN([2, 1], KANConfig(basis="bspline")).layers[0]
    few = evaluation._functions(layer, torch.randn(2, 2), 12)
    plots.learning_curves(results, tmp_path / "1.png")
    plots.functions(results, few, tmp_path / "2.png")
    run = Trajectory(np.zeros(1), np.zeros(1), np.full(1, 300.0), False, 0.4, 40.0, None)
    plots.dynamics(results, run, tmp_path / "3.png")
    assert all((tmp_path / f"{i}.png").stat().st_size > 10_000 for i in (1, 2, 3))


def test_errors_have_the_units_of_their_names():
    reference = Prediction(np.array([1.0, 2.0]), np.zeros((4, 3)))
    off = Prediction(np.array([1.01, 1.98]), np.full((4, 3), -0.2))
    assert off.errors(reference) == pytest.approx(
        {"energy_mae_meV_per_atom": 15.0, "force_mae_eV_per_A": 0.2}
    )
    assert evaluation.largest_difference(off, reference) == pytest.approx(
        {"energy_max_difference_meV_per_atom": 20.0, "force_max_difference_eV_per_A": 0.2}
    )
