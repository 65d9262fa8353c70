"""Molecular dynamics in LAMMPS, with the forces of a trained model.

Example:
    >>> from kan_heads.lammps import DynamicsConfig, run
    >>> result = run("ag.nequip.pt2", atoms, DynamicsConfig(steps=5000))  # doctest: +SKIP
    >>> result.ms_per_step  # doctest: +SKIP
"""

from kan_heads.lammps.config import DynamicsConfig
from kan_heads.lammps.dynamics import run
from kan_heads.lammps.progress import Progress
from kan_heads.lammps.results import Result, Thermo

__all__ = ["Progress", "Result", "DynamicsConfig", "Thermo", "run"]
