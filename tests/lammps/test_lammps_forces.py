"""Energy, forces and pressure in LAMMPS are ASE's."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from lammps_systems import SYSTEMS, alloy, mace_model

from kan_heads.lammps.cells import Frame
from kan_heads.lammps.external import ExternalForces

BAR = 1.602176634e6  # per eV/Angstrom^3
PRESSURES = ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")
ELEMENTS = ["Cu", "Ag", "Au"]


def evaluate(lmp, atoms, calculator):
    """Returns energy (eV), forces (eV/Angstrom) and pressures (bar, in LAMMPS' frame) that LAMMPS has."""
    external = ExternalForces(lmp, atoms, calculator)
    external.command("fix integrate all nve")
    external.command("thermo_style custom step pe press " + " ".join(PRESSURES))
    external.run(0)
    n = len(atoms)
    order = lmp.numpy.extract_atom("id", nelem=n).ravel() - 1
    forces = np.empty((n, 3))
    forces[order] = lmp.numpy.extract_atom("f", nelem=n)
    pressures = [lmp.get_thermo(name) for name in ("press", *PRESSURES)]
    return external, lmp.get_thermo("pe"), external.frame.to_ase(forces), np.array(pressures)


def compare(lmp, atoms, calculator, tolerance=1e-6):
    atoms = atoms.copy()
    external, energy, forces, pressures = evaluate(lmp, atoms, calculator)
    atoms.calc = calculator
    expected = atoms.get_forces()
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=tolerance)
    np.testing.assert_allclose(forces, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    if atoms.pbc.all():
        assert external.has_pressure
        stress = atoms.get_stress(voigt=False)
        assert pressures[0] == pytest.approx(-np.trace(stress) / 3 * BAR, rel=tolerance)
        turned = -external.frame.rotation @ stress @ external.frame.rotation.T * BAR
        wanted = turned[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
        np.testing.assert_allclose(pressures[1:], wanted, rtol=0, atol=tolerance * np.abs(turned).max())
    else:
        assert not external.has_pressure


@pytest.mark.parametrize("name", SYSTEMS)
def test_of_any_structure(lmp, name):
    compare(lmp, SYSTEMS[name](), EMT())


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_structure_comes_back_as_it_went_in(lmp, name):
    atoms = SYSTEMS[name]()
    atoms.set_velocities(np.random.RandomState(0).normal(size=(len(atoms), 3)))
    external = ExternalForces(lmp, atoms, EMT())
    back = external.atoms()
    np.testing.assert_allclose(back.positions, atoms.positions, atol=1e-9)
    np.testing.assert_allclose(back.cell.array, atoms.cell.array, atol=1e-12)
    np.testing.assert_allclose(back.get_momenta(), atoms.get_momenta(), atol=1e-9)
    np.testing.assert_allclose(back.get_masses(), atoms.get_masses())
    assert (back.numbers == atoms.numbers).all()
    assert (back.pbc == atoms.pbc).all()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_frame_is_what_lammps_takes(name):
    atoms = SYSTEMS[name]()
    frame = Frame.of(atoms)
    assert (np.diag(frame.box) > 0).all()
    assert (frame.box[[0, 0, 1], [1, 2, 2]] == 0).all()
    np.testing.assert_allclose(frame.rotation @ frame.rotation.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(
        (frame.box @ frame.rotation)[atoms.pbc], atoms.cell.array[atoms.pbc], atol=1e-10
    )


def test_a_cell_along_the_axes_is_not_turned_at_all():
    assert (Frame.of(alloy()).rotation == np.eye(3)).all()


def kan_calculator(kind, dtype):
    """An untrained model with KANs, as a calculator of ASE."""
    from hydra.utils import get_method
    from nequip.integrations.ase import NequIPCalculator
    from nequip.integrations.utils import basic_transforms
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    common = {
        "seed": 1,
        "model_dtype": dtype,
        "type_names": ELEMENTS,
        "r_max": 4.0,
        "avg_num_neighbors": 12.0,
    }
    common["kan"] = {"scope": "output", "basis": "bspline", "hidden": []}
    own = {
        "allegro": {
            "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 4},
            "num_layers": 1,
            "num_scalar_features": 8,
            "num_tensor_features": 4,
            "allegro_mlp_hidden_layers_width": 8,
            "scalar_embed_mlp_hidden_layers_width": 8,
        },
        "nequip": {"num_layers": 2, "num_features": 4, "radial_mlp_depth": 1, "radial_mlp_width": 4},
    }[kind]
    target = {"allegro": "kan_heads.allegro.KANAllegroModel", "nequip": "kan_heads.nequip.KANNequIPGNNModel"}
    model = get_method(target[kind])(l_max=1, **common, **own).eval()
    transforms = basic_transforms(model.metadata, 4.0, ELEMENTS, {e: e for e in ELEMENTS})
    return NequIPCalculator(model, device="cpu", transforms=transforms)


@pytest.mark.parametrize("system", ["cubic", "turned"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["allegro", "nequip"])
def test_of_a_kan_model(lmp, kind, dtype, system):
    pytest.importorskip("allegro", reason="needs the extra [allegro]")
    compare(lmp, SYSTEMS[system](), kan_calculator(kind, dtype))


@pytest.mark.parametrize("system", ["cubic", "turned"])
def test_of_a_mace_model_with_kans(lmp, system):
    pytest.importorskip("mace", reason="needs the extra [mace]")
    compare(lmp, SYSTEMS[system](), mace_calculator())


def mace_calculator():
    from mace.calculators import MACECalculator

    return MACECalculator(models=[mace_model()], device="cpu", default_dtype="float64")
