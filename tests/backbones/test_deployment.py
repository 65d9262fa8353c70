"""Trained models with KANs, packaged and compiled by the stock programs."""

import os
import pathlib
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from workflow import predict, run, train

pytestmark = pytest.mark.slow

ROWS = {"allegro": "allegro/ag-output-gaussian", "nequip": "nequip/ag-output-bspline"}


@pytest.fixture(scope="module", params=ROWS)
def trained(request, silver):
    out = silver / f"trained-{request.param}"
    train(ROWS[request.param], silver, out)
    return out


@pytest.fixture(scope="module")
def frame(silver):
    return ase.io.read(silver / "val.extxyz")


@pytest.fixture(scope="module")
def packaged(trained):
    path = trained / "model.nequip.zip"
    run("nequip-package", "build", trained / "best.ckpt", path, cwd=trained)
    return path


@pytest.fixture(scope="module")
def compiled(trained):
    path = trained / "model.nequip.pt2"
    options = ("--mode", "aotinductor", "--device", "cpu", "--target", "ase")
    run("nequip-compile", trained / "best.ckpt", path, *options, cwd=trained)
    return path


def without_kan_heads(folder, code):
    """Runs code in a Python that has everything installed but kan_heads."""
    site = pathlib.Path(np.__file__).parents[1]
    overlay = folder / "site"
    if not overlay.exists():
        overlay.mkdir()
        for entry in site.iterdir():
            if "kan_heads" not in entry.name:
                (overlay / entry.name).symlink_to(entry)
    guard = (
        f"import sys; sys.path.append({str(overlay)!r})\n"
        "import importlib.util; assert importlib.util.find_spec('kan_heads') is None\n"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, "-S", "-c", guard + code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


PREDICT = """
import ase.io, numpy
from nequip.integrations.ase import NequIPCalculator
atoms = ase.io.read({structure!r})
atoms.calc = NequIPCalculator.{load}({path!r}, device="cpu")
numpy.save({out!r}, numpy.vstack([[atoms.get_potential_energy(), 0, 0], atoms.get_forces()]))
"""


@pytest.mark.parametrize("kind", ["packaged", "compiled"])
def test_a_deployed_model_works_where_kan_heads_is_not_installed(kind, request, trained, silver, frame):
    path = request.getfixturevalue(kind)
    energy, forces = predict(trained / "best.ckpt", frame)
    load = {"packaged": "_from_saved_model", "compiled": "from_compiled_model"}[kind]
    ase.io.write(trained / "frame.extxyz", frame)
    code = PREDICT.format(
        structure=str(trained / "frame.extxyz"), load=load, path=str(path), out=str(trained / f"{kind}.npy")
    )
    done = without_kan_heads(trained, code)
    assert done.returncode == 0, done.stderr[-3000:]
    found = np.load(trained / f"{kind}.npy")
    assert found[0, 0] == pytest.approx(energy, abs=2e-5 * len(frame))
    np.testing.assert_allclose(found[1:], forces, atol=5e-5)
