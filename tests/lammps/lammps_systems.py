"""Structures, calculators and small trained models for the tests in this folder."""

import pathlib

import numpy as np
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from programs import run

HERE = pathlib.Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
MODEL = "training_module.model."
TINY = {
    "allegro": (
        *(f"{MODEL}num_scalar_features=8", f"{MODEL}num_tensor_features=4"),
        *(f"{MODEL}scalar_embed_mlp_hidden_layers_width=8", f"{MODEL}allegro_mlp_hidden_layers_width=8"),
    ),
    "nequip": (f"{MODEL}num_features=4", f"{MODEL}radial_mlp_width=4", f"{MODEL}num_layers=2"),
}


def alloy(repeat=2, cubic=True, seed=0):
    """Copper with gold and silver in it, and no symmetry."""
    atoms = bulk("Cu", a=3.8, cubic=cubic).repeat(repeat)
    atoms.symbols[::3] = "Au"
    atoms.symbols[1::5] = "Ag"
    atoms.rattle(0.1, seed=seed)
    return atoms


def _turned():
    """A cell of three different lengths and angles, in no particular direction, atoms far outside it."""
    atoms = alloy(3, cubic=False)
    random = np.random.RandomState(1)
    atoms.set_cell(atoms.cell @ (np.eye(3) + 0.08 * random.normal(size=(3, 3))), scale_atoms=True)
    atoms.rotate(73.0, (1.0, 2.0, -0.5), rotate_cell=True)
    atoms.positions += random.randint(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    return atoms


def _left_handed():
    atoms = _turned()
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def _skewed():
    """A second cell vector that leans over by more than the length of the first."""
    atoms = alloy()
    cell = atoms.cell.array.copy()
    cell[1] += 1.3 * cell[0]
    cell[2] -= 0.7 * cell[1]
    atoms.set_cell(cell)
    return atoms


def _slab():
    """Periodic in two directions; the third vector leans, and is shorter than the slab is thick."""
    atoms = fcc111("Cu", (3, 3, 3), a=3.8)
    atoms.symbols[::4] = "Au"
    atoms.rattle(0.1, seed=2)
    atoms.set_cell([*atoms.cell.array[:2], [1.0, 0.5, 2.0]])
    atoms.pbc = (True, True, False)
    return atoms


def _wire():
    atoms = alloy(2)
    atoms.pbc = (False, True, False)
    return atoms


def _isotopes():
    atoms = alloy()
    masses = atoms.get_masses()
    masses[::2] += 3.0
    atoms.set_masses(masses)
    return atoms


def _ethanol():
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=3)
    return atoms


SYSTEMS = {
    "cubic": alloy,
    "turned": _turned,
    "left-handed": _left_handed,
    "skewed": _skewed,
    "slab": _slab,
    "wire": _wire,
    "isotopes": _isotopes,
    "molecule": _ethanol,
}


def moving(atoms, kelvin=300.0, seed=5):
    """Gives a structure velocities; the whole stays at rest."""
    atoms = atoms.copy()
    masses = atoms.get_masses()[:, None]
    momenta = np.random.RandomState(seed).normal(size=(len(atoms), 3)) * np.sqrt(masses * units.kB * kelvin)
    atoms.set_momenta(momenta - masses * momenta.sum(0) / masses.sum())
    return atoms


class Failing(EMT):
    """A calculator that does something else from some evaluation on."""

    def __init__(self, at, then):
        super().__init__()
        self.at, self.then, self.calls = at, then, 0

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        self.calls += 1
        if self.calls >= self.at:
            self.then(self)


class Forceless(Calculator):
    """Atoms that do not know of each other."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def bare(numbers="Cu2"):
    """Two atoms in a box."""
    return Atoms(numbers, [[0, 0, 0], [0, 0, 2.5]], cell=[8, 8, 8], pbc=True)


def mace_model():
    """An untrained MACE with KANs in its readouts."""
    import torch
    from e3nn import o3
    from mace import modules

    from kan_heads.mace.models import to_kan
    from kan_heads.mace.settings import MACEKANConfig

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(0)
        blocks = modules.interaction_classes
        stock = modules.ScaleShiftMACE(
            r_max=4.0,
            num_bessel=4,
            num_polynomial_cutoff=5,
            max_ell=1,
            interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
            num_interactions=2,
            num_elements=3,
            hidden_irreps=o3.Irreps("8x0e"),
            MLP_irreps=o3.Irreps("8x0e"),
            atomic_energies=np.array([[-1.0, -2.0, -3.0]]),
            avg_num_neighbors=12.0,
            atomic_numbers=[29, 47, 79],
            correlation=2,
            gate=torch.nn.functional.silu,
            heads=["Default"],
            atomic_inter_scale=[1.0],
            atomic_inter_shift=[0.0],
            radial_MLP=[8, 8],
        )
        model = to_kan(stock, MACEKANConfig.from_dict({}), 8, True)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return model
    finally:
        torch.set_default_dtype(before)


def train(config, data):
    """Trains a small model for one epoch; returns its checkpoint."""
    out = data / config.replace("/", "-")
    run(
        "nequip-train",
        *("-cp", CONFIGS, "-cn", config, f"data_dir={data}", f"hydra.run.dir={out}", "n_epochs=1"),
        *("trainer.enable_progress_bar=false", "batch_size=2", "r_max=4.0", f"{MODEL}kan.basis=bspline"),
        *(f"+{MODEL}kan.hidden=[]", *TINY[config.split("/")[0]]),
        cwd=data,
    )
    return out / "best.ckpt"


def compile_for(target, checkpoint, folder):
    """Compiles a checkpoint for one target of ``nequip-compile``; returns the file."""
    path = folder / f"{target}.nequip.pt2"
    options = ("--mode", "aotinductor", "--device", "cpu", "--target", target)
    run("nequip-compile", checkpoint, path, *options, cwd=folder)
    return path
