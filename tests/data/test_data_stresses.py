"""Stresses in other units, and with other signs."""

import re

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from kan_heads.data import check_frames

FORMS = {
    "none": (lambda s, v: s, None),
    "GPa": (lambda s, v: 160.2177 * s, r"in GPa \(divide them by 160.2177"),
    "kbar": (lambda s, v: 1602.177 * s, r"in kbar \(divide them by 1602.177"),
    "VASP": (lambda s, v: -1602.177 * s, r"kbar with compression positive, as VASP"),
    "sign": (lambda s, v: -s, r"compression positive \(change their sign"),
    "virial": (lambda s, v: -v * s, r"virials \(divide them by minus the volume"),
    "zero": (lambda s, v: 0 * s, r"contradict .*they should be in eV/Å\^3"),
}


def frames(form, strains=(0.97, 0.98, 1.01, 1.02), rattle=0.0):
    made = []
    for strain in strains:
        atoms = bulk("Cu", cubic=True)
        if rattle:
            atoms.rattle(rattle, seed=1)
        atoms.set_cell(strain * atoms.cell, scale_atoms=True)
        atoms.calc = EMT()
        energy, stress = atoms.get_potential_energy(), FORMS[form][0](atoms.get_stress(), atoms.get_volume())
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((4, 3)), stress=stress)
        made.append(atoms)
    return made


@pytest.mark.parametrize("form", FORMS)
def test_energies_of_other_volumes_tell_the_form_of_stresses(form):
    words = FORMS[form][1]
    notes = check_frames(frames(form), "x").notes
    if words is None:
        assert notes == ()
    else:
        assert len(notes) == 1
        assert "contradict the energies" in notes[0]
        assert re.search(words, notes[0])


def test_right_stresses_of_large_strains_and_rattled_atoms_are_sound():
    assert check_frames(frames("none", (0.9, 0.93, 0.96, 1.0, 1.04), rattle=0.1), "x").notes == ()


def test_large_stresses_alone_are_noted():
    (note,) = check_frames(frames("GPa", (0.95,)), "x").notes
    assert "frame 0 has a stress of" in note
    assert "is it in GPa" in note


def test_virials_without_stress_are_noted():
    (atoms,) = frames("none", (1.0,))
    atoms.info["virial"] = atoms.calc.results.pop("stress")
    (note,) = check_frames([atoms], "x").notes
    assert "stress = -virial / volume" in note
