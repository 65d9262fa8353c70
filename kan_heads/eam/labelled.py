"""Labelled structures as tensors, with the atoms that a potential has to place itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kan_heads.eam.batch import Batch, make_batch
from kan_heads.eam.data import Frame
from kan_heads.eam.potential import Parameters, Potential
from kan_heads.eam.primitive import primitive
from kan_heads.progress import track

_LONGEST_STEP = 0.1  # Å
_SHORTEST_STEP = 1e-6
_ROUNDING = 1e-10  # eV
_SOFTEST = 1.0  # eV/Å^2; below, an atom would be moved far by a noise of force
_SKIN = 0.5  # Å; atoms move a little towards each other


class LabelledBatch:
    r"""Structures, cut down to their smallest cells, with labels per atom.

    Where atoms were relaxed at a fixed cell and it is not known where they came to rest, they rest where
    the potential has its minimum, :math:`u^* = u_0 - H_0^{-1} g(u_0)` with forces :math:`-g` and force
    constants :math:`H_0` at a place :math:`u_0` nearby. The step is differentiable, so that energies and
    stresses know that the atoms follow every change of the potential.

    Args:
        frames: structures and labels.
        cutoff: Å.
    """

    def __init__(self, frames: Sequence[Frame], cutoff: float) -> None:
        cut = [primitive(frame.atoms)[0] for frame in track(frames, "cutting cells", len(frames))]
        self.structures: Batch = make_batch(cut, cutoff + _SKIN)
        self.energies = torch.tensor([f.energy_per_atom for f in frames], dtype=torch.float64)
        self.tolerances = torch.tensor([f.tolerance for f in frames], dtype=torch.float64)
        self.is_bound = torch.tensor([f.is_bound for f in frames])
        self.has_stress = torch.tensor([f.stress is not None for f in frames])
        stresses = [np.zeros((3, 3)) if f.stress is None else f.stress for f in frames]
        self.stresses = torch.from_numpy(np.array(stresses, dtype=float).reshape(-1, 3, 3))
        relax = torch.tensor([f.relax for f in frames])
        place = torch.cat([torch.arange(len(atoms)) for atoms in cut])  # (n_atoms,)
        # The first atom of each structure stays: moving all together changes nothing.
        self._movable = torch.nonzero(relax[self.structures.frame] & (place > 0)).flatten()
        self._frame = self.structures.frame[self._movable]
        self._place = place[self._movable] - 1
        self._width = 3 * int(self._place.max() + 1) if len(self._movable) else 0
        self._start = torch.zeros(len(place), 3, dtype=torch.float64)
        self._radius = torch.full((len(cut),), _LONGEST_STEP, dtype=torch.float64)  # of steps, Å
        self._compliance = torch.zeros(len(cut), self._width, self._width, dtype=torch.float64)

    def __len__(self) -> int:
        """Number of structures."""
        return len(self.energies)

    def placed(self, potential: Potential, own: Parameters | None = None) -> Batch:
        """Returns the structures with the atoms at rest, to first order around the last relaxation.

        Args:
            potential: potential.
            own: parameters of each structure, see :meth:`Potential.forward`; the places then depend on them
                differentiably.
        """
        if not len(self._movable):
            return self.structures
        gradient = self._gradient(potential, own is not None, own)[1]
        # Bounded, so that a potential far from the last one does not throw the atoms out.
        step = _LONGEST_STEP * torch.tanh(self._step(gradient) / _LONGEST_STEP)
        return self.structures.moved(self._start + step)

    def relax(self, potential: Potential, rounds: int = 3) -> float:
        """Looks anew for where the atoms rest, by Newton's method; no step may raise the energy.

        Args:
            potential: potential.
            rounds: number of steps.

        Returns:
            The largest force that was left before the last step, eV/Å.
        """
        largest = 0.0
        for _ in range(rounds if len(self._movable) else 0):
            displacements, gradient = self._gradient(potential, differentiable=True)
            self._compliance = self._inverse(gradient, displacements)
            gradient = gradient.detach()
            radius = self._radius[self.structures.frame].unsqueeze(-1)  # (n_atoms, 1)
            step = torch.maximum(torch.minimum(self._step(gradient), radius), -radius)
            with torch.no_grad():
                before, after = (potential(self.structures.moved(self._start + s)) for s in (0.0, step))
            lower = after <= before + _ROUNDING  # (n_frames,)
            self._start = self._start + step * lower[self.structures.frame].unsqueeze(-1)
            self._radius = torch.where(lower, 2.0 * self._radius, 0.25 * self._radius)
            self._radius = self._radius.clamp(_SHORTEST_STEP, _LONGEST_STEP)
            largest = float(gradient[self._movable].abs().max())
        return largest

    def _gradient(
        self, potential: Potential, differentiable: bool, own: Parameters | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns places and the energy's gradient there, both (n_atoms, 3)."""
        displacements = self._start.clone().requires_grad_()
        with torch.enable_grad():
            energy = potential(self.structures.moved(displacements), own).sum()
            (gradient,) = torch.autograd.grad(energy, displacements, create_graph=differentiable)
        return displacements, gradient

    def _gathered(self, values: Tensor) -> Tensor:
        """Turns rows of movable atoms, (n_atoms, 3), into one row per structure, (n_frames, width)."""
        rows = values.new_zeros(self.structures.n_frames, self._width // 3, 3)
        return rows.index_put((self._frame, self._place), values[self._movable]).flatten(1)

    def _step(self, gradient: Tensor) -> Tensor:
        """Returns Newton's step, (n_atoms, 3)."""
        rows = torch.einsum("fij,fj->fi", self._compliance, self._gathered(gradient))
        rows = -rows.reshape(len(rows), -1, 3)  # (n_frames, width / 3, 3)
        step = torch.zeros_like(self._start)
        return step.index_put((self._movable,), rows[self._frame, self._place])

    def _inverse(self, gradient: Tensor, displacements: Tensor) -> Tensor:
        """Inverts the force constants of each structure, (n_frames, width, width)."""
        columns = []
        for k in range(self._width):
            at = self._movable[self._place == k // 3]
            (column,) = torch.autograd.grad(gradient[at, k % 3].sum(), displacements, retain_graph=True)
            columns.append(self._gathered(column))
        hessian = torch.stack(columns, dim=-1)  # (n_frames, width, width)
        values, vectors = torch.linalg.eigh(0.5 * (hessian + hessian.mT))
        # Structures with fewer atoms have empty rows: their forces are zero, so any value does.
        return (vectors / values.abs().clamp_min(_SOFTEST).unsqueeze(-2)) @ vectors.mT
