"""Layers in the modes that torch has: autocast, half precision, batched gradients, no private calls."""

import sys

import pytest
import torch
from kan_reference import BASES, options, pairwise, randn, without_kernels

from kan_heads import _compat
from kan_heads.kan import KAN

WIDTHS = [[4, 1], [4, 3, 1]]


PATHS = ["kernels", "torch"]
HALVES = [torch.bfloat16, torch.float16]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """The two fast paths of a layer."""
    if request.param == "torch":
        without_kernels(monkeypatch)
    return request.param


def network(basis, widths, generator, **more):
    return KAN(widths, options({"bspline": "bspline3"}.get(basis, basis), **more), generator=generator)


@pytest.mark.parametrize(
    ("basis", "widths", "dtype", "path"), pairwise(BASES, WIDTHS, HALVES, PATHS), indirect=["path"]
)
class TestAutocast:
    def test_a_network_keeps_its_precision(self, basis, widths, dtype, path, generator):
        """Where MLPs run in half a precision KANs do not: their inputs are all that is rounded."""
        model = network(basis, widths, generator).float()
        before = torch.nn.Linear(4, 4).float()
        x = randn(generator, 64, 4).float()
        with torch.autocast("cpu", dtype):
            h = before(x)
            y = model(h)
        assert (h.dtype, y.dtype) == (dtype, torch.float32)
        assert torch.equal(y, model(h.float()))

    def test_a_force_loss_has_the_gradients_of_full_precision(self, basis, widths, dtype, path, generator):
        model = network(basis, widths, generator).float()
        x = randn(generator, 64, 4).float()

        def gradients(mixed):
            at = x.clone().requires_grad_()
            with torch.autocast("cpu", dtype, enabled=mixed):
                (force,) = torch.autograd.grad(model(at).sum(), at, create_graph=True)
                loss = force.square().sum()
            return torch.autograd.grad(loss, list(model.parameters()))

        # Without kernels the base branch is a linear map like any other, and its slope is rounded as theirs.
        # Sums over 64 rows, of products of some rounded numbers of size 1.
        tolerance = 0.0 if path == "kernels" else 16.0 * torch.finfo(dtype).eps
        for mixed, plain in zip(gradients(True), gradients(False), strict=True):
            torch.testing.assert_close(mixed, plain, rtol=tolerance, atol=tolerance)

    def test_torchscript(self, basis, widths, dtype, path, generator):
        model = network(basis, widths, generator).float()
        scripted = torch.jit.script(model)
        h = randn(generator, 16, 4).to(dtype)
        for _ in range(3):  # the profiler compiles at the second call
            with torch.autocast("cpu", dtype):
                y = scripted(h)
        # TorchScript lets autocast round the products of the base branch.
        eps = 8.0 * torch.finfo(dtype).eps
        torch.testing.assert_close(y.float(), model(h.float()), rtol=eps, atol=eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("basis", BASES)
def test_modules_of_half_precision_train(basis, widths, dtype, generator):
    model = network(basis, widths, generator).to(dtype)
    x = randn(generator, 9, 4).to(dtype).requires_grad_()
    (force,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    force.square().sum().backward()
    assert force.dtype == dtype
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    exact = network(basis, widths, torch.Generator().manual_seed(20))(x.detach().double())
    assert float((model(x).double() - exact).abs().max()) < (0.1 if dtype == torch.bfloat16 else 0.02)


def batched(gradient, x, weights):
    return torch.autograd.grad(gradient, x, weights, is_grads_batched=True, create_graph=True)[0]


def mapped(gradient, x, weights):
    return torch.vmap(lambda v: torch.autograd.grad(gradient, x, v, create_graph=True)[0])(weights)


def one_by_one(gradient, x, weights):
    rows = [torch.autograd.grad(gradient, x, v, create_graph=True)[0] for v in weights]
    return torch.stack(rows)


HOW = [batched, mapped]


@pytest.mark.parametrize(
    ("basis", "widths", "layer_norm", "how", "path"),
    pairwise(BASES, WIDTHS, [False, True], HOW, PATHS),
    indirect=["path"],
)
def test_batched_gradients_are_those_one_by_one(basis, widths, layer_norm, how, path, generator):
    """Hessians, and gradients of a loss on them by inputs and parameters."""
    free = {"layer_norm": True, "zero_at_origin": False} if layer_norm else {}
    model = network(basis, widths, generator, **free)
    x = randn(generator, 5, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    weights = torch.eye(20).view(20, 5, 4)
    found, expected = how(gradient, x, weights), one_by_one(gradient, x, weights)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    wanted = [x, *model.parameters()]
    results = [
        torch.autograd.grad(h.square().sum(), wanted, retain_graph=True, allow_unused=True)
        for h in (found, expected)
    ]
    for mine, right in zip(*results, strict=True):
        if right is not None:
            torch.testing.assert_close(mine, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("basis", "widths", "how", "path"),
    pairwise(BASES, [[4, 2], [4, 3, 2]], HOW, PATHS),
    indirect=["path"],
)
def test_batched_gradients_by_parameters(basis, widths, how, path, generator):
    """A Jacobian of outputs by coefficients, as Fisher matrices are made of."""
    model = network(basis, widths, generator)
    y = model(randn(generator, 3, 4))
    c = model.layers[0].coefficients
    weights = torch.eye(6).view(6, 3, 2)
    torch.testing.assert_close(how(y, c, weights), one_by_one(y, c, weights), rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("basis", BASES)
def test_vectorised_hessian(basis, strategy, path, generator):
    model = network(basis, [4, 3, 1], generator)
    x = randn(generator, 5, 4)
    how = {"vectorize": True, "outer_jacobian_strategy": strategy}
    found = torch.autograd.functional.hessian(lambda at: model(at).sum(), x, **how)
    right = torch.func.hessian(lambda at: model(at).sum())(x)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-12)


class TestMemory:
    """The kernels read addresses: a tensor need not lie in memory as they expect it."""

    @pytest.mark.parametrize("basis", BASES)
    def test_an_expanded_buffer_of_a_loaded_state(self, basis, generator):
        model = network(basis, [4, 1], generator, grid_range=(-3.0, 3.0))
        x = randn(generator, 9, 4)
        expected = model(x)
        state = dict(model.state_dict())
        for name in ("layers.0.basis.lower", "layers.0.basis.step"):
            state[name] = state[name][:1].expand(4)
        other = network(basis, [4, 1], generator)
        other.load_state_dict(state, assign=True)
        assert other.layers[0].basis.lower.stride() == (0,)
        assert torch.equal(other(x), expected)

    @pytest.mark.parametrize("widths", WIDTHS, ids=str)
    def test_transposed_and_negated_views(self, widths, generator):
        model = network("bspline", widths, generator)
        x = randn(generator, 9, 4)
        turned = torch.complex(torch.zeros(4, 9), -x.t().contiguous()).conj().imag.t()
        assert turned.is_neg()
        assert not turned.is_contiguous()
        assert torch.equal(model(turned), model(x))

    def test_parameters_that_are_views(self, generator):
        model = network("bspline", [4, 3], generator)
        x = randn(generator, 9, 4)
        expected = model(x)
        layer = model.layers[0]
        spread = torch.zeros(3, 4, 22)
        spread[..., ::2] = layer.coefficients.detach()
        layer.coefficients = torch.nn.Parameter(spread[..., ::2])
        layer.base_weight = torch.nn.Parameter(layer.base_weight.detach().t().contiguous().t())
        assert torch.equal(model(x), expected)

    def test_a_buffer_of_another_shape_is_refused(self, generator):
        model = network("bspline", [4, 1], generator)
        model.layers[0].basis.step = torch.ones(1)
        with pytest.raises(Exception, match=r"shape \(1,\) stands where \(4,\) belongs"):
            model(randn(generator, 9, 4))


class TestTorchWithoutPrivateCalls:
    """A release of torch may drop what it does not document."""

    @pytest.mark.parametrize("missing", ["proxy", "functorch", "forward", "engine", "all"])
    def test_same_numbers(self, missing, monkeypatch, generator):
        model = network("bspline", [4, 3, 1], generator)
        x = randn(generator, 5, 4).requires_grad_()

        def results():
            (force,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
            gradients = torch.autograd.grad(force.square().sum(), list(model.parameters()))
            # Not torch.func.hessian: torch's own forward mode cannot do without what is removed here.
            hessian = torch.func.jacrev(torch.func.jacrev(lambda at: model(at).sum()))(x.detach())
            return [force, *gradients, hessian]

        expected = results()
        self._remove(missing, monkeypatch)
        try:
            found = results()
        finally:
            _compat._get_proxy_mode.cache_clear()
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)

    @staticmethod
    def _remove(missing, monkeypatch):
        if missing in ("proxy", "all"):
            _compat._get_proxy_mode.cache_clear()
            monkeypatch.setitem(sys.modules, "torch.fx.experimental.proxy_tensor", None)
        if missing in ("functorch", "all"):

            class Without:
                """torch's module less one function."""

                def __getattr__(self, name):
                    if name == "peek_interpreter_stack":
                        raise AttributeError(name)
                    return getattr(functorch, name)

            functorch = torch._C._functorch
            monkeypatch.setattr(_compat.torch._C, "_functorch", Without())
        if missing in ("forward", "all"):
            monkeypatch.delattr(torch.autograd.forward_ad, "_current_level")
        if missing in ("engine", "all"):
            monkeypatch.delattr(torch._C, "_will_engine_execute_node")

    def test_says_so_once_where_that_is_slow(self, monkeypatch, generator):
        model = network("bspline", [4, 1], generator)
        self._remove("proxy", monkeypatch)
        try:
            with pytest.warns(RuntimeWarning, match="whether make_fx is recording; KAN layers run on plain"):
                model(randn(generator, 2, 4))
        finally:
            _compat._get_proxy_mode.cache_clear()
