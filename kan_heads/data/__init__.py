"""A user's structures: read, check, convert and split them."""

from kan_heads.data.check import Report, check_file, check_frames, purpose_of
from kan_heads.data.convert import convert
from kan_heads.data.split import split

__all__ = ["Report", "check_file", "check_frames", "convert", "purpose_of", "split"]
