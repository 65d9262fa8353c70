"""``kan-heads compile`` refuses a model that differs by more than rounding, whatever the shifts are."""

from types import SimpleNamespace

import pytest
import torch
from ase.build import bulk
from models import ALLEGRO, NEQUIP, build
from nequip.data import AtomicDataDict, from_ase
from nequip.data._nl import compute_neighborlist_
from nequip.scripts import compile as program

from kan_heads import compiling
from kan_heads.compile_gate import compare, energy_shifts
from kan_heads.compiling import untrained_types
from kan_heads.errors import DataError, ModelError

SHIFTS = {"H": -10.0, "C": -95.0, "O": -105.0, "Cu": -100.0}
ENERGIES = ("atomic_energy", "total_energy")
N_ATOMS = 32
KAN = {"scope": "output", "basis": "gaussian"}


def frame():
    atoms = bulk("Cu", a=3.6, cubic=True).repeat(2)
    atoms.symbols[::5] = "C"
    atoms.rattle(0.1, seed=1)
    data = from_ase(atoms)
    for key in (AtomicDataDict.POSITIONS_KEY, AtomicDataDict.CELL_KEY):
        data[key] = data[key].double()
    symbols = list(SHIFTS)
    data[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor([symbols.index(symbol) for symbol in atoms.symbols])
    return AtomicDataDict.batched_from_list([compute_neighborlist_(data, 4.0)])


class Answers:
    """A model that answers as another one does, but for a change."""

    def __init__(self, model, change):
        self.model, self.change = model, change

    def __call__(self, data):
        out = self.model(data)
        return {**out, **{name: self.change(name, out[name].detach()) for name in (*ENERGIES, "forces")}}


def off_by(error):
    """The energy of each atom, or the sum over the atoms, is off by an error for each atom."""

    def change(name, value):
        if name == "total_energy":
            return value + N_ATOMS * error
        return value + error if name == "atomic_energy" else value

    return change


def shifted(config, dtype):
    return build(config, KAN, dtype=dtype, per_type_energy_shifts=SHIFTS, per_type_energy_scales=2.0)


@pytest.fixture(params=[NEQUIP, ALLEGRO], ids=["nequip", "allegro"])
def config(request):
    return request.param


@pytest.fixture
def model(config):
    return shifted(config, "float32")


@pytest.fixture
def compiled_as(model, monkeypatch, tmp_path):
    """Compiles, only that the compiled model answers with a change."""
    monkeypatch.setattr(compiling, "_load", lambda source: (model, frame()))
    monkeypatch.setattr(program, "main", lambda arguments: None)
    source = tmp_path / "best.ckpt"
    source.touch()

    def run(change, target="ase"):
        monkeypatch.setattr(compiling, "_compiled", lambda path, target: Answers(model, change))
        return compiling.compile_model(
            str(source), str(tmp_path / "m.nequip.pt2"), target=target, freezing=False
        )

    return run


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize("target", ["ase", "batch"])
def test_half_a_mev_for_each_atom_is_refused(compiled_as, name, target):
    change = off_by(0.5e-3)
    with pytest.raises(ModelError, match=f"differs from the original by .* in {name}, more than rounding"):
        compiled_as(lambda field, value: change(field, value) if field == name else value, target)


@pytest.mark.parametrize("target", ["ase", "batch"])
def test_what_single_precision_does_to_shifted_energies_passes(compiled_as, target):
    result = compiled_as(lambda name, value: value.float(), target)
    assert 0 < result.differences["atomic_energy"] < 1e-5


def test_rounding_inside_the_model_passes(config, model, compiled_as):
    double = shifted(config, "float64")
    double.load_state_dict(model.state_dict())
    out = double(frame())
    result = compiled_as(lambda name, value: out[name].detach())
    assert 0 < result.relative["atomic_energy"] < 1e-5


def test_shifts_are_found_in_any_class_of_that_name(model):
    types = torch.tensor([3, 1, 1])
    assert energy_shifts(model, types).flatten().tolist() == [-100.0, -95.0, -95.0]
    for module in model.modules():
        if type(module).__name__ == "PerTypeScaleShift":  # as a package brings a copy
            module.__class__ = type("PerTypeScaleShift", (torch.nn.Module,), {})
    assert energy_shifts(model, types).flatten().tolist() == [-100.0, -95.0, -95.0]


@pytest.mark.parametrize("shifts", [None, -7.0])
def test_no_shifts_and_one_for_all(shifts):
    model = build(NEQUIP, per_type_energy_shifts=shifts)
    found = energy_shifts(model, torch.tensor([0, 3]))
    assert found is None if shifts is None else found.flatten().tolist() == [-7.0, -7.0]


def test_sums_in_single_precision_pass():
    """Weak interactions on large shifts, summed in any way; a real error beside them does not."""
    torch.manual_seed(0)
    n = 2000
    shifts = torch.full((n, 1), -100.0, dtype=torch.float32)
    exact = shifts.double() + 0.005 * torch.randn(n, 1, dtype=torch.float64)

    def answers(size, error=0.0):
        atomic = (exact + error).float()
        total = torch.zeros(1, 1, dtype=torch.float32)
        for part in atomic.split(size):
            total = total + part.sum()
        return {"atomic_energy": atomic, "total_energy": total}

    one, other = answers(n), answers(7)
    assert not torch.equal(one["total_energy"], other["total_energy"])
    compare("m", one, other, torch.float32, shifts)
    compare("m", {**one, "atomic_energy": exact}, one, torch.float32, shifts)
    with pytest.raises(ModelError, match="in atomic_energy"):
        compare("m", one, answers(n, 0.5e-3), torch.float32, shifts)


def test_a_sum_near_zero_is_judged_by_what_is_summed():
    atomic = torch.tensor([[1.0], [-1.0 + 1e-7]], dtype=torch.float64)
    one = {"atomic_energy": atomic, "total_energy": atomic.sum()[None, None]}
    two = {"atomic_energy": atomic, "total_energy": one["total_energy"] + 1e-6}
    compare("m", one, two, torch.float32)
    with pytest.raises(ModelError, match="in total_energy"):
        compare("m", one, {**two, "total_energy": one["total_energy"] + 1e-3}, torch.float32)


def test_types_without_training_data_are_those_whose_statistics_are_nan():
    model = SimpleNamespace(type_names=["Cu", "Ni", "Pt"])
    shift = type("PerTypeScaleShift", (torch.nn.Module,), {})()
    shift.scales, shift.shifts = torch.tensor([[1.0], [torch.nan], [2.0]]), torch.tensor([[3.0]])
    model.modules = lambda: [shift]
    assert untrained_types(model) == ["Ni"]
    shift.scales = torch.full((3, 1), torch.nan)
    shift.shifts = torch.tensor([[0.0], [0.0], [torch.nan]])
    assert untrained_types(model) == ["Pt"]
    shift.shifts = torch.tensor([])
    assert untrained_types(model) == []


def test_training_data_that_moved_are_named(monkeypatch, tmp_path):
    from nequip.model import saved_models

    def load(*_, **__):
        try:
            raise DataError("gone/train.extxyz: no such file; correct the path")
        except DataError as error:
            raise RuntimeError("Error in call to target 'CheckedASEDataModule'") from error

    monkeypatch.setattr(saved_models, "load_saved_model", load)
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(DataError, match=r"best\.ckpt: .*gone/train\.extxyz: no such file.*nequip-package"):
        compiling.compile_model(str(tmp_path / "best.ckpt"), str(tmp_path / "a.nequip.pt2"))
