"""ETGNN: tensors of atoms and crystals, such as Born effective charges, from edges and triplets.

Names are looked up when they are used: a packaged model brings this file along, but neither lightning nor
scipy, which only the builder and the data module need.
"""

import importlib
from typing import Any

_HOMES = {
    "ETGNNModel": "builders",
    "TensorDataModule": "datamodule",
    "TensorPredictor": "predict",
    "TensorStatisticsManager": "statistics",
    "tensor_field": "fields",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
