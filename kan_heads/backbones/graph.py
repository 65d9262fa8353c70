"""What models of the nequip framework have in common: their MLPs, wrappers and batches."""

from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from kan_heads.data.structure import check_structure
from kan_heads.errors import ModelError
from kan_heads.global_state import default_dtype
from kan_heads.swap import Adapter, MLPWeights, SwapConfig
from kan_heads.swap.adapter import Scope
from kan_heads.swap.stacks import read_stack

if TYPE_CHECKING:
    from ase import Atoms

_READOUT = "readout.mlp_module"


class GraphAdapter(Adapter):
    """Any model of the nequip framework.

    The MLPs are nequip's ``ScalarMLPFunction`` modules with a hidden layer, and readouts of any depth. The
    other single linear maps stay: a KAN inside an embedding would mix bases that must be mixed linearly.
    Scopes: ``output`` (the readouts), ``embedding_latent`` (all others), ``all``.
    """

    name = "the nequip framework"
    wrappers = ("model.", "func.", "sole_model.")
    #: Class of a module that only this backbone has.
    mark: ClassVar[str] = "SequentialGraphNetwork"
    #: What the rows of a readout stand for, by the name of its module; atoms otherwise.
    rows: ClassVar[Mapping[str, str]] = {"edge_readout": "edges", "triplet_readout": "triplets"}

    def fits(self, model: torch.nn.Module) -> bool:
        """Tells whether the backbone's module is somewhere in the model."""
        return any(type(module).__name__ == self.mark for module in model.modules())

    def find(self, model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
        """Lists the MLPs that a KAN can replace."""
        return {
            path: module
            for path, module in model.named_modules()
            if type(module).__name__ == "ScalarMLPFunction" and self.is_mlp(path, module)
        }

    def is_mlp(self, path: str, mlp: torch.nn.Module) -> bool:
        """Tells whether an MLP is one that a KAN can replace."""
        return mlp.num_layers > 1 or is_readout(path)

    def scopes(self) -> Mapping[str, Scope]:
        """Returns what each scope stands for."""
        return {
            "output": lambda path, mlp: is_readout(path),
            "embedding_latent": lambda path, mlp: not is_readout(path),
            "all": lambda path, mlp: True,
        }

    def dims(self, mlp: torch.nn.Module) -> List[int]:
        """Returns the widths from input to output."""
        return list(mlp.dims)

    def read(self, mlp: torch.nn.Module) -> MLPWeights:
        """Reads a ``ScalarMLPFunction``."""
        inner = mlp.mlp
        if type(inner).__name__ == "DeepLinearMLP":
            weights = [weight.detach().t() for weight in inner.weights]  # nequip: (in, out)
            return MLPWeights([weights[0] * inner.alpha, *weights[1:]], None, None)
        return read_stack(inner, _read_linear)

    def readouts(self, model: torch.nn.Module) -> Dict[str, str]:
        """Lists the readouts."""
        return {
            path: self.rows.get(path.split(".")[-2], "atoms")
            for path, _ in model.named_modules()
            if is_readout(path)
        }

    def complete(self, model: torch.nn.Module, config: SwapConfig) -> SwapConfig:
        """Checks the settings, unless a checkpoint is being loaded: what was trained once can be used."""
        return config if _is_loading() else super().complete(model, config)

    def run(self, model: torch.nn.Module, batch: Dict[str, Tensor]) -> None:
        """Evaluates a batch by each model of the ``ModuleDict`` that nequip trains, or by one model."""
        for graph in model.values() if isinstance(model, torch.nn.ModuleDict) else [model]:
            device = next(graph.parameters()).device
            names = [name for name in graph.model_input_fields if name in batch]
            # The eager module: a compiled model calls its KANs from inside, unseen.
            graph.model({name: batch[name].to(device) for name in names})

    def structure(self, model: torch.nn.Module, atoms: "Atoms") -> Dict[str, Tensor]:
        """Returns a structure with the neighbours that the model needs."""
        from ase import Atoms
        from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase

        names = list(model.type_names)
        check_structure(atoms, elements=names)
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        with default_dtype(torch.float64):  # as nequip's own programs do, whatever the model's precision
            data = compute_neighborlist_(from_ase(bare), float(model.metadata["r_max"]))
        types = [names.index(symbol) for symbol in bare.symbols]
        data[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor(types, dtype=torch.long)
        return data

    def energy(self, model: torch.nn.Module, structure: Dict[str, Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
        """Evaluates what stands inside of the module that makes forces."""
        from nequip.data import AtomicDataDict

        inner = [m.func for m in model.modules() if type(m).__name__ == "ForceStressOutput"]
        if not inner:
            raise ModelError("the model has no energy whose forces nequip makes")
        place = next(model.parameters()).device
        data = {name: value.to(place) for name, value in structure.items()}
        positions = data[AtomicDataDict.POSITIONS_KEY].detach().clone().requires_grad_(True)
        strain = torch.zeros(3, 3, dtype=positions.dtype, device=place, requires_grad=True)
        bend = 0.5 * (strain + strain.t())
        data[AtomicDataDict.POSITIONS_KEY] = positions + positions @ bend
        if AtomicDataDict.CELL_KEY in data:
            cell = data[AtomicDataDict.CELL_KEY].reshape(3, 3)
            data[AtomicDataDict.CELL_KEY] = (cell + cell @ bend).unsqueeze(0)
        with default_dtype(torch.float64):
            energy = inner[0](data)[AtomicDataDict.TOTAL_ENERGY_KEY].sum()
        return energy, positions, strain

    def matches(self, path: str, pattern: str) -> bool:
        """Takes the path of the module around an MLP as well."""
        return super().matches(path, pattern) or super().matches(path, f"{pattern}.mlp_module")


def is_readout(path: str) -> bool:
    """Tells whether the module at a path turns the last features into the output."""
    return path.endswith(_READOUT)


def short_path(path: str) -> str:
    """Drops the wrappers in front of a module path: ``model.func.edge_readout`` -> ``edge_readout``."""
    return GraphAdapter().short_path(path)


def _read_linear(layer: torch.nn.Module) -> Optional[Tuple[Tensor, Optional[Tensor]]]:
    # A parametrised (e.g. weight-normed) layer goes by another name but still holds the product.
    if not type(layer).__name__.endswith("ScalarLinearLayer"):
        return None
    return (layer.weight * layer.alpha).t(), layer.bias  # nequip: (in, out)


def _is_loading() -> Any:
    """Tells whether nequip builds a model to load a checkpoint into."""
    from nequip.model import utils

    loading = getattr(utils, "_OVERRIDE_COMPILE_MODE", None)
    return loading is not None and loading.get()
