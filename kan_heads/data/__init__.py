"""The project's data sets: find, fetch, verify, convert, split and check them.

Example:
    >>> from kan_heads import data
    >>> data.prepare("ag-emt", "data/ag-emt", train=200, val=100)  # doctest: +SKIP
"""

from kan_heads.data.check import Report, check_file, check_frames, purpose_of
from kan_heads.data.fetch import availability, cache_dir, data_dir, get
from kan_heads.data.prepare import Prepared, prepare
from kan_heads.data.registry import Dataset, list_datasets, lookup
from kan_heads.data.sources import born_charges

__all__ = [
    "Dataset",
    "Prepared",
    "Report",
    "availability",
    "born_charges",
    "cache_dir",
    "check_file",
    "check_frames",
    "data_dir",
    "get",
    "list_datasets",
    "lookup",
    "prepare",
    "purpose_of",
]
