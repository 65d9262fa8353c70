"""Where KANs go in a MACE model: beside the linear map of each readout, and in place of each radial MLP."""

from typing import Dict, List, Optional

import mace  # noqa: F401  before e3nn, whose release 0.4 needs a setting that mace makes
import torch
from e3nn import o3

from kan_heads.kan import KAN
from kan_heads.mace.radial import radial_kan
from kan_heads.mace.readouts import features_of, kan_readout
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.swap.adapter import put


def find(model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
    """Lists readouts and radial networks by module path, readouts first."""
    readouts = {f"readouts.{i}": readout for i, readout in enumerate(model.readouts)}
    radial = {
        f"interactions.{i}.conv_tp_weights": block.conv_tp_weights
        for i, block in enumerate(model.interactions)
    }
    return {**readouts, **radial}


def is_readout(path: str) -> bool:
    """Tells whether a site is a readout."""
    return path.startswith("readouts.")


def insert(model: torch.nn.Module, settings: MACEKANConfig) -> None:
    """Puts KANs into a stock model, in place; its class stays.

    Raises:
        ModelError: if a part cannot be extended; the model is then as it was.
    """
    parts = {}
    for path, site in find(model).items():
        if is_readout(path):
            index = int(path.split(".")[1])
            product = model.products[-1 if len(model.readouts) == 1 else index]
            irreps_in = o3.Irreps(str(product.linear.irreps_out))
            parts[path] = kan_readout(site, settings, irreps_in, len(model.heads))
        elif settings.scope == "all":
            parts[path] = radial_kan(site, settings.kan)
    put(model, parts)


def silence(model: torch.nn.Module) -> None:
    """Makes the KANs of the readouts the zero function, whose last layer learns at once."""
    kans: List[KAN] = [kan for readout in model.readouts for kan in readout.kans]
    with torch.no_grad():
        for kan in kans:
            for parameter in kan.layers[-1].parameters():
                parameter.zero_()


def features(model: torch.nn.Module) -> Optional[int]:
    """Returns how many features enter the last readout for each head; ``None`` if it has none."""
    return features_of(model.readouts[-1], len(model.heads))
