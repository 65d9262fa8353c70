"""Tests that every backbone passes; a new one inherits them. Needs pytest, and nothing else imports it."""

import copy
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Set, Type

import pytest
import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.swap import Adapter, adapter_of, calibrate, kans_of, replace_mlps

__all__ = ["BackboneTests"]


class BackboneTests:
    """What users rely on whenever a backbone gets KANs.

    A subclass whose name begins with ``Test`` sets ``adapter`` and ``scopes`` and has the methods
    :meth:`build`, :meth:`batch`, :meth:`predict` and :meth:`output`; :meth:`compiled` is optional.

    Example:
        >>> class TestMine(BackboneTests):
        ...     adapter = MyAdapter
        ...     scopes = {"output": {"head.mlp"}, "all": {"head.mlp", "embed.mlp"}}
        ...     # build, batch, predict, output
    """

    #: The adapter that must know the model.
    adapter: ClassVar[Type[Adapter]]
    #: For each scope the short paths of the modules that are KANs afterwards.
    scopes: ClassVar[Mapping[str, Set[str]]]
    #: Options without which a trained MLP cannot be kept, such as ``zero_at_origin: False`` for biases.
    to_keep: ClassVar[Mapping[str, Any]] = {}
    #: Relative and absolute difference, in the units of the outputs, that count as none in float64.
    rtol: ClassVar[float] = 1e-10
    atol: ClassVar[float] = 1e-12

    def build(self) -> torch.nn.Module:
        """Builds the stock model: small, in float64, its weights not zero and the same in every call."""
        raise NotImplementedError

    def batch(self) -> Any:
        """Returns a batch as :meth:`kan_heads.swap.Adapter.run` takes it; the same in every call."""
        raise NotImplementedError

    def predict(self, model: torch.nn.Module) -> Dict[str, Tensor]:
        """Returns all outputs of a model for that batch by name, detached."""
        raise NotImplementedError

    def output(self, model: torch.nn.Module) -> Tensor:
        """Returns one number, such as the total energy of that batch, with its graph."""
        raise NotImplementedError

    def compiled(self, model: torch.nn.Module) -> Optional[torch.nn.Module]:
        """Returns the model as it is deployed (scripted, compiled, exported); ``None`` if it is not."""
        return None

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Runs a test that takes a scope for each of them."""
        if "scope" in metafunc.fixturenames:
            metafunc.parametrize("scope", list(self.scopes))

    def stock(self) -> torch.nn.Module:
        """Returns a copy of the stock model, which is built once for the class."""
        kind = type(self)
        if "_stock" not in kind.__dict__:
            kind._stock = self.build()
        return copy.deepcopy(kind._stock)

    def swapped(self, scope: str, keep_function: bool = False, **options: Any) -> torch.nn.Module:
        """Returns the model with KANs whose basis takes part."""
        model = self.stock()
        kept = self.to_keep if keep_function else {}
        replace_mlps(model, scope, {**kept, **options}, keep_function=keep_function)
        return model

    def short_paths(self, model: torch.nn.Module) -> List[str]:
        """Returns the short paths of the KANs."""
        return [self.adapter().short_path(path) for path in kans_of(model)]

    def close(self, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        """Asserts that two predictions are the same to rounding."""
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=self.rtol, atol=self.atol, msg=name)

    def test_the_model_is_known_with_and_without_kans(self) -> None:
        """A model out of a file must be recognised as well as a new one."""
        assert type(adapter_of(self.stock())) is self.adapter
        assert type(adapter_of(self.swapped(next(iter(self.scopes))))) is self.adapter

    def test_a_scope_names_the_documented_modules(self, scope: str) -> None:
        """And all other modules stay what they are."""
        # By name: each copy of a model of e3nn has classes of its own.
        before = {path: type(module).__name__ for path, module in self.stock().named_modules()}
        model = self.swapped(scope)
        assert set(self.short_paths(model)) == self.scopes[scope]
        sites = self.adapter().select(self.stock(), scope)
        for path, module in model.named_modules():
            if path and not any(path == site or path.startswith(f"{site}.") for site in sites):
                assert type(module).__name__ == before[path], path

    def test_all_scopes_are_tested(self) -> None:
        """A scope that nobody looks at may hold anything."""
        assert set(self.adapter().scopes()) == set(self.scopes)

    @pytest.mark.parametrize("basis", ["bspline", "gaussian"])
    def test_kans_start_out_equal_to_trained_mlps(self, scope: str, basis: str) -> None:
        """Fine-tuning begins where the trained model ended."""
        expected = self.predict(self.stock())
        self.close(self.predict(self.swapped(scope, keep_function=True, basis=basis)), expected)

    @pytest.mark.parametrize("basis", ["bspline", "gaussian", "fourier", "chebyshev"])
    def test_new_kans_map_zero_to_zero(self, scope: str, basis: str) -> None:
        """Features that vanish at the cutoff give an energy that vanishes, exactly."""
        for path, kan in kans_of(stirred(self.swapped(scope, basis=basis))).items():
            zeros = torch.zeros(3, kan.dims[0], dtype=next(kan.parameters()).dtype)
            assert (kan(zeros) == 0.0).all(), path

    def test_every_kan_takes_part(self, scope: str) -> None:
        """A KAN that no output depends on was put in the wrong place."""
        model = stirred(self.swapped(scope))
        kans = kans_of(model)
        self.output(model).backward()
        for path, kan in kans.items():
            gradients = [p.grad for p in kan.parameters() if p.grad is not None]
            assert any((gradient != 0.0).any() for gradient in gradients), path

    def test_a_state_restarts_the_model(self, scope: str) -> None:
        """Weights and grids of one model make another of the same settings predict the same."""
        model = stirred(self.swapped(scope), seed=1)
        other = stirred(self.swapped(scope), seed=2)
        calibrate(model, [self.batch()])
        expected = self.predict(model)
        assert any((self.predict(other)[name] != value).any() for name, value in expected.items())
        other.load_state_dict(model.state_dict())
        for name, value in self.predict(other).items():
            assert torch.equal(value, expected[name]), name

    def test_calibrated_grids_hold_the_features_and_keep_the_function(self, scope: str) -> None:
        """Grids move before training without a change of what the model says."""
        model = self.swapped(scope, keep_function=True)
        expected = self.predict(model)
        kans = calibrate(model, [self.batch()])
        self.close(self.predict(model), expected)
        hooks, shares = [], []
        for kan in kans.values():
            hooks.append(kan.register_forward_pre_hook(lambda k, x: shares.append(k.coverage(x[0])[0].max())))
        self.adapter().run(model, self.batch())
        for hook in hooks:
            hook.remove()
        assert len(shares) >= len(kans)
        assert max(map(float, shares)) == 0.0

    def test_outputs_are_linear_in_what_the_readouts_return(self) -> None:
        """The factors of the rows, and nothing else, take a change of the readouts to the output."""
        model = stirred(self.swapped("output" if "output" in self.scopes else "all"))
        adapter = self.adapter()
        readouts = adapter.readouts(model)
        if not readouts:
            pytest.skip("this backbone names no readouts")
        with adapter.features(model) as seen:
            before = self.output(model)
        assert set(seen) == set(readouts)
        factors = {path: features.factors(before).detach() for path, features in seen.items()}
        with torch.no_grad():
            for path in readouts:
                for parameter in model.get_submodule(path).parameters():
                    parameter.mul_(1.1)
        with adapter.features(model) as moved:
            after = self.output(model)
        change = sum((factors[p] * (moved[p].y - seen[p].y)).sum() for p in seen).detach()
        before, after = before.detach(), after.detach()
        assert abs(float(change)) > 1e-6 * (1.0 + abs(float(before)))
        torch.testing.assert_close(after - before, change, rtol=1e-9, atol=1e-10)
        for path, features in seen.items():
            assert features.rows in ("atoms", "edges", "triplets")
            assert features.x.shape[0] == features.y.shape[0], path
            assert torch.equal(features.x.detach(), moved[path].x.detach()), path

    @pytest.mark.parametrize("wrong", [{"basis": "bsplin"}, {"bais": "bspline"}, {"scope": ["nowhere*"]}])
    def test_a_wrong_option_is_one_line_and_changes_nothing(self, wrong: Mapping[str, Any]) -> None:
        """A user reads what is wrong and what there is instead."""
        model = self.stock()
        before = [type(module) for module in model.modules()]
        with pytest.raises(ConfigError) as error:
            replace_mlps(model, kan=wrong)
        assert "\n" not in str(error.value)
        assert [type(module) for module in model.modules()] == before

    def test_the_deployed_model_predicts_the_same(self, scope: str) -> None:
        """What users run is compiled."""
        model = stirred(self.swapped(scope))
        deployed = self.compiled(copy.deepcopy(model))
        if deployed is None:
            pytest.skip("this backbone has no deployed form here")
        self.close(self.predict(deployed), self.predict(model))


def stirred(model: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Moves the weights of all KANs, so that none is zero and no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for kan in kans_of(model).values():
            for parameter in kan.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.1 * noise.to(parameter.dtype))
    return model
