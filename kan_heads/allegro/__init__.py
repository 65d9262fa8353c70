"""Allegro with KANs: ``_target_: kan_heads.allegro.KANAllegroModel``."""

from kan_heads.allegro.builders import KANAllegroModel
from kan_heads.errors import exit_with_one_line

exit_with_one_line("nequip-")

__all__ = ["KANAllegroModel"]
