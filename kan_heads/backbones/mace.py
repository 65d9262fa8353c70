"""MACE: one energy for each atom and head, from each readout."""

import re
from typing import Any, Dict, List, Mapping

import torch

from kan_heads.mace.settings import MACEKANConfig
from kan_heads.swap import Adapter, MLPWeights, SwapConfig, kans_of
from kan_heads.swap.adapter import Scope

#: Modules whose outputs MACE only scales and sums: readouts of stock models, and those with KANs.
_READOUT = re.compile(r"readouts\.\d+\.((stock\.)?linear(_2)?|kans\.\d+)")


class MACEAdapter(Adapter):
    """KANs stand beside the linear map of each readout and in place of the radial MLPs.

    Scopes: ``output`` (all readouts), ``all`` (the radial MLPs as well). The model rebuilds itself from its
    settings, so single sites cannot be chosen.
    """

    name = "MACE"
    settings = MACEKANConfig

    def fits(self, model: torch.nn.Module) -> bool:
        """Tells whether the model is one of MACE's."""
        return any(kind.__module__ == "mace.modules.models" for kind in type(model).__mro__)

    def find(self, model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
        """Lists the readouts and radial networks without KANs."""
        from kan_heads.mace import sites

        held = kans_of(model)
        return {
            path: site
            for path, site in sites.find(model).items()
            if not any(kan == path or kan.startswith(f"{path}.") for kan in held)
        }

    def scopes(self) -> Mapping[str, Scope]:
        """Returns what each scope stands for."""
        return {
            "output": lambda path, mlp: path.startswith("readouts."),
            "all": lambda path, mlp: True,
        }

    def dims(self, mlp: torch.nn.Module) -> List[int]:
        """Returns the widths of a radial MLP; those of a readout's KAN are up to the settings."""
        return list(mlp.hs)

    def read(self, mlp: torch.nn.Module) -> MLPWeights:
        """Reads a radial MLP."""
        from kan_heads.mace.radial import read_radial

        return read_radial(mlp)

    def readouts(self, model: torch.nn.Module) -> Dict[str, str]:
        """Lists the last linear maps of the readouts and the KANs beside them."""
        return {path: "atoms" for path, _ in model.named_modules() if _READOUT.fullmatch(path)}

    def complete(self, model: torch.nn.Module, config: SwapConfig) -> SwapConfig:
        """Returns the settings; MACE checks them as it reads them, and widths once it is given a model."""
        return config

    def replace(self, model: torch.nn.Module, config: SwapConfig, keep_function: bool) -> List[str]:
        """Makes the model one of :class:`kan_heads.mace.models.ScaleShiftMACE`."""
        from kan_heads.mace.models import to_kan

        return list(kans_of(to_kan(model, config, keep_function=keep_function)))

    def run(self, model: torch.nn.Module, batch: Any) -> Any:
        """Evaluates a batch of MACE's loaders, or a list of its ``AtomicData``, without forces."""
        from kan_heads.mace.calibration import evaluate

        frames = batch if isinstance(batch, (list, tuple)) else batch.to_data_list()
        return evaluate(model, frames)
