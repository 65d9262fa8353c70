"""How adapters are found: by entry point, by registration, and which of them knows a model."""

from importlib.metadata import EntryPoint

import pytest
import torch

from kan_heads.errors import ConfigError, ModelError
from kan_heads.swap import Adapter, StackAdapter, adapter_of, adapters, register_adapter, registry


class ToyAdapter(StackAdapter):
    name = "toy"

    def fits(self, model):
        return "toy" in dict(model.named_children())


class SpecialAdapter(ToyAdapter):
    def fits(self, model):
        return "special" in dict(model.named_children())


class OtherAdapter(StackAdapter):
    def fits(self, model):
        return "other" in dict(model.named_children())


def model(*names):
    return torch.nn.ModuleDict({name: torch.nn.Linear(2, 1) for name in names})


@pytest.fixture
def registered(monkeypatch):
    """Forgets what a test registers, and asks for the entry points anew."""
    monkeypatch.setattr(registry, "_registered", [])
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


def test_our_own_backbones_are_installed():
    assert {adapter.name for adapter in adapters()} >= {"NequIP", "Allegro", "MACE", "ETGNN"}
    assert all(isinstance(adapter, Adapter) for adapter in adapters())


def test_an_adapter_is_registered_at_run_time(registered):
    assert type(adapter_of(model("toy"))) is StackAdapter
    assert register_adapter(ToyAdapter) is ToyAdapter
    register_adapter(ToyAdapter)
    assert sum(type(adapter) is ToyAdapter for adapter in adapters()) == 1
    assert type(adapter_of(model("toy"))) is ToyAdapter
    assert type(adapter_of(model("else"))) is StackAdapter


def test_the_more_special_adapter_wins_whatever_the_order(registered):
    register_adapter(SpecialAdapter)
    register_adapter(ToyAdapter)
    assert type(adapter_of(model("toy", "special"))) is SpecialAdapter
    register_adapter(OtherAdapter)
    with pytest.raises(ConfigError, match=r"several adapters know the model: .*SpecialAd.*OtherAd"):
        adapter_of(model("special", "other"))


def test_another_package_brings_an_adapter(registered, monkeypatch):
    theirs = EntryPoint("theirs", f"{__name__}:OtherAdapter", registry.GROUP)
    broken = EntryPoint("broken", "no_such_package:Adapter", registry.GROUP)
    ours = EntryPoint("nequip", "kan_heads.backbones.nequip:NequIPAdapter", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [theirs, broken, ours])
    with pytest.warns(UserWarning, match=r"the backbone 'broken' .no_such_package:Adapter. cannot be loaded"):
        assert type(adapter_of(model("other"))) is OtherAdapter


def test_code_that_is_newer_than_its_installation_says_so(registered, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    with pytest.raises(ModelError, match=r"install it again.*pip install -e"):
        adapter_of(model("toy"))


def test_swap_and_backbones_import_no_framework():
    """Every installed adapter is asked about every model, so asking must be cheap."""
    import subprocess
    import sys

    code = (
        "import sys, torch; from kan_heads.swap import adapter_of; adapter_of(torch.nn.Linear(1, 1)); "
        "print(sorted({'nequip', 'allegro', 'mace', 'e3nn', 'lightning', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
