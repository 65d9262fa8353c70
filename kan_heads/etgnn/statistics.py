"""Statistics of a tensor, for ``${training_data_stats:...}`` in a configuration."""

import logging
from typing import Any, Dict, List, Optional

import torch
from nequip.data import AtomicDataDict, BaseModifier, DataStatisticsManager, NumNeighbors
from nequip.data.stats import Mean, RootMeanSquare, StandardDeviation

from kan_heads.etgnn.fields import tensor_field

logger = logging.getLogger(__name__)

_MEAN = "per_type_isotropic_mean"
_VARIANCE = "per_type_isotropic_variance"
_SUM = "crystal_mean_rms"
_LARGE_SUM = 0.05  # e; what unconverged calculations leave is smaller


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


class CrystalMean(BaseModifier):
    """The mean of the tensors of the atoms of each crystal, zero where the acoustic sum rule holds."""

    def _func(self, data: AtomicDataDict.Type) -> torch.Tensor:
        counts = data[AtomicDataDict.NUM_NODES_KEY]
        sums = torch.zeros(counts.shape[0], 3, 3, dtype=data[self.field].dtype)
        return sums.index_add(0, data[AtomicDataDict.BATCH_KEY], data[self.field]) / counts.view(-1, 1, 1)


class TensorStatisticsManager(DataStatisticsManager):
    """nequip's manager with what an ETGNN model asks for.

    ``num_neighbors_mean``; ``per_type_isotropic_mean``, a third of the trace, averaged over the atoms of
    each type (0 for a type that no structure holds); ``deviation_rms``, root mean square of the elements
    of what these means leave of the tensors (1 if they leave nothing); ``anisotropic_rms``, that of the
    elements without the isotropic part. The last three have the unit of the field. Born charges that
    break the acoustic sum rule cause a warning. Unlabelled entries (NaN) are left out.

    Args:
        field: the tensor.
        per: ``atom`` or ``crystal``, as for the model.
        symmetric: as for the model.
        dataloader_kwargs: options of the data loader.
        type_names: names of the types of atoms.
    """

    def __init__(
        self,
        field: str,
        per: Optional[str] = None,
        symmetric: Optional[bool] = None,
        dataloader_kwargs: Optional[Dict[str, Any]] = None,
        type_names: Optional[List[str]] = None,
    ) -> None:
        tensor_field(field, per, symmetric)
        isotropic = IsotropicPart(field)
        variance = StandardDeviation(squared=True, unbiased=False)
        metrics: List[Dict[str, Any]] = [
            {"name": "num_neighbors_mean", "field": NumNeighbors(), "metric": Mean()},
            {"name": _MEAN, "field": isotropic, "metric": Mean(), "per_type": True},
            {"name": _VARIANCE, "field": isotropic, "metric": variance, "per_type": True},
            {"name": "anisotropic_rms", "field": AnisotropicPart(field), "metric": RootMeanSquare()},
        ]
        if field == AtomicDataDict.BORN_CHARGE_KEY:
            metrics.append({"name": _SUM, "field": CrystalMean(field), "metric": RootMeanSquare()})
        labelled = [{**metric, "ignore_nan": True} for metric in metrics]
        super().__init__(labelled, dataloader_kwargs, type_names)

    def compute(self) -> Dict[str, Any]:
        """Computes the statistics, and the one that follows from others."""
        super().compute()
        counts = [float(metric.count) for metric in self[self.names.index(_VARIANCE)]]
        variances, means = self.stats_dict[_VARIANCE], self.stats_dict[_MEAN]
        for name, count in zip(self.type_names, counts, strict=True):
            if count == 0.0:  # of which the data module warns
                means[name] = variances[name] = self.stats_dict[f"{_MEAN}_{name}"] = 0.0
        if self.stats_dict.get(_SUM, 0.0) > _LARGE_SUM:
            logger.warning(
                f"sum rule: the Born charges of a crystal add up to {self.stats_dict[_SUM]:.2f} e per atom "
                "(rms), the model makes that 0; correct the labels or set sum_rule: false in the model"
            )
        isotropic = sum(c * v for c, v in zip(counts, variances.values(), strict=True)) / sum(counts)
        deviation = (self.stats_dict["anisotropic_rms"] ** 2 + isotropic / 3.0) ** 0.5
        self.stats_dict["deviation_rms"] = deviation if deviation > 1e-12 else 1.0
        logger.info(f"deviation_rms: {deviation}")
        return self.stats_dict
