"""Torch's default precision belongs to the process: calculators leave it alone and do not depend on it."""

import copy

import ase.io
import e3nn.o3
import numpy as np
import pytest
import torch
from ase.calculators.calculator import all_changes
from programs import run

from kan_heads.global_state import default_dtype
from kan_heads.lammps.models import load_calculator

IN_ORDER = """
import sys
import ase.io, numpy, torch
from kan_heads.lammps.models import load_calculator
before, (structure, out, *paths) = torch.get_default_dtype(), sys.argv[1:]
dtypes = ["float32" if path.endswith(".model") else None for path in paths]
calculators = [load_calculator(path, dtype=dtype, trust=True) for path, dtype in zip(paths, dtypes)]
assert torch.get_default_dtype() == before
for path, calculator in zip(paths, calculators):
    atoms = ase.io.read(structure, index=0)
    atoms.calc = calculator
    found = [[atoms.get_potential_energy(), 0, 0], *atoms.get_forces()]
    assert torch.get_default_dtype() == before
    numpy.save(out + path.rsplit(".", 1)[1], found)
"""


def evaluate(calculator, atoms):
    calculator.calculate(atoms.copy(), ["energy", "forces"], all_changes)
    return np.vstack([[calculator.results["energy"], 0, 0], calculator.results["forces"]])


@pytest.fixture
def frame(silver):
    return ase.io.read(silver / "val.extxyz", index=0)


@pytest.mark.parametrize("kind", ["checkpoint", "mace_file"])
def test_loading_and_evaluating_leave_the_default_as_it_was(kind, request, frame):
    path = str(request.getfixturevalue(kind))
    found = []
    for dtype in (torch.float32, torch.float64):
        with default_dtype(dtype):
            calculator = load_calculator(path, trust=True)
            assert torch.get_default_dtype() == dtype
            found.append(evaluate(calculator, frame))
            assert torch.get_default_dtype() == dtype
    np.testing.assert_array_equal(found[0], found[1])


def test_an_error_on_the_way_leaves_it_too(tmp_path):
    (tmp_path / "damaged.ckpt").write_bytes(b"nothing")
    with default_dtype(torch.float32):
        with pytest.raises(Exception, match="cannot be loaded"):
            load_calculator(str(tmp_path / "damaged.ckpt"))
        assert torch.get_default_dtype() == torch.float32


def test_random_numbers_and_models_of_mace_go_on(checkpoint):
    """nequip seeds, and leaves e3nn such that later models of MACE can be neither copied nor saved."""
    torch.manual_seed(7)
    expected, compiling = torch.rand(3), e3nn.get_optimization_defaults()
    torch.manual_seed(7)
    load_calculator(str(checkpoint))
    assert torch.equal(torch.rand(3), expected)
    assert e3nn.get_optimization_defaults() == compiling
    copy.deepcopy(e3nn.o3.SphericalHarmonics("1o", normalize=True))


def test_nequip_itself_finds_its_precision_afterwards(checkpoint, tmp_path):
    code = (
        "import sys, torch; from kan_heads.lammps.models import load_calculator\n"
        "load_calculator(sys.argv[1]); assert torch.get_default_dtype() == torch.float32\n"
        "from nequip.utils.global_state import set_global_state; set_global_state()\n"
        "assert torch.get_default_dtype() == torch.float64, 'nequip thinks that it has set it already'"
    )
    run("python", "-c", code, checkpoint, cwd=tmp_path)


@pytest.mark.slow
def test_the_order_of_loading_does_not_matter(compiled, mace_file, checkpoint, silver, frame, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "back").mkdir()
    paths = [str(compiled), str(mace_file)]
    for folder, order in (("there", paths), ("back", paths[::-1])):
        run("python", "-c", IN_ORDER, silver / "val.extxyz", f"{tmp_path / folder}/", *order, cwd=tmp_path)
    for name in ("pt2.npy", "model.npy"):
        one, other = np.load(tmp_path / "there" / name), np.load(tmp_path / "back" / name)
        np.testing.assert_array_equal(one, other)
    for name, path in (("pt2.npy", checkpoint), ("model.npy", mace_file)):
        right = evaluate(load_calculator(str(path), trust=True), frame)
        np.testing.assert_allclose(np.load(tmp_path / "there" / name), right, rtol=1e-5, atol=1e-5)
