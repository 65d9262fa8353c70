"""What a run in LAMMPS says while it lasts; this one says nothing."""

from __future__ import annotations

from kan_heads import progress
from kan_heads.lammps.results import Thermo


class Progress(progress.Progress):
    """Receives what happens; a subclass shows it. A step is announced before its forces are computed."""

    def thermo(self, row: Thermo) -> None:
        """Called with each row of the thermo output."""
