"""The data sets of the papers: find, fetch, verify, convert and split them.

Example:
    >>> from benchmarks import datasets
    >>> datasets.prepare("ag-emt", "data/ag-emt", train=200, val=100)  # doctest: +SKIP
"""

from benchmarks.datasets.fetch import availability, get
from benchmarks.datasets.prepare import Prepared, prepare
from benchmarks.datasets.registry import Dataset, list_datasets, lookup
from benchmarks.datasets.sources import born_charges

__all__ = ["Dataset", "Prepared", "availability", "born_charges", "get", "list_datasets", "lookup", "prepare"]
