"""The builder of NequIP models with KANs."""

from typing import Any, Mapping, Optional

import torch
from nequip.model import NequIPGNNModel, model_builder

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
    replace_mlps(model, kan)
    return model
