"""One KAN layer: a learnable univariate function on every edge from input to output."""

import math
from typing import Optional

import torch
from torch import Tensor
from torch.nn import functional

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.kan.backends import choose
from kan_heads.kan.bases import make_basis
from kan_heads.kan.config import KANConfig
from kan_heads.kan.state import Recorded


class ShiftedSoftplus(torch.nn.Module):
    r"""The function :math:`\ln(1 + e^x) - \ln 2`, which is 0 at 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Applies the function to every element."""
        return functional.softplus(x) - math.log(2.0)


#: Functions of the base branch. All are 0 at 0, so that the branch never moves phi(0).
BASE_FUNCTIONS = {
    "silu": torch.nn.SiLU,
    "identity": torch.nn.Identity,
    "gelu": torch.nn.GELU,
    "mish": torch.nn.Mish,
    "tanh": torch.nn.Tanh,
    "elu": torch.nn.ELU,
    "ssp": ShiftedSoftplus,
}

# Normal inputs hardly touch a grid far from 0; without a floor the first weights would be infinite.
_LEAST_POWER = 1e-6


class KANLayer(Recorded, torch.nn.Module):
    r"""A layer of univariate functions, :math:`y_o = \sum_i \varphi_{oi}(x_i)`.

    .. math:: \varphi_{oi}(x) = b_{oi}\,\sigma(x) + \sum_j u_{ij} c_{oij} (\phi_j(x) - \phi_j(0))

    with a base function :math:`\sigma` (SiLU), a basis :math:`\phi_j` and units :math:`u_{ij}`, see
    :attr:`KANConfig.units`. The layer is the same function in eager mode, TorchScript, make_fx,
    torch.compile and AOTInductor, and works under autocast in the precision of its parameters.

    Args:
        in_features: number of inputs.
        out_features: number of outputs.
        config: see :class:`KANConfig`; ``hidden`` plays no part here.
        generator: source of the initial weights; torch's current one if ``None``.

    Example:
        >>> layer = KANLayer(16, 1)
        >>> layer(torch.zeros(1, 16)).item()
        0.0

    Raises:
        ConfigError: if a size is not positive or the configuration names what does not exist.

    Source: Liu et al., arXiv 2404.19756, eq. 2.10; Wang et al. 2024, Figure 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        config: Optional[KANConfig] = None,
        generator: Optional[torch.Generator] = None,
    ) -> None:
        super().__init__()
        config = KANConfig() if config is None else config
        if in_features < 1 or out_features < 1:
            raise ConfigError(f"KANLayer: in={in_features} and out={out_features} must be at least 1")
        self.in_features = in_features
        self.out_features = out_features
        self.spline_fraction = config.spline_fraction
        self.zero_at_origin = config.zero_at_origin
        self.basis = make_basis(in_features, config)
        self.slope_units = config.units == "slope"
        self.register_buffer("unit", None)  # (in, n_basis)
        self.reset_units()
        shape = (out_features, in_features, self.basis.n_basis)
        self.coefficients = torch.nn.Parameter(torch.empty(shape))
        self.base = config.base
        if config.base is not None:
            if config.base not in BASE_FUNCTIONS:
                raise unknown_name("base", config.base, BASE_FUNCTIONS)
            self.base_function = BASE_FUNCTIONS[config.base]()
            self.base_weight = torch.nn.Parameter(torch.empty(out_features, in_features))
        else:
            self.base_function = torch.nn.Identity()
            self.register_parameter("base_weight", None)
        self.bias = torch.nn.Parameter(torch.zeros(out_features)) if config.bias else None
        self.norm = torch.nn.LayerNorm(in_features) if config.layer_norm else None
        self.reset_parameters(generator)

    @torch.jit.ignore
    def reset_parameters(self, generator: Optional[torch.Generator] = None) -> None:
        """Draws weights that keep the variance of standard normal inputs.

        A share ``spline_fraction`` of the output variance comes from the basis, the rest from the
        base branch (all of it from the basis if there is no base branch).
        """
        fraction = 1.0 if self.base is None else self.spline_fraction
        with torch.no_grad():
            x, density = _standard_normal(self.coefficients)
            power = self._shifted_basis(x.expand(-1, self.in_features)).square().sum(-1)  # (m, in)
            power = (density * power).sum(0).clamp_min(_LEAST_POWER)  # (in,)
            spread = torch.sqrt(fraction / (self.in_features * power))  # (in,)
            self.coefficients.normal_(generator=generator).mul_(spread.unsqueeze(-1))
            if self.unit is not None:
                self.coefficients.div_(self.unit)
            if self.base_weight is not None:
                power = (density * self.base_function(x).square()).sum()
                spread = torch.sqrt((1.0 - fraction) / (self.in_features * power))
                self.base_weight.normal_(generator=generator).mul_(spread)
            if self.bias is not None:
                self.bias.zero_()
            if self.norm is not None:
                self.norm.reset_parameters()

    @torch.jit.ignore
    def reset_units(self) -> None:
        """Chooses the units that suit the present grid; the functions change unless coefficients follow."""
        unit = self.basis.slope_units() if self.slope_units else None
        # Ones cost a product in every pass and change nothing.
        self.unit = None if unit is None or bool((unit == 1.0).all()) else unit

    def values(self) -> Tensor:
        """Returns the coefficients in units of their values, shape ``(out, in, n_basis)``."""
        return self.coefficients if self.unit is None else self.coefficients * self.unit

    @torch.jit.ignore
    def set_values(self, values: Tensor) -> None:
        """Sets the coefficients so that :meth:`values` returns ``values``, shape ``(out, in, n_basis)``."""
        with torch.no_grad():
            unit = 1.0 if self.unit is None else self.unit.to(values)
            self.coefficients.copy_(values / unit)

    @torch.jit.ignore
    def functions(self) -> dict:
        """Returns what decides the functions that given weights make, as plain values."""
        norm = self.norm is not None
        own = {"base": self.base, "zero_at_origin": self.zero_at_origin, "layer_norm": norm}
        return {**self.basis.functions(), **own}

    def edge_basis(self, x: Tensor) -> Tensor:
        """Evaluates the basis as the layer uses it, shifted to 0 at 0 unless that is turned off.

        Args:
            x: inputs, shape ``(n, in_features)``.

        Returns:
            Values, shape ``(n, in_features, n_basis)``.
        """
        if self.norm is not None:
            x = self.norm(x)
        return self._shifted_basis(x)

    def _shifted_basis(self, x: Tensor) -> Tensor:
        if self.zero_at_origin:
            return self.basis.anchored(x)
        return self.basis(x)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer.

        Args:
            x: inputs, shape ``(..., in_features)``.

        Returns:
            Outputs, shape ``(..., out_features)``.
        """
        rows = x.reshape(-1, self.in_features)  # (n, in)
        if torch.jit.is_scripting():
            y = self.plain(rows.to(self.coefficients.dtype))
        elif torch.is_autocast_enabled(rows.device.type):  # TorchScript leaves out these branches
            # Half a precision cannot tell positions between knots: as autocast itself treats exp and sums.
            with torch.autocast(rows.device.type, enabled=False):
                rows = rows.to(self.coefficients.dtype)
                y = choose(self, rows).outputs(self, rows)
        else:
            y = choose(self, rows).outputs(self, rows)  # (n, out)
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(x.shape[:-1] + (self.out_features,))  # noqa: RUF005  TorchScript has no unpacking

    def plain(self, x: Tensor) -> Tensor:
        """Computes the layer without its bias in operations that anything can trace.

        This is the backend ``traced``; it stands here because TorchScript reads methods of modules only.

        Args:
            x: inputs, shape ``(n, in_features)``.

        Returns:
            Outputs, shape ``(n, out_features)``.
        """
        inputs = x if self.norm is None else self.norm(x)
        weight = self.base_weight
        if weight is None:
            return self.basis.expand(inputs, self.values(), self.zero_at_origin)
        if self.out_features == 1:
            extra = weight * self.base_function(x)  # (n, in): one pass over the inputs for both branches
            return self.basis.expand(inputs, self.values(), self.zero_at_origin, extra)
        y = self.basis.expand(inputs, self.values(), self.zero_at_origin)
        return y + functional.linear(self.base_function(x), weight)

    @torch.jit.ignore
    def edge_functions(self, x: Tensor) -> Tensor:
        r"""Evaluates every univariate function on its own, for plots and regularisation.

        Args:
            x: inputs, shape ``(n, in_features)``.

        Returns:
            :math:`\varphi_{oi}(x_{ni})`, shape ``(n, out_features, in_features)``.
        """
        y = torch.einsum("nib,oib->noi", self.edge_basis(x), self.values())
        if self.base_weight is not None:
            y = y + self.base_function(x).unsqueeze(1) * self.base_weight
        return y

    def extra_repr(self) -> str:
        """Shows the shape of the layer."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def _standard_normal(like: Tensor) -> tuple:
    """Returns points, shape (m, 1), and weights, shape (m, 1), that average over N(0, 1)."""
    x = torch.linspace(-6.0, 6.0, 601, dtype=like.dtype, device=like.device).unsqueeze(-1)
    weight = torch.exp(-0.5 * x * x)
    return x, weight / weight.sum()


def unused_generator() -> torch.Generator:
    """Returns a generator for weights that are about to be replaced, so that no other one moves."""
    return torch.Generator().manual_seed(0)
