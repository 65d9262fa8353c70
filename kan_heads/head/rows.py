r"""Rows of the least-squares problem: how labels of a structure depend on the coefficients of the head.

With :math:`E = \sum_n w_n y_n(\theta) + \dots` an energy gives one row, :math:`\partial E / \partial \theta`,
and a direction :math:`u` of all atoms another one, :math:`\partial (u \cdot F) / \partial \theta`, in which
:math:`\dot x = (\partial x / \partial r)\, u` is how the inputs of the head change along it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from kan_heads.data.labels import find_label
from kan_heads.errors import ModelError
from kan_heads.head.ends import LinearEnd

if TYPE_CHECKING:
    from ase import Atoms

    from kan_heads.swap import Adapter

# The strains whose derivatives of the energy are the six stresses, and how often each stands in the tensor.
_STRAINS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_TIMES = (1, 1, 1, 2, 2, 2)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of one kind of label of one structure.

    Args:
        rows: shape ``(n, p)``, float64.
        residuals: label less the model's value, shape ``(n,)``.
        labels: how many labels the rows stand for.
    """

    rows: Tensor
    residuals: Tensor
    labels: int


def labels_of(atoms: Atoms) -> dict[str, np.ndarray]:
    """Returns energy (eV), forces (eV/Å) and stress (eV/Å^3) as far as a structure has them.

    They are found under ASE's names and under MACE's, ``REF_...``. A stress has the shape ``(3, 3)``.
    """
    from ase.stress import voigt_6_to_full_3x3_stress

    found = {}
    for kind in ("energy", "forces", "stress"):
        value = find_label(atoms, kind)
        value = find_label(atoms, f"REF_{kind}") if value is None else value
        if value is not None:
            found[kind] = np.asarray(value, dtype=float)
    if "stress" in found:
        stress = found["stress"]
        found["stress"] = voigt_6_to_full_3x3_stress(stress) if stress.size == 6 else stress.reshape(3, 3)
    return found


def rows_of(
    model: torch.nn.Module,
    adapter: Adapter,
    ends: Sequence[LinearEnd],
    atoms: Atoms,
    n_directions: int,
    generator: torch.Generator,
) -> dict[str, Rows]:
    r"""Returns the rows of a structure by kind of label.

    Energies are per atom. Forces are looked at along orthonormal directions times
    :math:`\sqrt{3 n / K}`, so that the sum of squares is that of all components on average, and exactly so
    for :math:`K = 3 n`. Stresses are the six components, those off the diagonal times the root of 2.

    Args:
        model: a trained model.
        adapter: knows the model.
        ends: its linear ends.
        atoms: a labelled structure; missing labels are left out.
        n_directions: K, at most 3 n; 0 leaves out the forces.
        generator: draws the directions.
    """
    labels = labels_of(atoms)
    n = len(atoms)
    with _inputs_seen(model, ends) as seen:
        energy, positions, strain = adapter.energy(model, adapter.structure(model, atoms))
    through = [seen[end.path] for end in ends]
    # What follows the head is linear in its outputs: the factor of each row is a derivative.
    factors = torch.autograd.grad(energy, [y for _, y in through], create_graph=True, allow_unused=True)
    factors = [torch.zeros_like(y) if w is None else w for w, (_, y) in zip(factors, through, strict=True)]
    inputs = [_exact(x) for x, _ in through]
    weights = [_exact(w) for w in factors]
    result = {}
    if "energy" in labels:
        row = torch.cat([e.values(x, w) for e, x, w in zip(ends, inputs, weights, strict=True)]) / n
        residual = (float(labels["energy"]) - float(energy.detach())) / n
        result["energy"] = Rows(row[None].cpu(), torch.tensor([residual], dtype=torch.float64), 1)
    wants_forces = "forces" in labels and n_directions > 0
    wants_stress = "stress" in labels and atoms.cell.rank == 3
    if not (wants_forces or wants_stress):
        return result
    slope, pull = torch.autograd.grad(energy, (positions, strain), retain_graph=True)
    tangent = _Tangents(through, factors, positions, strain)

    def along(moves: Tensor, strains: Tensor) -> Tensor:
        """Rows of dE along directions, shape (n_directions, p)."""
        changes = [tangent(move, bend) for move, bend in zip(moves, strains, strict=True)]
        parts = []
        for i, end in enumerate(ends):
            dots = torch.stack([change[i] for change in changes])
            rows = end.slopes(inputs[i], weights[i], dots)
            drifts = [change[len(ends) + i] for change in changes]
            if drifts[0] is not None:
                rows = rows + torch.stack([end.values(inputs[i], drift) for drift in drifts])
            parts.append(rows)
        return torch.cat(parts, 1).cpu()

    if wants_forces:
        count = min(n_directions, 3 * n)
        moves = _directions(n, count, generator)  # (K, n, 3)
        error = torch.as_tensor(labels["forces"]) + _exact(slope).cpu()  # label less force
        rows = -along(moves, torch.zeros(count, 3, 3, dtype=torch.float64))
        result["forces"] = Rows(rows, (moves * error).sum((1, 2)), 3 * n)
    if wants_stress:
        volume = atoms.get_volume()
        strains = torch.zeros(6, 3, 3, dtype=torch.float64)
        for k, (a, b) in enumerate(_STRAINS):
            strains[k, a, b] += 0.5
            strains[k, b, a] += 0.5
        times = torch.tensor(_TIMES, dtype=torch.float64).sqrt()
        found = (strains * _exact(pull).cpu()).sum((1, 2)) / volume
        wanted = torch.tensor([labels["stress"][ab] for ab in _STRAINS], dtype=torch.float64)
        rows = along(torch.zeros(6, n, 3, dtype=torch.float64), strains) / volume
        result["stress"] = Rows(rows * times[:, None], (wanted - found) * times, 9)
    for kind, found_rows in result.items():
        if not (found_rows.rows.isfinite().all() and found_rows.residuals.isfinite().all()):
            raise ModelError(f"{kind}: the model or a label is NaN or infinite")
    return result


