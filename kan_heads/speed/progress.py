"""What a measurement says while it runs; this one says nothing."""

from __future__ import annotations


class Progress:
    """Receives what is measured; a subclass shows it."""

    def start(self, groups: int) -> None:
        """Called once with the number of groups."""

    def group(self, text: str) -> None:
        """Called before each group: one case at one shape."""

    def figure(self, text: str) -> None:
        """Called before each figure of a group."""

    def note(self, text: str) -> None:
        """Called with a fact that the user should know."""
