"""Shows tensors: a table for the eyes in a terminal, plain columns for programs elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from rich.console import Console
    from rich.text import Text

#: What is known by these names has a unit and a better name.
UNITS = {"born_effective_charges": "e"}
_TITLES = {"born_effective_charges": "Born effective charges", "dielectric_tensor": "Dielectric tensor"}

_COMPONENTS = tuple(a + b for a in "xyz" for b in "xyz")


class Screen:
    """Shows the tensors of structures.

    Args:
        field: name of the tensor.
        per: ``atom`` or ``crystal``.
    """

    def __init__(self, field: str, per: str) -> None:
        from rich.console import Console

        self.unit = UNITS.get(field, "")
        self._title = _TITLES.get(field, field) + (f" in {self.unit}" if self.unit else "")
        self._per_atom = per == "atom"
        console = Console()
        self._console: Console | None = console if console.is_terminal else None
        self._begun = False

    def line(self, text: str) -> None:
        """Shows a line about the whole."""
        if self._console is None:
            typer.echo(f"# {text}")
        else:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def tensors(self, name: str, number: int, atoms: Atoms, tensors: np.ndarray) -> None:
        """Shows the tensors of a structure.

        Args:
            name: what to call it.
            number: of the structure in its file.
            atoms: the structure.
            tensors: ``(n_atoms, 3, 3)`` or ``(3, 3)``.
        """
        if self._console is None:
            self._columns(number, atoms, tensors)
            return
        formula = atoms.get_chemical_formula()
        self._console.print(
            f"{self._title}: {formula} ({name})", style="bold", highlight=False, soft_wrap=True
        )
        if self._per_atom:
            self._table(self._console, atoms, tensors)
        else:
            self._matrix(self._console, tensors)

    def _columns(self, number: int, atoms: Atoms, tensors: np.ndarray) -> None:
        if not self._begun:
            of_atom = ("atom", "element") if self._per_atom else ()
            typer.echo(" ".join(("frame", *of_atom, *_COMPONENTS, "iso")))
            self._begun = True
        rows = tensors if self._per_atom else [tensors]
        for i, tensor in enumerate(rows):
            of_atom = (str(i + 1), atoms.symbols[i]) if self._per_atom else ()
            numbers = (f"{round(float(value), 6) + 0.0:.6f}" for value in (*tensor.flat, tensor.trace() / 3))
            typer.echo(" ".join((str(number), *of_atom, *numbers)))

    @staticmethod
    def _table(console: Console, atoms: Atoms, tensors: np.ndarray) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
        table.add_column("atom", no_wrap=True)
        for i, name in enumerate((*_COMPONENTS, "iso")):
            # A gap before each row of the tensor.
            table.add_column(name if i % 3 else f" {name}", justify="right", no_wrap=True)
        digits = len(str(len(atoms)))
        for i, tensor in enumerate(tensors):
            numbers = [_number(value) for value in (*tensor.flat, tensor.trace() / 3)]
            numbers = [number if j % 3 else Text(" ") + number for j, number in enumerate(numbers)]
            table.add_row(f"{i + 1:>{digits}} {atoms.symbols[i]}", *numbers)
        # A terminal that is too narrow shall break lines, not numbers.
        needed = Console(width=1000).measure(table).maximum
        Console(width=max(needed, console.width)).print(table)

    @staticmethod
    def _matrix(console: Console, tensor: np.ndarray) -> None:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("")
        for axis in "xyz":
            table.add_column(axis, justify="right", no_wrap=True)
        for axis, row in zip("xyz", tensor, strict=True):
            table.add_row(axis, *(_number(value, 4) for value in row))
        console.print(table)
        console.print(f"isotropic part: {tensor.trace() / 3:.4f}", highlight=False)


def _number(value: float, digits: int = 3) -> Text:
    """Returns a number without ``-0.000``; zeros are dim, so that the form of a tensor shows."""
    from rich.text import Text

    rounded = round(float(value), digits) + 0.0
    return Text(f"{rounded:.{digits}f}", style="" if rounded else "dim")
