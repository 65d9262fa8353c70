"""What the demonstration says while it works; this one says nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Progress:
    """Receives the stages of the demonstration; a subclass shows them."""

    @contextlib.contextmanager
    def stage(self, text: str) -> Iterator[None]:
        """Lasts as long as a stage whose length is unknown."""
        yield

    @contextlib.contextmanager
    def training(self, name: str, n_epochs: int) -> Iterator[None]:
        """Lasts as long as the training called ``name``."""
        yield

    def epoch(self, done: int, force_mae: float) -> None:
        """Called after each epoch with the epochs done and the validation force MAE in eV/Angstrom."""

    def note(self, text: str) -> None:
        """Called with a fact that the user should know."""
