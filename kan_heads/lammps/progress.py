"""What a run says while it lasts; this one says nothing."""

from __future__ import annotations

import contextlib

from kan_heads.lammps.results import Thermo


class Progress:
    """Receives what happens; a subclass shows it."""

    def stage(self, text: str) -> contextlib.AbstractContextManager:
        """Surrounds what takes long before the first step."""
        return contextlib.nullcontext()

    def start(self, description: str, steps: int) -> None:
        """Called once before the first step, with the system and the number of steps."""

    def step(self, number: int) -> None:
        """Called at every step, before its forces are computed."""

    def thermo(self, row: Thermo) -> None:
        """Called with each row of the thermo output."""
