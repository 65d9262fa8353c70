"""The builders of NequIP models with KANs, and of those of any stock builder."""

from typing import Any, Mapping, Optional

import torch
from hydra.utils import get_method
from nequip.model import NequIPGNNModel, model_builder

from kan_heads.errors import ConfigError, first_line
from kan_heads.swap import replace_mlps


@model_builder
def KANNequIPGNNModel(kan: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> torch.nn.Module:  # noqa: N802
    """Builds ``nequip.model.NequIPGNNModel`` and replaces its MLPs by KANs.

    Args:
        kan: ``scope`` (default ``output``: the per-atom readout) and the options of
            :class:`kan_heads.kan.KANConfig`.
        **kwargs: every argument of the stock builder.

    Raises:
        ConfigError: if ``kan`` is not valid.

    Source: Wang et al. 2024, Figure 3, Table 6.
    """
    model = NequIPGNNModel(**kwargs)
    replace_mlps(model, kan=kan)
    return model


@model_builder
def KANModel(builder: str, kan: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> torch.nn.Module:  # noqa: N802
    """Builds any nequip-framework model and replaces its MLPs by KANs.

    .. code-block:: yaml

        model:
          _target_: kan_heads.nequip.KANModel
          builder: nequip.model.PresetNequIPGNNModel
          kan: {scope: output, hidden: []}
          # ... every argument of that builder

    Args:
        builder: dotted name of the stock builder.
        kan: ``scope`` and the options of :class:`kan_heads.kan.KANConfig`.
        **kwargs: arguments of the stock builder.

    Raises:
        ConfigError: if the builder does not exist or ``kan`` is not valid.
    """
    try:
        stock = get_method(builder)
    except Exception as error:
        raise ConfigError(f"builder: {builder!r} cannot be imported ({first_line(error)})") from error
    model = stock(**kwargs)
    replace_mlps(model, kan=kan)
    return model
