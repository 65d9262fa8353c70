"""What a basis is."""

from typing import Any, ClassVar, Dict, Iterator, Optional, Tuple

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan.config import KANConfig

_BLOCK = 1 << 19  # elements of one block of bases: 2 MiB in float32, which a cache holds
_DEVICE_BLOCK = 1 << 27  # on an accelerator only the memory matters: 512 MiB

_NARROW = 2.0  # on narrower grids coefficients are in units of slope

#: Stands for "values, less those at 0" where an order of derivative is expected.
ANCHORED = -1


class Basis(torch.nn.Module):
    r"""A set of univariate functions :math:`\phi_{ij}(x_i)`, the same set for every input feature.

    Each feature has its own grid, always uniform: ``lower`` and ``step`` are buffers of shape
    ``(in_features,)``. A subclass sets ``n_basis`` and writes :meth:`forward`, whose derivatives
    of every order must be right under plain automatic differentiation (no ``abs`` or ``relu``
    at a point where the function is smooth).

    Args:
        in_features: number of input features.
        config: ``grid_size``, ``grid_range`` and the options named in ``extra_options``.

    Raises:
        ConfigError: if ``config`` sets an option that belongs to another basis.
    """

    extra_options: ClassVar[Tuple[str, ...]] = ()
    #: Whether :meth:`derivative` is a formula; if not, layers differentiate :meth:`forward` as it runs.
    closed_derivatives: ClassVar[bool] = False
    #: Width of the range where the functions bend, in widths of the grid; refinement fits them there.
    reach: ClassVar[float] = 1.0
    #: What a configuration calls it; :func:`kan_heads.kan.bases.make_basis` sets it for
    #: bases of other packages.
    name: str = ""
    n_basis: int

    def __init__(self, in_features: int, config: KANConfig) -> None:
        super().__init__()
        for option in ("order", "extrapolation"):
            if getattr(config, option) is not None and option not in self.extra_options:
                raise ConfigError(f"{option}: not an option of basis {config.basis!r}; remove it")
        self.in_features = in_features
        self.grid_size = config.grid_size
        lower, upper = config.grid_range
        self.register_buffer("lower", torch.full((in_features,), lower))
        self.register_buffer("step", torch.full((in_features,), (upper - lower) / config.grid_size))

    @property
    def upper(self) -> Tensor:
        """Upper end of each feature's grid, shape ``(in_features,)``."""
        return self.lower + self.grid_size * self.step

    @torch.jit.ignore
    def set_range(self, lower: Tensor, upper: Tensor) -> None:
        """Moves the grid of every feature.

        Args:
            lower: lower ends, shape ``(in_features,)``.
            upper: upper ends, shape ``(in_features,)``, each above its lower end.
        """
        self.lower.copy_(lower)
        self.step.copy_((upper - lower) / self.grid_size)

    @torch.jit.ignore
    def slope_units(self) -> Tensor:
        """Returns the units in which a step of an optimiser moves slopes alike, however narrow the grid.

        An optimiser such as Adam moves every parameter by the learning rate, and a function on a narrow
        grid is steep. The unit is half the width of the grid, and 1 on grids wider than 2, where functions
        are no steeper than the weights of an MLP. A basis with steeper members divides by their slope.

        Returns:
            Units, shape ``(in_features, n_basis)``.
        """
        unit = ((self.upper - self.lower) / _NARROW).clamp_max(1.0)
        return unit.unsqueeze(-1).repeat(1, self.n_basis)

    @torch.jit.ignore
    def functions(self) -> Dict[str, Any]:
        """Returns what names the functions besides the grid, as plain values."""
        return {"basis": self.name}

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates every basis function.

        Args:
            x: inputs, shape ``(n, in_features)``.

        Returns:
            Values, shape ``(n, in_features, n_basis)``.
        """
        raise NotImplementedError

    def anchored(self, x: Tensor) -> Tensor:
        """Evaluates every basis function less its value at 0, which makes it exactly 0 there.

        The value at 0 comes from the same operations in the same precision, so that the
        difference vanishes to the last bit.

        Args:
            x: inputs, shape ``(n, in_features)``.

        Returns:
            Values, shape ``(n, in_features, n_basis)``.
        """
        origin = torch.zeros(1, self.in_features, dtype=x.dtype, device=x.device)
        return self.forward(x) - self.forward(origin)

    def expand(self, x: Tensor, c: Tensor, anchored: bool, extra: Optional[Tensor] = None) -> Tensor:
        """Sums the expansion in plain operations, for whatever traces or scripts them.

        Args:
            x: inputs, shape ``(n, in_features)``.
            c: coefficients, shape ``(out, in_features, n_basis)``.
            anchored: subtract each function's value at 0.
            extra: added under the sum over inputs, shape ``(n, in_features)``.

        Returns:
            Sums, shape ``(n, out)``.
        """
        return self.expand_all(x, c, anchored, extra)

    def expand_all(self, x: Tensor, c: Tensor, anchored: bool, extra: Optional[Tensor]) -> Tensor:
        """Does what :meth:`expand` does by evaluating every function at every input."""
        values = self.anchored(x) if anchored else self.forward(x)  # (n, in, n_basis)
        y = torch.nn.functional.linear(values.flatten(1), c.flatten(1))
        return y if extra is None else y + extra.sum(-1, keepdim=True)

    @torch.jit.ignore
    def derivative(self, x: Tensor, order: int) -> Tensor:
        """Evaluates the derivative of every basis function.

        This form differentiates :meth:`forward`; a basis with a closed form overrides it.

        Args:
            x: inputs, shape ``(n, in_features)``.
            order: order of the derivative, at least 1.

        Returns:
            Derivatives, shape ``(n, in_features, n_basis)``.
        """
        lower = self.forward if order == 1 else lambda at: self.derivative(at, order - 1)
        return torch.func.jvp(lower, (x,), (torch.ones_like(x),))[1]

    @torch.jit.ignore
    def evaluate(self, x: Tensor, order: int) -> Tensor:
        """Evaluates anchored values (order :data:`ANCHORED`), values (0) or derivatives."""
        if order == ANCHORED:
            return self.anchored(x)
        return self(x) if order == 0 else self.derivative(x, order)

    @torch.jit.ignore
    def contract(self, x: Tensor, c: Tensor, order: int) -> Tensor:
        r"""Evaluates :math:`\sum_j \phi_j^{(d)}(x_{ni})\, c_{ij}`: one function per feature.

        Args:
            x: inputs, shape ``(n, in_features)``.
            c: coefficients, shape ``(in_features, n_basis)``.
            order: order d of the derivative, or :data:`ANCHORED`.

        Returns:
            Function values, shape ``(n, in_features)``.
        """
        y = torch.empty_like(x)
        for rows in self.blocks(x):
            torch.sum(self.evaluate(x[rows], order) * c, -1, out=y[rows])
        return y

    @torch.jit.ignore
    def accumulate(self, x: Tensor, v: Tensor, order: int) -> Tensor:
        r"""Evaluates :math:`\sum_n v_{ni}\, \phi_j^{(d)}(x_{ni})`, the transpose of :meth:`contract`.

        Args:
            x: inputs, shape ``(n, in_features)``.
            v: weights, shape ``(n, in_features)``.
            order: order d of the derivative, or :data:`ANCHORED`.

        Returns:
            Sums, shape ``(in_features, n_basis)``.
        """
        total = x.new_zeros(self.in_features, self.n_basis)
        for rows in self.blocks(x):
            total += (self.evaluate(x[rows], order) * v[rows].unsqueeze(-1)).sum(0)
        return total

    @torch.jit.ignore
    def blocks(self, x: Tensor) -> Iterator[slice]:
        """Cuts the rows of x into blocks whose bases fit a processor's cache or a device's memory."""
        block = _BLOCK if x.device.type == "cpu" else _DEVICE_BLOCK
        rows = max(64, block // (self.n_basis * self.in_features))
        for start in range(0, x.shape[0], rows):
            yield slice(start, start + rows)

    def extra_repr(self) -> str:
        """Shows the size of the grid."""
        return f"in_features={self.in_features}, grid_size={self.grid_size}, n_basis={self.n_basis}"
