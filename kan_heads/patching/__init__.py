"""Patches for installed programs that offer no hook of their own (``kan-heads patch``).

A patch belongs to one release of one program: a diff without context and the checksums of every
file before and after. Checksums decide everything; the diff is only ever applied to the bytes
that it was made from.
"""

from kan_heads.patching.installation import Installation, State, find_installation
from kan_heads.patching.records import TARGETS, Patch, find_patch, patches_dir

__all__ = [
    "Installation",
    "Patch",
    "State",
    "TARGETS",
    "find_installation",
    "find_patch",
    "patches_dir",
]
