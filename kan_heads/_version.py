"""The version of kan-heads; ``pyproject.toml`` reads it from here."""

__version__ = "0.1.0"
