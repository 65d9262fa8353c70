"""A data module for tensors: labels checked, graphs computed once."""

import json
import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import torch
from ase.calculators.calculator import all_properties
from hydra.utils import instantiate
from nequip.data.dataset import AtomicDataset
from omegaconf import OmegaConf

from kan_heads.data.labels import TensorLabel
from kan_heads.errors import ConfigError, DataError
from kan_heads.etgnn.fields import tensor_field
from kan_heads.nequip import CheckedASEDataModule
from kan_heads.progress import track

Graph = Dict[str, torch.Tensor]

# By configuration: state of the file, and its graphs.
_GRAPHS: Dict[str, Tuple[Tuple[int, int], List[Graph]]] = {}


class PreparedDataset(AtomicDataset):
    """A data set of nequip whose frames, neighbour lists included, are made once in a process.

    Statistics, training and tests each set up their data again; from the second time on neither the file
    is read nor neighbours are searched, unless the file has changed.

    Args:
        dataset: configuration of a data set of nequip that reads one file.
        field: the tensor.

    Raises:
        DataError: if a structure has no neighbours.
    """

    def __init__(self, dataset: Mapping[str, Any], field: str) -> None:
        super().__init__()
        config = OmegaConf.to_container(OmegaConf.create(dataset), resolve=True)
        path = config.get("dataset", config)["file_path"]
        state = os.stat(path)
        stamp = (state.st_mtime_ns, state.st_size)
        inputs = [config, field, str(torch.get_default_dtype())]
        key = json.dumps(inputs, sort_keys=True, default=repr)
        if key not in _GRAPHS or _GRAPHS[key][0] != stamp:
            _GRAPHS[key] = stamp, list(_graphs(config, path, field))
        self.graphs = _GRAPHS[key][1]

    def __len__(self) -> int:
        return len(self.graphs)

    def _get_data_list(self, indices: Any) -> List[Graph]:
        return self.graphs[indices] if isinstance(indices, slice) else [self.graphs[i] for i in indices]


def _graphs(config: Mapping[str, Any], path: str, field: str) -> Iterator[Graph]:
    dataset = instantiate(config)
    frames = getattr(dataset, "indices", range(len(dataset)))  # of a part of a file, or of a whole one
    for index in track(range(len(dataset)), f"graphs of {path}", len(dataset)):
        graph = dataset[index]
        if graph["edge_index"].shape[1] == 0:
            raise DataError(
                f"{path}: frame {int(frames[index])} has no neighbours within r_max; use a larger r_max or "
                "remove the frame"
            )
        if field in graph:  # labels that are whole numbers are read as such
            graph[field] = graph[field].to(torch.get_default_dtype())
        yield graph


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

    Per atom, the tensor is nine columns, row by row: ``my_tensor:R:9`` for xx, xy, xz, yx, ... zz.
    Per crystal it stands in the comment line, row by row as well: ``my_tensor="xx xy xz yx ... zz"``, or what
    ASE writes for a 3 x 3 array in ``atoms.info``. Symmetric tensors may have six numbers instead: xx, yy,
    zz, yz, xz, xy. (Only ``stress`` and ``virial``, which extended XYZ reserves, are read column by column.)

    Args:
        field: name of the tensor.
        r_max: length of the longest edges in Angstrom.
        type_names: chemical symbols, in the order of the model.
        per: ``atom`` or ``crystal``; needed for a field of your own.
        symmetric: whether the tensor equals its transpose.
        **kwargs: arguments of nequip's class, except ``transforms``; ``key_mapping: {column: field}`` reads
            labels of another name. Other labels of a file are left out unless ``include_keys`` lists them.

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
        wanted: Set[str] = {source, *mapping, *(kwargs.get("include_keys") or [])}
        kwargs["include_keys"] = sorted(wanted)
        unwanted = {*all_properties, field, *(kwargs.get("exclude_keys") or [])}
        kwargs["exclude_keys"] = sorted(unwanted - wanted)
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
            check_tensors={source: TensorLabel(tensor.per, tensor.symmetric)},
            check_elements=type_names,
            transforms=transforms,
            **kwargs,
        )
        for kind in ("train", "val", "test", "predict"):
            name = f"{kind}_dataset_config"
            setattr(self, name, [_prepared(config, field) for config in getattr(self, name)])


def _prepared(config: Mapping[str, Any], field: str) -> Dict[str, Any]:
    target = f"{__name__}.{PreparedDataset.__name__}"
    return {"_target_": target, "_recursive_": False, "dataset": config, "field": field}
