"""Compiled models: by ``fix external``, and for the pair styles of LAMMPS."""

import json

import ase.io
import numpy as np
import pytest
from ase import units
from lammps_systems import compile_for, run, train

pytestmark = pytest.mark.slow


def test_dynamics_with_a_compiled_model(compiled, silver, tmp_path):
    from nequip.integrations.ase import NequIPCalculator

    output, _ = run(
        *("kan-heads", "lammps", "run", compiled, silver / "val.extxyz", "--index", "0", "--steps", "20"),
        *("--thermo", "10", "--dump", "d.lammpstrj", "--dump-every", "10", "--json", "r.json"),
        cwd=tmp_path,
    )
    assert "# Ag71: 20 steps of 1 fs, nvt at 300 K" in output
    rows = json.loads((tmp_path / "r.json").read_text())["thermo"]
    frames = ase.io.read(tmp_path / "d.lammpstrj", index=":")
    assert [row["step"] for row in rows] == [0, 10, 20]
    for row, frame in zip(rows, frames, strict=True):
        atoms = frame.copy()
        atoms.calc = NequIPCalculator.from_compiled_model(str(compiled), device="cpu")
        assert row["potential_eV"] == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
        forces = atoms.get_forces()
        np.testing.assert_allclose(frame.get_forces(), forces, rtol=0, atol=1e-6 * np.abs(forces).max())
        ideal = 2 * row["kinetic_eV"] / (3 * atoms.get_volume())
        pressure = (ideal - atoms.get_stress()[:3].mean()) / units.bar
        assert row["pressure_bar"] == pytest.approx(pressure, rel=1e-6)


@pytest.mark.parametrize("style", ["pair_allegro", "pair_nequip"])
def test_the_targets_of_the_pair_styles_compile(style, request, silver, tmp_path):
    """The file answers, to inputs as the pair style gives them, as the checkpoint does in ASE."""
    import allegro  # noqa: F401  registers its target
    import torch
    from nequip.data import AtomicDataDict, from_ase
    from nequip.data._nl import compute_neighborlist_
    from nequip.nn.compile import DictInputOutputWrapper
    from nequip.scripts.compile import COMPILE_TARGET_DICT

    from kan_heads.errors import ModelError
    from kan_heads.lammps.models import load_calculator

    if style == "pair_allegro":
        checkpoint = request.getfixturevalue("checkpoint")
    else:
        checkpoint = train("nequip/ag-output-bspline", silver)
    path = compile_for(style, checkpoint, tmp_path)
    with pytest.raises(ModelError, match=r"was compiled for something else, .* --target ase"):
        load_calculator(str(path))
    target = COMPILE_TARGET_DICT[style]
    atoms = ase.io.read(silver / "val.extxyz", index=0)
    data = from_ase(atoms)
    for key in (AtomicDataDict.POSITIONS_KEY, AtomicDataDict.CELL_KEY):
        data[key] = data[key].double()  # as LAMMPS gives them
    data = compute_neighborlist_(data, 4.0)
    data[AtomicDataDict.ATOM_TYPE_KEY] = torch.zeros(len(atoms), dtype=torch.long)
    # For pair_allegro images are atoms of their own; LAMMPS adds their forces to those of the originals.
    images = data[AtomicDataDict.EDGE_CELL_SHIFT_KEY].abs().sum(-1) != 0
    owners = data[AtomicDataDict.EDGE_INDEX_KEY][1, images].numpy()
    inputs = target["data_settings"](data)
    model = DictInputOutputWrapper(
        torch._inductor.aoti_load_package(str(path)), target["input"], target["output"]
    )
    found = model({key: inputs[key] for key in target["input"]})
    atoms.calc = load_calculator(str(checkpoint))
    expected = atoms.get_forces()
    energies = found[AtomicDataDict.PER_ATOM_ENERGY_KEY].detach().numpy()[: len(atoms)]
    assert energies.sum() == pytest.approx(atoms.get_potential_energy(), abs=1e-5 * len(atoms))
    forces = found[AtomicDataDict.FORCE_KEY].detach().numpy()
    if style == "pair_allegro":
        assert len(forces) == len(atoms) + len(owners)
        np.add.at(forces, owners, forces[len(atoms) :])
        forces = forces[: len(atoms)]
    np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    virial = found[AtomicDataDict.VIRIAL_KEY].detach().numpy().reshape(3, 3)
    stress = -virial / atoms.get_volume()
    np.testing.assert_allclose(
        stress, atoms.get_stress(voigt=False), rtol=0, atol=1e-4 * np.abs(stress).max()
    )
