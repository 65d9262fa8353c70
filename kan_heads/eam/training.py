"""Fits a potential to energies and stresses by least squares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from kan_heads.eam.batch import make_batch
from kan_heads.eam.config import check_positive
from kan_heads.eam.data import Frame, lowest_frame
from kan_heads.eam.labelled import LabelledBatch
from kan_heads.eam.potential import Potential
from kan_heads.elastic import GPA, VOIGT
from kan_heads.errors import SettingError

# Steps of the solver between two relaxations of the atoms.
_EVALUATIONS = 25
# Slopes of the logarithm of the density, 1/Å, from which the fit may start.
_DECAYS = (1.0, 2.0, 3.0, 4.0)


@dataclasses.dataclass(frozen=True)
class FitConfig:
    """How a potential is fitted.

    Args:
        rounds: of the solver, each followed by a relaxation of the atoms.
        energy_tolerance: eV per atom that counts as much as ``stress_tolerance``.
        stress_tolerance: eV/Å^3; by default 0.2 GPa.
        stress_weight: factor of the stresses' squares; 0 leaves them out.
        softening: eV per atom above the lowest energy at which a structure's tolerances have doubled.
        smoothness: factor of the mean squared second derivatives of the functions.
    """

    rounds: int = 8
    energy_tolerance: float = 1e-3
    stress_tolerance: float = 0.2 / GPA
    stress_weight: float = 1.0
    softening: float = 0.05
    smoothness: float = 1e-4

    def __post_init__(self) -> None:
        """Checks each value."""
        if self.rounds < 1:
            raise SettingError("rounds", str(self.rounds), "must be at least 1")
        check_positive(self, "energy_tolerance", "stress_tolerance", "softening")
        for name in ("stress_weight", "smoothness"):
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise SettingError(name, f"{value:g}", "must be 0 or more")


def residuals(
    potential: Potential, part: LabelledBatch, settings: FitConfig, jacobian: bool = False
) -> tuple[Tensor, Tensor]:
    """Returns the weighted errors of a set and how they depend on the parameters.

    Every structure gets parameters of its own, so that one backward pass per kind of label (the energy,
    six stresses) differentiates all rows.

    Args:
        potential: potential.
        part: the set.
        settings: tolerances and weights.
        jacobian: whether the derivatives are wanted.

    Returns:
        Errors in tolerances, ``(n_rows,)``, whose sum of squares is the loss, and their derivatives,
        ``(n_rows, n_parameters)`` in the order of the parameters, or ``(n_rows, 0)``.
    """
    own = None
    if jacobian:
        own = {
            name: p.detach().expand(len(part), *p.shape).clone().requires_grad_()
            for name, p in potential.named_parameters()
        }
    batch = part.placed(potential, own)
    energy, stress = potential.energy_and_stress(batch, jacobian, own)
    weight = 1.0 / (1.0 + (part.energies - part.energies.min()) / settings.softening)  # (n_frames,)
    wrong = energy / batch.counts + potential.reference - part.energies  # (n_frames,)
    wrong = torch.where(part.is_bound, wrong.clamp_max(0.0), wrong)
    kinds = [(wrong, settings.energy_tolerance)]
    weights = [weight.minimum(settings.energy_tolerance / part.tolerances) / len(weight) ** 0.5]
    if settings.stress_weight > 0 and part.has_stress.any():
        kinds += [(stress[:, a, b] - part.stresses[:, a, b], settings.stress_tolerance) for a, b in VOIGT]
        shear = [1.0 if a == b else 2.0 for a, b in VOIGT]  # they stand twice in the matrix
        share = settings.stress_weight / (9.0 * int(part.has_stress.sum()))
        weights += [weight * part.has_stress * (factor * share) ** 0.5 for factor in shear]
    rows, slopes = [], []
    for (wrong, tolerance), factor in zip(kinds, weights, strict=True):
        rows.append((factor * wrong / tolerance).detach())
        if own is not None:
            parts = torch.autograd.grad(wrong.sum(), list(own.values()), retain_graph=True)
            slope = torch.cat([p.reshape(len(part), -1) for p in parts], dim=1)  # (n_frames, n_parameters)
            slopes.append((factor / tolerance).unsqueeze(-1) * slope)
    return torch.cat(rows), torch.cat(slopes) if slopes else torch.empty(len(rows) * len(part), 0)


def roughness(potential: Potential) -> Tensor:
    """Returns the matrix that turns parameters into second derivatives at the knots.

    Second differences of the coefficients of cubic splines are these exactly, of higher orders nearly.

    Returns:
        Shape ``(n_rows, n_parameters)``, each function scaled by its number of rows.
    """
    blocks = []
    for name, parameter in potential.named_parameters():
        n = parameter.numel()
        if not name.endswith("edge.coefficients"):
            blocks.append(torch.zeros(0, n, dtype=torch.float64))
            continue
        step = float(potential.get_submodule(name.removesuffix(".coefficients")).basis.step)
        blocks.append(torch.diff(torch.eye(n, dtype=torch.float64), n=2, dim=0) / step**2 / (n - 2) ** 0.5)
    return torch.block_diag(*blocks)


def fit(
    potential: Potential,
    train: Sequence[Frame],
    validation: Sequence[Frame],
    settings: FitConfig,
    cohesive_energy: float,
    say: Callable[[int, float, float], None] = lambda fitted, train, validation: None,
) -> list[tuple[float, float]]:
    """Fits a potential and leaves the state of the best round in it.

    Least squares of residuals and roughness by trust regions (``scipy.optimize.least_squares``): the
    coefficients are badly conditioned, and L-BFGS was not there after two and a half times as long.

    Args:
        potential: a new one; its density is scaled to 1 in the structure of lowest energy.
        train: structures to fit to.
        validation: structures that choose the round.
        settings: see :class:`FitConfig`.
        cohesive_energy: eV per atom that the structure of lowest energy lies below free atoms.
        say: hears the number of the round and the losses of training and validation set.

    Returns:
        Losses of training and validation set after each round.
    """
    from scipy.optimize import least_squares

    parts = [LabelledBatch(frames, potential.config.cutoff) for frames in (train, validation)]
    _start(potential, train, parts[0], settings, cohesive_energy)
    problem = _Problem(potential, parts[0], settings)
    x = problem.parameters()
    best, kept, curve = float("inf"), x, []
    for number in range(1, settings.rounds + 1):
        # Steps too far are tried and refused; the way there may overflow.
        with np.errstate(all="ignore"):
            x = least_squares(
                problem.rows, x, problem.slopes, x_scale="jac", ftol=1e-4, max_nfev=_EVALUATIONS
            ).x
        problem.set_parameters(x)
        losses = []
        # From the first round on the atoms follow the potential; before, it would have scattered them.
        for part in parts:
            part.relax(potential)
            losses.append(float(residuals(potential, part, settings)[0].square().sum()))
        curve.append((losses[0], losses[1]))
        say(number, *curve[-1])
        if losses[1] < best:
            best, kept = losses[1], x
    problem.set_parameters(kept)
    return curve


class _Problem:
    """What the solver asks for: errors and roughness as functions of the parameters."""

    def __init__(self, potential: Potential, part: LabelledBatch, settings: FitConfig) -> None:
        self._potential, self._part, self._settings = potential, part, settings
        self._roughness = settings.smoothness**0.5 * roughness(potential).numpy()

    def parameters(self) -> np.ndarray:
        return torch.nn.utils.parameters_to_vector(self._potential.parameters()).detach().numpy().copy()

    def set_parameters(self, x: np.ndarray) -> None:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(x.copy()), self._potential.parameters())

    def rows(self, x: np.ndarray) -> np.ndarray:
        self.set_parameters(x)
        errors, _ = residuals(self._potential, self._part, self._settings)
        return np.concatenate([errors.numpy(), self._roughness @ x])

    def slopes(self, x: np.ndarray) -> np.ndarray:
        self.set_parameters(x)
        _, slopes = residuals(self._potential, self._part, self._settings, jacobian=True)
        return np.concatenate([slopes.numpy(), self._roughness])


def _start(
    potential: Potential,
    train: Sequence[Frame],
    part: LabelledBatch,
    settings: FitConfig,
    cohesive_energy: float,
) -> None:
    """Finds the best pair function and embedding for a few simple densities, and keeps the best.

    With the density given, energies and stresses are linear in all other parameters.
    """
    lowest = lowest_frame(train)
    potential.reference = lowest.energy_per_atom + cohesive_energy
    problem = _Problem(potential, part, settings)
    if potential.density is None:
        _solve_linear(problem, np.full(potential.pair.edge.coefficients.numel(), True))
        return
    ground = make_batch([lowest.atoms], potential.config.cutoff)
    sizes = [(name, p.numel()) for name, p in potential.named_parameters()]
    linear = np.concatenate([np.full(n, not name.startswith("density")) for name, n in sizes])
    found = []
    for decay in _DECAYS:
        potential.density.set_decay(decay)
        potential.density.scale(1.0 / float(potential.densities(ground).detach().mean()))
        found.append((_solve_linear(problem, linear), problem.parameters()))
    problem.set_parameters(min(found, key=lambda pair: pair[0])[1])


def _solve_linear(problem: _Problem, linear: np.ndarray) -> float:
    """Minimises over the parameters that the rows are linear in; returns the loss that is left."""
    x = problem.parameters()
    x[linear] = 0.0
    x[linear] = np.linalg.lstsq(problem.slopes(x)[:, linear], -problem.rows(x), rcond=1e-12)[0]
    return float(np.square(problem.rows(x)).sum())


@dataclasses.dataclass(frozen=True)
class Errors:
    """How far a potential is from labels.

    Args:
        energy: mean absolute error, meV per atom.
        stress: mean absolute error of all nine components, GPa; NaN without stresses.
        n_frames: number of structures.
        n_stresses: of them with a stress.
    """

    energy: float
    stress: float
    n_frames: int
    n_stresses: int


def errors_of(potential: Potential, frames: Sequence[Frame]) -> Errors:
    """Measures a potential on labelled structures; places the atoms where these are not known."""
    part = LabelledBatch(frames, potential.config.cutoff)
    part.relax(potential, rounds=8)
    batch = part.placed(potential)
    energy, stress = potential.energy_and_stress(batch)
    wrong = (energy / batch.counts + potential.reference - part.energies).abs()
    off = (stress - part.stresses)[part.has_stress].abs()
    return Errors(
        energy=1e3 * float(wrong.mean()),
        stress=GPA * float(off.mean()),
        n_frames=len(frames),
        n_stresses=int(part.has_stress.sum()),
    )
