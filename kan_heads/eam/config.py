"""The options of a potential: one strict, frozen record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kan_heads.errors import ConfigError, SettingError, unknown_name

KINDS = ("eam", "pair")


def check_positive(settings: object, *names: str) -> None:
    """Refuses settings whose numbers of these names are not positive and finite.

    Raises:
        ConfigError: names the first such setting.
    """
    for name in names:
        value = getattr(settings, name)
        if not 0.0 < value < float("inf"):
            raise SettingError(name, f"{value:g}", "must be above 0")


@dataclasses.dataclass(frozen=True)
class EAMConfig:
    """What a potential is made of.

    Args:
        element: chemical symbol.
        kind: ``eam`` (pair function, density, embedding) or ``pair`` (pair function only).
        cutoff: Å, where every function ends with its first two derivatives.
        inner: Å, where the grids of the pair function and of the density start; below it they go on
            linearly under the repulsion of the nuclei.
        grid_size: intervals of these grids.
        density_grid_size: intervals of the grid of the embedding function.
        density_range: where that grid ends; a perfect crystal has density 1.
        order: order of the B-splines; 3 or more, since the second derivative must be continuous.

    Raises:
        ConfigError: if a value is out of range.
    """

    element: str
    kind: str = "eam"
    cutoff: float = 6.0
    inner: float = 2.0
    grid_size: int = 16
    density_grid_size: int = 12
    density_range: float = 3.0
    order: int = 3

    def __post_init__(self) -> None:
        """Checks each value."""
        from ase.data import atomic_numbers

        if atomic_numbers.get(self.element, 0) < 1:
            raise ConfigError(f"element: {self.element!r} is not a chemical symbol, e.g. Ru")
        if self.kind not in KINDS:
            raise unknown_name("kind", self.kind, KINDS)
        check_positive(self, "inner", "cutoff")
        if self.inner >= self.cutoff:
            raise SettingError("cutoff", f"{self.cutoff:g} Å", f"must lie beyond inner: {self.inner:g} Å")
        if self.order not in (3, 4, 5):
            raise SettingError("order", str(self.order), "must be 3, 4 or 5: forces need two derivatives")
        for name in ("grid_size", "density_grid_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise SettingError(name, repr(value), "must be a whole number of at least 1")
        if not 1.0 < self.density_range < float("inf"):
            raise SettingError(
                "density_range", f"{self.density_range:g}", "must be above 1, a crystal's density"
            )

    @property
    def atomic_number(self) -> int:
        """Number of the element."""
        from ase.data import atomic_numbers

        return atomic_numbers[self.element]

    @property
    def mass(self) -> float:
        """Mass of the element in g/mol."""
        from ase.data import atomic_masses

        return float(atomic_masses[self.atomic_number])

    @classmethod
    def from_dict(cls, options: Mapping[str, Any]) -> EAMConfig:
        """Builds the record from plain data.

        Raises:
            ConfigError: if a name is unknown or a value is not valid.
        """
        valid = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in valid:
                raise unknown_name("potential option", name, valid)
        return cls(**options)
