"""Trained models of tensors: packaged, compiled, compiled for training, and read by the real program."""

import io
import os
import pathlib
import subprocess
import sys

import ase.io
import numpy as np
import pandas
import pytest
import torch
from ase import Atoms
from etgnn_models import BORN, graph
from etgnn_models import silica as stishovite
from etgnn_runs import MODEL, born_frames, logged, run, train, write_sets

from kan_heads.compiling import compile_model
from kan_heads.errors import ConfigError

pytestmark = pytest.mark.slow

# A short angular basis, since that of the default is most of what is compiled.
QUICK = (f"++{MODEL}l_max=1", f"++{MODEL}num_bessels=2")
ROWS = {
    "mlp": ("etgnn/sio2-mlp", ()),
    "kan": ("etgnn/sio2-output-bspline", (f"{MODEL}model_dtype=float64",)),
}
CRYSTAL = "test_permittivity"
TOLERANCE = {"kan": 1e-10, "crystal": 2e-5}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Structures labelled with charges and with a tensor of the crystal, their sum of squares."""
    frames = born_frames(14)
    for atoms in frames:
        charges = atoms.arrays[BORN].reshape(-1, 3, 3)
        atoms.info[CRYSTAL] = np.einsum("nij,nkj->ik", charges, charges) / 10
    return write_sets(tmp_path_factory.mktemp("data"), frames)


@pytest.fixture(scope="module")
def runs(data):
    """Trains a model when it is first asked for."""
    done = {}

    def trained(row):
        if row not in done:
            out = data / f"trained-{row}"
            config, options = ROWS.get(row, ("etgnn/sio2-mlp", ()))
            if row == "crystal":
                own = [
                    f"++{part}.per=crystal"
                    for part in ("data", "data.stats_manager", "training_module.model")
                ]
                options = (f"field={CRYSTAL}", *own)
            train(config, data, out, *QUICK, *options)
            done[row] = out
        return done[row]

    return trained


@pytest.fixture(scope="module")
def packaged(runs):
    path = runs("kan") / "model.nequip.zip"
    run("nequip-package", "build", runs("kan") / "best.ckpt", path, cwd=path.parent)
    return path


@pytest.fixture(scope="module")
def compiled(runs):
    """Compiles a trained model when it is first asked for; returns the file and what was said of it."""
    done = {}

    def made(row):
        if row not in done:
            path = runs(row) / "model.nequip.pt2"
            done[row] = path, run("kan-heads", "compile", runs(row) / "best.ckpt", path, cwd=path.parent)[0]
        return done[row]

    return made


def program(*arguments, cwd):
    """Runs ``kan-heads predict`` and reads its table."""
    output, errors = run("kan-heads", "predict", *arguments, cwd=cwd)
    assert "Traceback" not in errors
    return pandas.read_csv(io.StringIO(output), sep=r"\s+", comment="#")


def structures():
    """Structures with other numbers of atoms, edges and triplets than the one that is traced."""
    crystal = stishovite()
    dense = stishovite(1)
    dense.set_cell(dense.cell * 0.85, scale_atoms=True)
    wide = stishovite(2)
    wide.set_cell(wide.cell * 1.7, scale_atoms=True)
    slab = stishovite(3)
    slab.pbc = [True, True, False]
    return {
        "crystal": crystal,
        "supercell": crystal * (2, 2, 1),
        "dense": dense,
        "no triplets": Atoms("OSi", [[0, 0, 0], [2, 1, 0]], cell=[9, 9, 9], pbc=True),
        "wide": wide,
        "slab": slab,
        "one atom": Atoms("Si", cell=[2.5, 2.6, 2.7], pbc=True),
        "molecule": Atoms("OSiO", [[0, 0, 0], [1.5, 0.1, 0], [0.2, 1.7, 0.3]]),
    }


@pytest.mark.parametrize("row", ["kan", "crystal"])
def test_a_compiled_model_predicts_what_the_checkpoint_does(row, runs, compiled):
    from kan_heads.etgnn.predict import TensorPredictor

    path, said = compiled(row)
    field = CRYSTAL if row == "crystal" else BORN
    assert f"largest difference from the original, 6 atoms: {field} " in said
    if row == "kan":
        assert "frozen: 2 of 6 KAN layers" in said
    eager, predictor = TensorPredictor(runs(row) / "best.ckpt"), TensorPredictor(path)
    assert predictor.field == eager.field == field
    assert predictor.per == eager.per == ("crystal" if row == "crystal" else "atom")
    assert predictor.type_names == eager.type_names
    assert predictor.r_max == eager.r_max
    counts = set()
    for name, atoms in structures().items():
        expected = eager.predict(atoms)
        np.testing.assert_allclose(predictor.predict(atoms), expected, atol=TOLERANCE[row], err_msg=name)
        counts.add(expected.shape)
    assert np.abs(expected).max() > 0.01
    assert len(counts) == (1 if row == "crystal" else 5)


def test_the_program_says_the_same_of_checkpoint_package_and_compiled_model(runs, packaged, compiled, data):
    folder = runs("kan")
    files = (folder / "best.ckpt", packaged, compiled("kan")[0])
    tables = [program(path, data / "test.extxyz", "--index", ":", cwd=folder) for path in files]
    assert len(tables[0]) == 4 * 6
    for table in tables[1:]:
        pandas.testing.assert_frame_equal(table, tables[0], atol=2e-6)


def test_a_compiled_model_runs_on_processors_and_graphics_cards_only(compiled):
    from kan_heads.etgnn.predict import TensorPredictor

    with pytest.raises(ConfigError, match="neither cpu nor cuda"):
        TensorPredictor(compiled("kan")[0], device="meta")


@pytest.mark.parametrize("target", ["ase", "dielectric_tensor"])
def test_a_target_that_a_tensor_does_not_have_is_one_line(target, runs):
    folder = runs("mlp")
    _, errors = run(
        *("kan-heads", "compile", folder / "best.ckpt", folder / "no.nequip.pt2", "--target", target),
        cwd=folder,
        expect=2,
    )
    last = errors.splitlines()[-1]
    assert f"--target: {target} does not fit" in last
    assert f"this model predicts {BORN}" in last
    assert "Traceback" not in errors
    assert not (folder / "no.nequip.pt2").exists()


def test_a_target_of_tensors_is_not_for_potentials(monkeypatch, tmp_path):
    from nequip.model import NequIPGNNModel

    model = NequIPGNNModel(
        seed=1,
        model_dtype="float32",
        type_names=["O", "Si"],
        r_max=4.0,
        num_layers=1,
        l_max=0,
        num_features=2,
        avg_num_neighbors=8.0,
    )
    monkeypatch.setattr("kan_heads.compiling._load", lambda _: (model, {}))
    (tmp_path / "best.ckpt").touch()
    with pytest.raises(ConfigError, match="'born_effective_charges' is unknown; valid: ase"):
        compile_model(str(tmp_path / "best.ckpt"), str(tmp_path / "m.nequip.pt2"), target=BORN)


WITHOUT = """
import sys
sys.path.append({overlay!r})
import importlib.util
assert importlib.util.find_spec("kan_heads") is None
import numpy, torch
from nequip.data import AtomicDataDict
from nequip.utils.global_state import set_global_state
set_global_state(allow_tf32=False)
data = torch.load({data!r}, weights_only=False)
if {path!r}.endswith(".zip"):
    from nequip.model.saved_models import load_saved_model
    model = load_saved_model({path!r})
