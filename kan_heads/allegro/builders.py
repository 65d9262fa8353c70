"""The builder of Allegro models with KANs."""

from typing import Any, Mapping, Optional

import torch
from allegro.model import AllegroModel
from nequip.model import model_builder

from kan_heads.swap import replace_mlps


@model_builder
def KANAllegroModel(kan: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> torch.nn.Module:  # noqa: N802
    """Builds ``allegro.model.AllegroModel`` and replaces its MLPs by KANs.

    Args:
        kan: ``scope`` (default ``output``: the edge readout) and the options of
            :class:`kan_heads.kan.KANConfig`.
        **kwargs: every argument of the stock builder.

    Raises:
        ConfigError: if ``kan`` is not valid.

    Source: Wang et al. 2024, Figure 2, Tables 2 to 5.
    """
    model = AllegroModel(**kwargs)
    replace_mlps(model, kan=kan)
    return model
