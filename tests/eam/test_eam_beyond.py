"""What a potential is told where it has no labels, and what follows from it: expansion, pictures."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

pytest.importorskip("matscipy", reason="needs the extra [eam]")

from kan_heads.eam import EAMConfig, load_potential
from kan_heads.eam.batch import make_batch
from kan_heads.eam.binding import floor_frames, rose_frames
from kan_heads.eam.data import Frame
from kan_heads.eam.labelled import LabelledBatch
from kan_heads.eam.plots import draw_functions, equilibrium_distance
from kan_heads.eam.potential import Potential
from kan_heads.eam.relaxed import equilibrium_hcp
from kan_heads.eam.training import FitConfig, residuals
from kan_heads.errors import ConfigError

COHESIVE = 6.74
LOWEST = Frame(bulk("Ru", "hcp", a=2.71, c=4.28), -13.48 - 200.0, None, False, "x", 0)
POTENTIALS = Path(__file__).parents[2] / "benchmarks" / "an2025" / "results"


@pytest.fixture(scope="module")
def ruthenium():
    return load_potential(POTENTIALS / "ru-eam.json")


def energy_per_atom(potential, atoms):
    return float(potential(make_batch([atoms], potential.config.cutoff)).detach()) / len(atoms)


def test_the_binding_curve_ends_at_free_atoms_and_has_the_bulk_modulus():
    frames = rose_frames(LOWEST, COHESIVE, 320.0)
    energies = np.array([frame.energy / 2 for frame in frames])
    free = LOWEST.energy / 2 + COHESIVE
    assert (np.diff(energies) > 0).all()
    assert free - energies[-1] < 0.05 * COHESIVE
    volumes = np.array([frame.atoms.cell.volume / 2 for frame in frames])
    # near rest E = 9 B V0 (a/a0 - 1)^2 / 2, to first order in the anharmonicity
    stretch = (volumes / (LOWEST.atoms.cell.volume / 2)) ** (1 / 3) - 1
    harmonic = 4.5 * 320.0 / 160.21766208 * LOWEST.atoms.cell.volume / 2 * stretch**2
    assert 0.5 < (energies[0] - LOWEST.energy / 2) / harmonic[0] < 1.0


def test_bounds_count_from_below_only():
    frames = floor_frames(LOWEST, COHESIVE)
    potential = Potential(EAMConfig("Ru"))  # repulsion of nuclei, and an embedding of depth 1
    part = LabelledBatch([LOWEST, *frames], 6.0)
    potential.reference = 100.0
    rows, _ = residuals(potential, part, FitConfig())
    assert (rows[1:] == 0).all(), "far above all bounds"
    potential.reference = -500.0
    rows, _ = residuals(potential, part, FitConfig())
    assert (rows[1:] < 0).all(), "far below all bounds"


def test_bounds_lie_above_the_crystal_and_below_free_atoms():
    free = LOWEST.energy / 2 + COHESIVE
    per_atom = {frame.energy / len(frame.atoms) for frame in floor_frames(LOWEST, COHESIVE)}
    assert min(per_atom) > LOWEST.energy / 2 + 0.1
    assert max(per_atom) < free


def test_rules_count_less_than_labels():
    """The lowest structure may be strained and shaken, and the crystal at rest lie below it."""
    frames = rose_frames(LOWEST, COHESIVE, 320.0)
    potential = Potential(EAMConfig("Ru"))
    settings = FitConfig(energy_tolerance=1e-3)
    rows, _ = residuals(potential, LabelledBatch([LOWEST, *frames], 6.0), settings)
    batch = LabelledBatch(frames, 6.0)
    wrong = potential(batch.structures).detach() / 2 + potential.reference - batch.energies
    assert (rows[1:].abs() <= wrong.abs() / 0.05 / len(rows) ** 0.5 * (1 + 1e-9)).all()


@pytest.mark.parametrize("modulus", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bulk_modulus_that_is_none_is_refused(modulus):
    with pytest.raises(ConfigError, match="bulk_modulus"):
        rose_frames(LOWEST, COHESIVE, modulus)


def test_no_open_structure_of_ruthenium_lies_below_the_crystal(ruthenium):
    crystal = equilibrium_hcp(ruthenium, 2.71, 4.28)
    assert energy_per_atom(ruthenium, crystal) == pytest.approx(-COHESIVE, abs=0.01)
    for frame in floor_frames(LOWEST, COHESIVE):
        assert energy_per_atom(ruthenium, frame.atoms) > -COHESIVE - 0.01


def test_expansion_follows_from_free_energies(ruthenium):
    pytest.importorskip("phonopy", reason="needs the extra [eam]")
    from kan_heads.eam.quasiharmonic import hcp_expansion

    crystal = equilibrium_hcp(ruthenium, 2.71, 4.28)
    found = hcp_expansion(ruthenium, crystal)
    assert found.volumes[0] > crystal.cell.volume / 2, "zero-point motion"
    middle = slice(20, 60)
    slopes = np.gradient(np.log(found.volumes), found.temperatures) / 3
    assert found.linear[middle] == pytest.approx(slopes[middle], rel=0.05)
    assert found.linear[1] < 0.1 * found.at(300.0), "no expansion at 0 K"


def test_pictures(ruthenium, tmp_path):
    matplotlib_image = pytest.importorskip("matplotlib.image")
    for kind in ("eam", "pair"):
        potential = load_potential(POTENTIALS / f"ru-{kind}.json")
        draw_functions(potential, tmp_path / f"{kind}.png")
        assert matplotlib_image.imread(tmp_path / f"{kind}.png").std() > 0.05
        place, depth = equilibrium_distance(potential)
        assert potential.config.inner < place < potential.config.cutoff
        assert depth < 0