class _Tangents:
    """How inputs and factors of the head change along a direction.

    A derivative of the transposed derivative: two passes backward do what one forward would, and work with
    every operation that can be differentiated twice.
    """

    def __init__(self, through: Any, factors: list[Tensor], positions: Tensor, strain: Tensor) -> None:
        self._places = (positions, strain)
        outputs = [x for x, _ in through]
        moving = [w if w.requires_grad else None for w in factors]
        self._outputs = [*outputs, *moving]
        alive = [y for y in self._outputs if y is not None]
        self._probes = [torch.zeros_like(y, requires_grad=True) for y in alive]
        pulled = torch.autograd.grad(
            alive, self._places, self._probes, create_graph=True, allow_unused=True, materialize_grads=True
        )
        self._pulled = pulled

    def __call__(self, move: Tensor, bend: Tensor) -> list[Tensor | None]:
        """Returns the changes of all inputs, then those of all factors; ``None`` for constant ones."""
        weights = [d.to(p) for d, p in zip((move, bend), self._places, strict=True)]
        changes = torch.autograd.grad(
            self._pulled, self._probes, weights, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        changes = iter(_exact(c) for c in changes)
        return [None if y is None else next(changes) for y in self._outputs]


@contextlib.contextmanager
def _inputs_seen(model: torch.nn.Module, ends: Sequence[LinearEnd]) -> Iterator[dict[str, Any]]:
    """Records inputs and outputs of the ends, as matrices, while it lasts."""
    seen: dict[str, Any] = {}
    hooks = []
    for end in ends:

        def keep(_: Any, args: Any, y: Tensor, path: str = end.path) -> None:
            seen[path] = (args[0], y)

        hooks.append(model.get_submodule(end.path).register_forward_hook(keep))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _directions(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Draws orthonormal directions of n atoms times sqrt(3 n / count), shape ``(count, n, 3)``."""
    if count == 3 * n:
        return torch.eye(3 * n, dtype=torch.float64).unflatten(1, (n, 3))
    draw = torch.randn(3 * n, count, dtype=torch.float64, generator=generator)
    q, _ = torch.linalg.qr(draw)
    return (q.t() * (3 * n / count) ** 0.5).unflatten(1, (n, 3))


def _exact(x: Tensor) -> Tensor:
    return x.detach().double()
