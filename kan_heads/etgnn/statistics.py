"""Statistics of a tensor, for ``${training_data_stats:...}`` in a configuration."""

from typing import Any, Dict, List, Optional

import torch
from nequip.data import AtomicDataDict, BaseModifier, DataStatisticsManager, NumNeighbors
from nequip.data.stats import Mean, RootMeanSquare

from kan_heads.etgnn.fields import tensor_field


class IsotropicPart(BaseModifier):
    """A third of the trace of the tensor at each atom; that of the crystal where there is one for all."""

    def _func(self, data: AtomicDataDict.Type) -> torch.Tensor:
        third = data[self.field].diagonal(dim1=-2, dim2=-1).mean(dim=-1)
        return third[data[AtomicDataDict.BATCH_KEY]] if super().type == "graph" else third  # (n_atoms,)

    @property
    def type(self) -> str:
        """Always one number per atom."""
        return "node"


class AnisotropicPart(BaseModifier):
    """The tensor without its isotropic part."""

    def _func(self, data: AtomicDataDict.Type) -> torch.Tensor:
        tensor = data[self.field]  # (n, 3, 3)
        third = tensor.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
        return tensor - third.view(-1, 1, 1) * torch.eye(3, dtype=tensor.dtype, device=tensor.device)


def TensorStatisticsManager(  # noqa: N802
    field: str,
    per: Optional[str] = None,
    symmetric: Optional[bool] = None,
    dataloader_kwargs: Optional[Dict[str, Any]] = None,
    type_names: Optional[List[str]] = None,
) -> DataStatisticsManager:
    """Builds nequip's manager with what an ETGNN model asks for.

    ``num_neighbors_mean``; ``per_type_isotropic_mean``, a third of the trace, averaged over the atoms of
    each type; ``anisotropic_rms``, root mean square of the elements without that part. The last two have the
    unit of the field. Unlabelled entries (NaN) are left out.

    Args:
        field: the tensor.
        per: ``atom`` or ``crystal``, as for the model.
        symmetric: as for the model.
        dataloader_kwargs: options of the data loader.
        type_names: names of the types of atoms.
    """
    tensor_field(field, per, symmetric)
    metrics: List[Dict[str, Any]] = [
        {"name": "num_neighbors_mean", "field": NumNeighbors(), "metric": Mean()},
        {
            "name": "per_type_isotropic_mean",
            "field": IsotropicPart(field),
            "metric": Mean(),
            "per_type": True,
            "ignore_nan": True,
        },
        {
            "name": "anisotropic_rms",
            "field": AnisotropicPart(field),
            "metric": RootMeanSquare(),
            "ignore_nan": True,
        },
    ]
    return DataStatisticsManager(metrics, dataloader_kwargs, type_names)
