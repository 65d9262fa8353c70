"""NequIP with KANs, and what serves every model of the nequip framework."""

from kan_heads.errors import exit_with_one_line
from kan_heads.nequip.builders import KANModel, KANNequIPGNNModel
from kan_heads.nequip.calibration import CalibrateGrids, GridCoverage
from kan_heads.nequip.datamodule import CheckedASEDataModule
from kan_heads.nequip.saved import KANModelFromSaved

exit_with_one_line("nequip-")

__all__ = [
    "CalibrateGrids",
    "CheckedASEDataModule",
    "GridCoverage",
    "KANModel",
    "KANModelFromSaved",
    "KANNequIPGNNModel",
]
