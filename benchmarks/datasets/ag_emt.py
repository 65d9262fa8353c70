"""A stand-in for the silver data: the same atoms, labelled with ASE's EMT instead of DFT.

The labels are those of an empirical potential, so that errors on this set say nothing about the
paper's silver; every file, table and message that shows it says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.datasets.files import Say, file_lock, find, say_stderr
from benchmarks.datasets.sources import labelled
from kan_heads.paths import cache_dir
from kan_heads.progress import track
from kan_heads.writing import whole

if TYPE_CHECKING:
    from ase import Atoms

RELATIVE_PATH = "ag-emt/ag_emt_v1.extxyz"
STAND_IN = "ASE-EMT"
N_FRAMES = 1000
TEMPERATURE_K = 300.0
LATTICE = 4.09  # Angstrom, experimental
# Phonons of silver have periods of 200 fs and more. A friction near their frequency makes positions
# forget fastest, and 8 fs is still 25 steps per period.
TIMESTEP_FS = 8.0
FRICTION_PER_FS = 0.02
INTERVAL = 7  # steps between frames; force correlation of successive frames about 0.4
EQUILIBRATION = 500  # steps


def generate(n_frames: int = N_FRAMES, seed: int = 0, equilibration: int = EQUILIBRATION) -> list[Atoms]:
    """Langevin dynamics of Ag71 (3x3x2 fcc cells less one atom) at 300 K with EMT labels.

    Args:
        n_frames: number of frames.
        seed: seed of the initial velocities and the thermostat.
        equilibration: steps before the first frame.

    Returns:
        Frames with energy (eV), forces (eV/Angstrom) and stress (eV/Angstrom^3); momenta are not kept,
        ``info`` has ``stand_in`` and the instantaneous ``temperature`` in K.

    Source: K. W. Jacobsen, P. Stoltze, J. K. Norskov, Surf. Sci. 366, 394 (1996), as coded in ASE.
    """
    from ase import units
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.md.langevin import Langevin

    atoms = bulk("Ag", "fcc", a=LATTICE, cubic=True) * (3, 3, 2)
    del atoms[0]
    atoms.calc = EMT()
    rng = np.random.RandomState(seed)
    # Half of the kinetic energy of a crystal at rest goes into its potential energy, hence twice kT.
    sigma = np.sqrt(2 * units.kB * TEMPERATURE_K * atoms.get_masses())
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * sigma[:, None])
    md = Langevin(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        friction=FRICTION_PER_FS / units.fs,
        fixcm=False,
        rng=rng,
    )
    md.run(equilibration)
    frames = []
    for _ in track(range(n_frames), "dynamics of silver", n_frames):
        md.run(INTERVAL)
        frames.append(
            labelled(
                atoms,
                atoms.get_potential_energy(),
                atoms.get_forces(),
                atoms.get_stress(),
                stand_in=STAND_IN,
                temperature=round(float(atoms.get_temperature()), 3),
            )
        )
    return frames


def cached(say: Say = say_stderr) -> Path:
    """The stored 1,000 frames with seed 0; generated into the cache the first time.

    Returns:
        Path of the extended XYZ file.
    """
    import ase.io

    if found := find(RELATIVE_PATH):
        return found[0]
    target = cache_dir() / RELATIVE_PATH
    with file_lock(target):
        if not target.exists():
            say(f"ag-emt: generating {N_FRAMES} frames with ASE's EMT, a stand-in for ag (a minute, once)")
            with whole(target) as new:
                ase.io.write(new, generate(), format="extxyz")
    return target
