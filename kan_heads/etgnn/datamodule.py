"""A data module for tensors: labels checked, graphs computed once."""

import json
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

import torch
from nequip.data.dataset import AtomicDataset
from omegaconf import DictConfig, ListConfig, OmegaConf

from kan_heads.data.progress import track
from kan_heads.errors import ConfigError, DataError
from kan_heads.etgnn.fields import tensor_field
from kan_heads.nequip import CheckedASEDataModule

Graph = Dict[str, torch.Tensor]


class PreparedDataset(AtomicDataset):
    """Frames whose neighbour lists are kept, since they are the same in every epoch."""

    def __init__(self, graphs: List[Graph]) -> None:
        super().__init__()
        self.graphs = graphs

    def __len__(self) -> int:
        return len(self.graphs)

    def _get_data_list(self, indices: Any) -> List[Graph]:
        return self.graphs[indices] if isinstance(indices, slice) else [self.graphs[i] for i in indices]


class TensorDataModule(CheckedASEDataModule):
    """nequip's ``ASEDataModule`` for files labelled with a tensor of each atom or each crystal.

    It registers the field, reads it, checks every file (see
    :class:`kan_heads.nequip.CheckedASEDataModule`), names the types and builds the neighbour lists,
    once for all epochs.

    .. code-block:: yaml

        data:
          _target_: kan_heads.etgnn.TensorDataModule
          field: born_effective_charges   # or one of your own, with per: atom or per: crystal
          r_max: 6.0
          type_names: [O, Si]
          seed: 1
          train_file_path: train.extxyz
          val_file_path: val.extxyz

    Args:
        field: name of the tensor. Per atom, a column of nine numbers (xx, xy, ... zz); per crystal, nine
            numbers of the comment line as ASE writes a 3 x 3 array.
        r_max: length of the longest edges in Angstrom.
        type_names: chemical symbols, in the order of the model.
        per: ``atom`` or ``crystal``; needed for a field of your own.
        symmetric: whether the tensor equals its transpose.
        **kwargs: arguments of nequip's class, except ``transforms``; ``key_mapping: {column: field}`` reads
            labels of another name.

    Raises:
        ConfigError: if the field is not valid.
        DataError: if a file is missing or damaged, lacks the label or has it in another shape, holds NaN, an
            element that ``type_names`` lacks, or a structure without neighbours.
    """

    def __init__(
        self,
        field: str,
        r_max: float,
        type_names: Sequence[str],
        per: Optional[str] = None,
        symmetric: Optional[bool] = None,
        **kwargs: Any,
    ) -> None:
        if "transforms" in kwargs:
            raise ConfigError(
                "transforms: TensorDataModule has its own; use nequip's ASEDataModule for others"
            )
        tensor = tensor_field(field, per, symmetric)
        type_names = list(type_names)
        mapping = kwargs.get("key_mapping") or {}
        source = next((key for key, target in mapping.items() if target == field), field)
        kwargs["include_keys"] = [*(kwargs.get("include_keys") or []), source]
        transforms = [
            {
                "_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper",
                "model_type_names": type_names,
                "chemical_species_to_atom_type_map": {name: name for name in type_names},
            },
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": float(r_max)},
        ]
        super().__init__(
            check_r_max=float(r_max),
            check_labels=(field,),
            check_tensors={source: tensor.per},
            check_elements=type_names,
            transforms=transforms,
            **kwargs,
        )
        self._graphs: Dict[str, List[Graph]] = {}

    def setup(self, stage: str) -> None:
        """Reads the files of a stage and builds their graphs, unless an earlier stage did."""
        super().setup(stage)
        for name in ("train", "val", "test", "predict"):
            datasets = getattr(self, f"{name}_dataset", None)
            if datasets:
                configs = getattr(self, f"{name}_dataset_config")
                prepared = [self._prepare(*pair, name) for pair in zip(datasets, configs, strict=True)]
                setattr(self, f"{name}_dataset", prepared)

    def _prepare(self, dataset: AtomicDataset, config: Mapping[str, Any], name: str) -> PreparedDataset:
        if isinstance(dataset, PreparedDataset):
            return dataset
        key = json.dumps(_plain(config), sort_keys=True, default=str)
        if key not in self._graphs:
            self._graphs[key] = list(self._built(dataset, name))
        return PreparedDataset(self._graphs[key])

    @staticmethod
    def _built(dataset: AtomicDataset, name: str) -> Iterator[Graph]:
        for index in track(range(len(dataset)), f"graphs, {name}", len(dataset)):
            graph = dataset[index]
            if graph["edge_index"].shape[1] == 0:
                raise DataError(
                    f"{name} set: structure {index} has no neighbours within r_max; use a larger r_max or "
                    "remove it"
                )
            yield graph


def _plain(config: Any) -> Any:
    if isinstance(config, (DictConfig, ListConfig)):
        return OmegaConf.to_container(config, resolve=True)
    return config
