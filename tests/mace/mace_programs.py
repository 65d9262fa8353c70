"""Runs MACE's own programs as a user does, on an alloy and models of toy size."""

import numpy as np
from programs import run

E0S = {29: 0.3, 47: 0.05}

TINY = (
    *("--train_file=train.extxyz", "--valid_file=val.extxyz", f"--E0s={E0S}", "--model=MACE"),
    *("--num_channels=4", "--max_L=1", "--max_ell=1", "--correlation=2", "--r_max=4.0", "--radial_MLP=[8]"),
    *("--MLP_irreps=8x0e", "--batch_size=2", "--valid_batch_size=4", "--lr=0.01", "--seed=1"),
    *("--device=cpu", "--default_dtype=float64", "--stress_key=REF_stress"),
)


def write_alloy(folder):
    """Writes frames of a silver-copper alloy that ASE's EMT has labelled."""
    import ase.io
    from ase.build import bulk
    from ase.calculators.emt import EMT

    rng, frames = np.random.default_rng(0), []
    for i in range(12):
        atoms = bulk("Ag", cubic=True, a=4.0 + 0.02 * (i % 3)).repeat((2, 2, 1))
        atoms.symbols[rng.choice(16, 4, replace=False)] = "Cu"
        atoms.rattle(0.15, seed=i)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        stress = atoms.get_stress(voigt=False)
        atoms.calc = None
        atoms.info.update(REF_energy=energy, REF_stress=stress)
        atoms.arrays["REF_forces"] = forces
        frames.append(atoms)
    ase.io.write(folder / "train.extxyz", frames[:8])
    ase.io.write(folder / "val.extxyz", frames[8:])


def train(name, *words, **options):
    """Runs ``mace_run_train`` and returns its model file and all that it said."""
    said = run("mace_run_train", f"--name={name}", f"--work_dir={name}", *TINY, *words, **options)
    return options["cwd"] / name / f"{name}.model", "".join(said)


def predict(path, cwd, file="val.extxyz", **of_calculator):
    """Returns energy, forces and stress of the last frame of a file by MACE's calculator."""
    import ase.io
    from mace.calculators import MACECalculator

    atoms = ase.io.read(cwd / file)
    atoms.calc = MACECalculator(str(path), device="cpu", default_dtype="float64", **of_calculator)
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


def difference(a, b):
    """Returns the largest difference of two predictions."""
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))
