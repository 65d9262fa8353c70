"""Names of files in LAMMPS' input."""

from __future__ import annotations

import os
import re

from kan_heads.errors import ConfigError

# A word that needs no quotes. Without them LAMMPS takes # for a comment, & for a line that goes on, and $
# for a variable.
_PLAIN = re.compile(r"[\w./,:=@^~+-]+", re.ASCII)
#: Signs that LAMMPS replaces in the names of files that it writes, quotes or not.
PATTERNS = "*%"


def check_name(option: str, name: str | os.PathLike[str], forbidden: str = "") -> None:
    """Refuses a name that cannot be written in LAMMPS' input.

    Args:
        option: that named it, or what it is.
        name: name of a file, with or without its folder.
        forbidden: further signs that must not be in it.

    Raises:
        ConfigError: if it holds a double quote, which LAMMPS takes for the end of the name, or something else
            than printable ASCII, which LAMMPS changes or leaves out.
    """
    text = os.fspath(name)
    wrong = dict.fromkeys(c for c in text if c in f'"{forbidden}' or not (c.isascii() and c.isprintable()))
    if wrong:
        shown = text if text.isprintable() else ascii(text)
        signs = " ".join(c if c.isprintable() else ascii(c) for c in wrong)
        raise ConfigError(f"{option} {shown}: LAMMPS takes no {signs} in a name; use another name")


def quoted(name: str | os.PathLike[str]) -> str:
    """Returns a name as one word of LAMMPS' input.

    Raises:
        ConfigError: as :func:`check_name`.
    """
    check_name("file", name)
    text = os.fspath(name)
    return text if _PLAIN.fullmatch(text) else f'"{text}"'
