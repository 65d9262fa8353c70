"""Molecular dynamics in LAMMPS, with the forces of a trained model.

Example:
    >>> from kan_heads.lammps import Settings, run
    >>> result = run("ag.nequip.pt2", atoms, Settings(steps=5000))  # doctest: +SKIP
    >>> result.ms_per_step  # doctest: +SKIP
"""

from kan_heads.lammps.dynamics import run
from kan_heads.lammps.progress import Progress
from kan_heads.lammps.results import Result, Thermo
from kan_heads.lammps.settings import Settings

__all__ = ["Progress", "Result", "Settings", "Thermo", "run"]