else:
    from nequip.model.inference_models import load_compiled_model
    model, metadata = load_compiled_model({path!r}, "cpu")
    assert metadata["type_names"] == ["O", "Si"]
numpy.save({out!r}, model(data)["born_effective_charges"].detach().numpy())
"""


@pytest.mark.parametrize("kind", ["packaged", "compiled"])
def test_a_deployed_model_works_where_kan_heads_is_not_installed(kind, request, runs, tmp_path):
    from kan_heads.etgnn.predict import TensorPredictor

    path = request.getfixturevalue(kind)
    path = path if kind == "packaged" else path("kan")[0]
    overlay = tmp_path / "site"
    overlay.mkdir()
    for entry in pathlib.Path(np.__file__).parents[1].iterdir():
        if "kan_heads" not in entry.name:
            (overlay / entry.name).symlink_to(entry)
    atoms = stishovite() * (1, 1, 2)
    torch.save(graph(atoms), tmp_path / "data.pt")
    code = WITHOUT.format(
        overlay=str(overlay), data=str(tmp_path / "data.pt"), path=str(path), out=str(tmp_path / "found.npy")
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected = TensorPredictor(runs("kan") / "best.ckpt").predict(atoms)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-10)


def test_a_package_is_compiled_as_its_checkpoint_is(packaged, runs):
    from kan_heads.etgnn.predict import TensorPredictor

    path = packaged.with_name("packaged.nequip.pt2")
    result = compile_model(str(packaged), str(path))
    assert len(result.freezing.frozen) == 2
    assert result.n_atoms == 6
    assert result.relative[BORN] < 1e-12
    expected = TensorPredictor(runs("kan") / "best.ckpt").predict(stishovite())
    np.testing.assert_allclose(TensorPredictor(path).predict(stishovite()), expected, atol=1e-10)


def test_a_compiled_training_has_the_losses_of_an_eager_one(data):
    columns = ("train_loss_epoch/weighted_sum", "val0_epoch/mae")
    losses = {}
    for mode in ("eager", "compile"):
        out = data / f"training-{mode}"
        options = (f"++{MODEL}compile_mode={mode}", f"{MODEL}model_dtype=float64", "run=[train]")
        train("etgnn/sio2-mlp", data, out, *QUICK, *options, epochs=2)
        losses[mode] = [logged(out, column) for column in columns]
    for eager, compiled in zip(losses["eager"], losses["compile"], strict=True):
        assert len(eager) == 2
        assert compiled == pytest.approx(eager, rel=1e-6)


def test_the_program_writes_born_of_a_trained_model(runs, data):
    phonopy = pytest.importorskip("phonopy.file_IO")
    from phonopy.structure.atoms import PhonopyAtoms

    from kan_heads.etgnn.predict import TensorPredictor

    atoms = stishovite(amplitude=0.0)
    folder = runs("mlp")
    ase.io.write(folder / "POSCAR", atoms)
    run(*("kan-heads", "predict", "best.ckpt", "POSCAR", "--out", "BORN", "--dielectric", "3"), cwd=folder)
    atoms = ase.io.read(folder / "POSCAR")
    cell = PhonopyAtoms(symbols=list(atoms.symbols), cell=atoms.cell[:], positions=atoms.positions)
    found = phonopy.parse_BORN(cell, filename=folder / "BORN")["born"]
    np.testing.assert_allclose(found, TensorPredictor(folder / "best.ckpt").predict(atoms), atol=1e-5)
