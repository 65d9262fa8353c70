"""Tensors of structures, by a checkpoint, a package or a compiled model."""

import logging
import os
from typing import Any, Dict, List

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict, from_ase
from nequip.data._nl import compute_neighborlist_
from nequip.data.transforms import NonPeriodicCellTransform

from kan_heads.compiling import SUFFIXES, untrained_types
from kan_heads.data.structure import check_structure
from kan_heads.errors import DataError, ModelError, first_line
from kan_heads.etgnn.targets import find_network
from kan_heads.global_state import default_dtype, nequip_state
from kan_heads.loading import SAVED, check_device, check_file, load
from kan_heads.quiet import quiet

_KINDS = "a checkpoint (.ckpt), a package (.nequip.zip) or a compiled model (.nequip.pt2)"


class TensorPredictor:
    """A trained ETGNN model that takes structures of ASE.

    .. code-block:: python

        predictor = TensorPredictor("best.ckpt")
        charges = predictor.predict(ase.io.read("POSCAR"))  # (n_atoms, 3, 3), in e

    Args:
        model_path: a checkpoint of ``nequip-train``, a package of ``nequip-package`` or a model compiled by
            ``kan-heads compile``.
        device: ``cpu`` or ``cuda``; a compiled model runs on the one that it was compiled for.

    Attributes:
        field: name of the tensor.
        per: ``atom`` or ``crystal``.
        type_names: the elements that the model knows.
        r_max: length of its longest edges in Angstrom.

    Raises:
        ModelError: if the file is missing, no model, or predicts no tensor.
        ConfigError: if the device is unknown or not there.
    """

    field: str
    per: str
    type_names: List[str]
    r_max: float

    def __init__(self, model_path: "str | os.PathLike[str]", device: str = "cpu") -> None:
        path = str(model_path)
        check_file(path, (*SAVED, SUFFIXES["aotinductor"]), _KINDS)
        self.device = check_device(device)
        self._untrained: List[str] = []
        self._compiled = path.endswith(SUFFIXES["aotinductor"])
        with nequip_state(), quiet(logging.WARNING):
            if self._compiled:
                self._load_compiled(path)
            else:
                self._load_saved(path)

    def predict(self, atoms: Atoms) -> np.ndarray:
        """Predicts the tensor, or tensors, of a structure.

        Args:
            atoms: a crystal, slab or molecule; labels and calculators are ignored.

        Returns:
            Shape ``(n_atoms, 3, 3)``, or ``(3, 3)`` for a tensor of the crystal, float64, in the units of
            the labels that the model has learned. The order of the indices is theirs as well.

        Raises:
            DataError: if the structure has an element that the model does not know, positions that are no
                numbers, a periodic cell without volume, or no two atoms within ``r_max``.
            ModelError: if the model answers with NaN, or its training data held none of an element (which a
                compiled model does not tell).
        """
        check_structure(atoms, elements=self.type_names)
        if lost := sorted(set(self._untrained) & set(atoms.symbols)):
            raise ModelError(f"the model was not trained on {', '.join(lost)}: its training data held none")
        tensors = self._evaluate(atoms)
        if not np.isfinite(tensors).all():
            raise ModelError(
                f"the model answers with NaN for {atoms.get_chemical_formula()}; do two of its atoms lie on "
                "one another? If not, the training has failed"
            )
        return tensors if self.per == "atom" else tensors[0]

    def _load_saved(self, path: str) -> None:
        model = load(path, str(self.device))
        network = find_network(model)
        if network is None:
            raise ModelError(f"{path}: this model predicts no tensor; give one of kan_heads.etgnn.ETGNNModel")
        self.field, self.per = str(network.tensor_field), str(network.per)
        self.type_names, self.r_max = list(model.type_names), float(model.metadata["r_max"])
        self._untrained = untrained_types(model)
        self._model = model

    def _load_compiled(self, path: str) -> None:
        from nequip.model.inference_models import load_compiled_model

        try:
            model, metadata = load_compiled_model(path, str(self.device))
        except Exception as error:
            raise ModelError(f"{path}: cannot be loaded ({first_line(error)}); compile it again") from error
        fields = list(model.output_keys)
        if len(fields) != 1:
            raise ModelError(f"{path}: predicts {', '.join(fields)}, not one tensor; compile an ETGNN model")
        self.field = fields[0]
        self.type_names, self.r_max = metadata["type_names"], metadata["r_max"]
        self._model = model
        # The file does not say what the tensor belongs to; three atoms tell.
        element, step = self.type_names[0], 0.3 * self.r_max
        trial = self._evaluate(Atoms([element] * 3, [[0, 0, i * step] for i in range(3)]))
        if trial.shape not in ((3, 3, 3), (1, 3, 3)):
            raise ModelError(
                f"{path}: predicts {self.field}, which is no 3 x 3 tensor; compile an ETGNN model"
            )
        self.per = "atom" if trial.shape[0] == 3 else "crystal"

    def _evaluate(self, atoms: Atoms) -> np.ndarray:
        """Returns what the model says, ``(n, 3, 3)``."""
        with torch.no_grad(), default_dtype(torch.float64):
            output = self._model(self._graph(atoms))[self.field]
        return output.detach().to("cpu", torch.float64).numpy()

    def _graph(self, atoms: Atoms) -> Dict[str, Any]:
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        data = from_ase(bare)
        types = [self.type_names.index(symbol) for symbol in bare.symbols]
        data[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor(types, dtype=torch.long)
        if self._compiled:  # its inputs are fixed: a molecule needs a cell too
            data = NonPeriodicCellTransform(padding=10.0)(data)
        data = compute_neighborlist_(data, self.r_max)
        if data[AtomicDataDict.EDGE_INDEX_KEY].shape[1] == 0:
            raise DataError(
                f"no two atoms are within r_max = {self.r_max:g} Angstrom; the model sees isolated atoms "
                "only: check the units of cell and positions"
            )
        return AtomicDataDict.to_(data, self.device)
