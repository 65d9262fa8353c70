"""Models of several heads: what each head says, choosing one, fine-tuning with several."""

import mace_models
import pytest
import torch
from mace.tools.scripts_utils import remove_pt_head

from kan_heads.errors import ModelError
from kan_heads.kan import KAN
from kan_heads.mace.models import ScaleShiftMACE, restore

HEADS = ("a", "b", "c")
SETTINGS = [{}, {"scope": "all", "hidden": [4]}, {"preset": "published"}]
IDS = ["recommended", "all", "published"]


@pytest.fixture(params=SETTINGS, ids=IDS)
def model(request, double):
    return mace_models.kan(request.param, keep_function=False, heads=HEADS)


def test_each_head_has_its_own_kans(model):
    before = {
        head: mace_models.predict(model, mace_models.crystal(), heads=HEADS, head=head) for head in HEADS
    }
    with torch.no_grad():
        for parameter in model.readouts[1].kans[1].parameters():
            parameter.add_(torch.randn_like(parameter))
    for head in HEADS:
        now = mace_models.predict(model, mace_models.crystal(), heads=HEADS, head=head)
        assert (mace_models.difference(before[head], now) > 1e-3) == (head == "b")


@pytest.mark.parametrize("head", HEADS)
def test_selecting_a_head_keeps_its_predictions(model, head):
    expected = mace_models.predict(model, mace_models.crystal(), heads=HEADS, head=head)
    single = remove_pt_head(model, head)
    assert isinstance(single, ScaleShiftMACE)
    assert single.heads == [head]
    assert single.kan_settings() == model.kan_settings()
    found = mace_models.predict(single, mace_models.crystal(), heads=[head], head=head)
    assert mace_models.difference(expected, found) < 1e-11


@pytest.mark.parametrize("scope", ["output", "all"])
def test_selected_head_keeps_the_models_precision(scope, double):
    model = mace_models.kan({"scope": scope}, heads=HEADS)
    torch.set_default_dtype(torch.float32)
    single = remove_pt_head(model, "a")
    assert {parameter.dtype for parameter in single.parameters()} == {torch.float64}


def test_a_cut_by_mace_that_is_not_patched_is_refused(double, monkeypatch):
    monkeypatch.delattr(ScaleShiftMACE, "select_head")
    with pytest.raises(ModelError, match="kan-heads patch apply mace"):
        remove_pt_head(mace_models.kan(heads=HEADS), "b")


def test_fine_tuning_with_several_heads_starts_from_the_foundation(double):
    """MACE builds such a model from the foundation's classes; `restore` brings the KANs."""
    foundation = mace_models.kan({"scope": "all", "hidden": [4]}, keep_function=False)
    with torch.no_grad():
        for module in foundation.modules():
            if isinstance(module, KAN):
                module.calibrate(torch.randn(50, module.dims[0]))
    target = mace_models.kan({"scope": "all", "hidden": [4]}, heads=HEADS, seed=5)
    with torch.no_grad():  # what MACE copies itself: the backbone
        for name, value in target.state_dict().items():
            source = foundation.state_dict().get(name)
            if source is not None and not name.startswith("readouts") and source.shape == value.shape:
                value.copy_(source)
    restore(target, foundation)
    expected = mace_models.predict(foundation, mace_models.crystal())
    for head in HEADS:
        found = mace_models.predict(target, mace_models.crystal(), heads=HEADS, head=head)
        assert mace_models.difference(expected, found) < 1e-11
