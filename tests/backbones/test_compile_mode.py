"""``compile_mode: compile`` trains the model that eager mode trains."""

import pytest
import torch
from models import ALLEGRO, NEQUIP, ONE_LAYER, build
from nequip.data import AtomicDataDict
from nequip.utils.test import override_irreps_debug

pytestmark = pytest.mark.slow


def loss_gradients(model, data):
    out = model(dict(data))
    (out["forces"].square().mean() + out["total_energy"].square().mean()).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return out["total_energy"].detach(), out["forces"].detach(), gradients


@pytest.mark.parametrize(
    ("backbone", "kan"), [(ALLEGRO, ONE_LAYER), ({**NEQUIP, "num_layers": 1}, {"basis": "gaussian"})]
)
@override_irreps_debug(False)
def test_compiled_training_equals_eager(backbone, kan, Cu_bulk):  # noqa: N803
    _, frame = Cu_bulk
    frame = {**frame, "atom_types": frame["atom_types"] + 3}
    data = AtomicDataDict.batched_from_list([frame, frame])  # nequip leaves single frames uncompiled
    eager = build(backbone, kan)
    compiled = build(backbone, kan, compile_mode="compile")
    expected, found = loss_gradients(eager, data), loss_gradients(compiled, data)
    assert compiled._compiled_cache[0], "nothing was compiled"
    torch.testing.assert_close(found[0], expected[0], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(found[1], expected[1], atol=1e-10, rtol=1e-8)
    assert found[2].keys() == expected[2].keys()
    for name, gradient in expected[2].items():
        torch.testing.assert_close(found[2][name], gradient, atol=1e-10, rtol=1e-8, msg=name)
    assert any("coefficients" in name for name in expected[2])
