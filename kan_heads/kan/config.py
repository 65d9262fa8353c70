"""The options of a KAN: one strict, frozen record."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Mapping, Optional, Tuple

from kan_heads.errors import ConfigError, unknown_name

EXTRAPOLATIONS = ("linear", "zero")
UNITS = ("slope", "value")


@dataclasses.dataclass(frozen=True)
class KANConfig:
    """What every layer of a KAN is made of.

    Args:
        hidden: widths of the hidden layers; ``()`` is a single layer, ``None`` leaves the choice to
            whoever builds the network (a backbone keeps the widths of the MLP that it replaces).
        basis: name of the basis, see :func:`kan_heads.kan.basis_names`.
        grid_size: number of grid intervals (B-spline, Gaussian), harmonics (Fourier) or the degree
            (Chebyshev).
        grid_range: the inputs that the grid covers at the start, ``(lower, upper)``.
        order: order of the B-splines, 1 to 5 (3 is cubic); must stay ``None`` for other bases.
        extrapolation: what a B-spline does outside the grid: ``linear`` goes on with the slope at
            the end of the grid; ``zero`` fades to zero over ``order`` intervals, as efficient-kan
            does. Must stay ``None`` for other bases.
        base: function of the base branch, see :data:`kan_heads.kan.layer.BASE_FUNCTIONS`; ``None`` leaves
            the branch out.
        zero_at_origin: subtract each basis function's value at 0, so that phi(0) = 0 exactly.
            Turning it off breaks the smooth decay of an energy at the cutoff.
        bias: add a trainable constant per output; needs ``zero_at_origin: false``.
        layer_norm: normalise the inputs of the basis, as FastKAN does. Unsafe for molecular
            dynamics: near the cutoff, where features vanish, it divides by their tiny norm and the
            forces diverge. Needs ``zero_at_origin: false``.
        spline_fraction: share of the output variance that comes from the basis at initialisation,
            the rest comes from the base branch.
        units: what a step of an optimiser changes. ``slope``: coefficients on a grid narrower than 2 are
            multiplied by half its width, and those of harmonic m by 1 / m, so that the slope of a function
            moves alike on every grid. ``value``: they are the values of the functions, as in releases up to
            0.1 and in pykan; on narrow grids and with many harmonics training diverges.

    Raises:
        ConfigError: if a value is out of range or two options contradict each other.
    """

    hidden: Optional[Tuple[int, ...]] = None
    basis: str = "bspline"
    grid_size: int = 8
    grid_range: Tuple[float, float] = (-4.0, 4.0)
    order: Optional[int] = None
    extrapolation: Optional[str] = None
    base: Optional[str] = "silu"
    zero_at_origin: bool = True
    bias: bool = False
    layer_norm: bool = False
    spline_fraction: float = 0.1
    units: str = "slope"

    def __post_init__(self) -> None:
        """Checks each value; the basis checks what only it knows."""
        if self.hidden is not None:
            hidden = tuple(self.hidden) if isinstance(self.hidden, Iterable) else (self.hidden,)
            if not all(_is_int(width) and width > 0 for width in hidden):
                raise ConfigError(f"hidden: {self.hidden!r} must be a list of positive widths, e.g. [8]")
            object.__setattr__(self, "hidden", hidden)
        if not _is_int(self.grid_size) or self.grid_size < 1:
            raise ConfigError(f"grid_size: {self.grid_size!r} must be a whole number of at least 1")
        self._check_range()
        for name in ("basis", "base", "extrapolation"):
            if not isinstance(getattr(self, name), (str, type(None))):
                raise ConfigError(f"{name}: {getattr(self, name)!r} must be a name")
        if self.order is not None and not _is_int(self.order):
            raise ConfigError(f"order: {self.order!r} must be a whole number from 1 to 5")
        if self.units not in UNITS:
            raise unknown_name("units", self.units, UNITS)
        for name in ("zero_at_origin", "bias", "layer_norm"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name}: {getattr(self, name)!r} must be true or false")
        if not _is_number(self.spline_fraction) or not 0.0 <= self.spline_fraction <= 1.0:
            raise ConfigError(f"spline_fraction: {self.spline_fraction!r} must lie between 0 and 1")
        if self.zero_at_origin and (self.bias or self.layer_norm):
            option = "bias" if self.bias else "layer_norm"
            raise ConfigError(f"{option}: true moves phi(0) away from 0; set zero_at_origin: false as well")

    def check_smooth(self) -> None:
        """Refuses what a potential must not be made of.

        Raises:
            ConfigError: if forces, which are derivatives, would jump at the knots.
        """
        if self.order == 1:
            raise ConfigError(
                "order: B-splines of order 1 have kinks, so forces would jump at every knot; choose 2 to 5"
            )

    def _check_range(self) -> None:
        bounds = self.grid_range
        if (
            isinstance(bounds, str)
            or not isinstance(bounds, Iterable)
            or len(tuple(bounds)) != 2
            or not all(_is_number(bound) for bound in bounds)
            or not float(bounds[0]) < float(bounds[1]) < float("inf")
            or float(bounds[0]) == float("-inf")
        ):
            raise ConfigError(f"grid_range: {bounds!r} must be two finite numbers, lower < upper")
        object.__setattr__(self, "grid_range", (float(bounds[0]), float(bounds[1])))

    @classmethod
    def from_dict(cls, options: Optional[Mapping[str, Any]]) -> "KANConfig":
        """Builds a configuration from plain data, such as a section of a YAML file.

        Args:
            options: names and values; ``None`` stands for no option at all.

        Raises:
            ConfigError: if a name is unknown or a value is not valid.
        """
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise ConfigError(f"kan: {options!r} must be a mapping of options, e.g. {{basis: bspline}}")
        valid = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in valid:
                raise unknown_name("kan option", name, valid)
        return cls(**dict(options))

    def to_dict(self) -> dict:
        """Returns the configuration as plain data, fit for YAML and for :meth:`from_dict`."""
        plain = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
