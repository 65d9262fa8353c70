"""Frozen readouts inside real models: the modifier, the stock programs, and ``kan-heads compile``."""

import copy

import ase.io
import numpy as np
import pytest
from models import ALLEGRO, NEQUIP, ONE_LAYER, build
from nequip.model.modify_utils import get_all_modifiers, modify
from test_deployment import PREDICT, without_kan_heads
from test_physics import evaluate, trimer
from workflow import predict, run, train

from kan_heads.kan.freeze import freeze

FREEZE = [{"modifier": "freeze_kan"}]


@pytest.mark.parametrize("config", [ALLEGRO, NEQUIP], ids=["allegro", "nequip"])
@pytest.mark.parametrize("kan", [ONE_LAYER, {"scope": "all", "basis": "bspline"}], ids=["output", "all"])
def test_the_modifier_keeps_energies_and_forces(config, kan):
    model = build(config, kan)
    frozen = modify(copy.deepcopy(model), FREEZE)
    energy, forces, _ = evaluate(model, trimer(1.9))
    found, found_forces, _ = evaluate(frozen, trimer(1.9))
    assert found == pytest.approx(energy, rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(found_forces, forces, rtol=1e-12, atol=1e-12)
    assert any(type(module).__name__ == "FrozenKANLayer" for module in frozen.modules())


def test_a_stock_model_has_no_such_modifier():
    stock = build({**ALLEGRO, "_target_": "allegro.model.AllegroModel"})
    assert "freeze_kan" not in get_all_modifiers(stock)
    assert freeze(stock).frozen == []


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lonely_atoms_keep_exactly_the_reference_energy(dtype):
    model = build(
        ALLEGRO, ONE_LAYER, dtype=dtype, per_type_energy_shifts={"H": 0, "C": 0, "O": 0, "Cu": -3.7}
    )
    _, forces, out = evaluate(modify(model, FREEZE), trimer(50.0)[[0, 2]])
    assert (out["atomic_energy"] == -3.7).all()
    assert (forces == 0.0).all()


@pytest.fixture(scope="module")
def trained(silver):
    out = silver / "spline"
    options = ("basis=bspline", "+hidden=[]")
    overrides = [f"{'+' * o.startswith('+')}training_module.model.kan.{o.lstrip('+')}" for o in options]
    train("allegro/ag-output-gaussian", silver, out, *overrides)
    return out


@pytest.mark.slow
class TestCompiling:
    def test_a_checkpoint(self, trained, silver):
        path = trained / "frozen.nequip.pt2"
        output, stages = run("kan-heads", "compile", trained / "best.ckpt", path, cwd=trained)
        assert "frozen: 1 of 1 KAN layers" in output
        assert "largest difference" in output
        assert "takes a minute" in stages
        frame = ase.io.read(silver / "val.extxyz")
        energy, forces = predict(trained / "best.ckpt", frame)
        ase.io.write(trained / "one.extxyz", frame)
        code = PREDICT.format(
            structure=str(trained / "one.extxyz"),
            load="from_compiled_model",
            path=str(path),
            out=str(trained / "one.npy"),
        )
        done = without_kan_heads(trained, code)
        assert done.returncode == 0, done.stderr[-3000:]
        found = np.load(trained / "one.npy")
        assert found[0, 0] == pytest.approx(energy, abs=2e-5 * len(frame))
        np.testing.assert_allclose(found[1:], forces, atol=5e-5)

    def test_a_package(self, trained):
        package = trained / "model.nequip.zip"
        run("nequip-package", "build", trained / "best.ckpt", package, cwd=trained)
        output, _ = run(
            *("kan-heads", "compile", package, trained / "package.nequip.pt2"),
            *("--target", "pair_allegro"),
            cwd=trained,
        )
        assert "frozen: 1 of 1 KAN layers" in output

    def test_the_stock_program_knows_the_modifier(self, trained):
        path = trained / "stock.nequip.pt2"
        options = ("--mode", "aotinductor", "--device", "cpu", "--target", "ase", "--modifiers", "freeze_kan")
        run("nequip-compile", trained / "best.ckpt", path, *options, cwd=trained)
        assert path.exists()
