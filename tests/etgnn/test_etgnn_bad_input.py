"""What a user of ETGNN sees when something is wrong: one line, and status 2 of ``nequip-train``."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from etgnn_runs import BORN, CONFIGS, MODEL, born_frames, module, run, silica, train, write_sets

from kan_heads.errors import ConfigError, DataError
from kan_heads.etgnn import TensorDataModule

ROW = "etgnn/sio2-output-bspline"


def refused(data, out, *overrides, config=ROW):
    """Trains in vain and returns the one line on standard error that is ours."""
    _, errors = train(config, data, out, *overrides, expect=2)
    return only_line(errors, out)


def only_line(errors, out):
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("kan-heads: error:")]
    assert len(lines) == 1
    assert not list(out.glob("*.ckpt"))
    return lines[0]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    return write_sets(tmp_path_factory.mktemp("labelled"), born_frames(12))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "words"),
    [
        (f"+{MODEL}numlayers=3", ["'numlayers'", "did you mean 'num_layers'"]),
        ("preset=faithfull", ["'faithfull'", "did you mean 'faithful'", "sound"]),
        (f"{MODEL}kan.scope=outputs", ["'outputs'", "did you mean 'output'"]),
        ("field=born_charges", ["'born_charges' is new", "per: atom or per: crystal"]),
        ("field=dielectric_tensor", ["train.extxyz: frame 0 has no 'dielectric_tensor'", BORN]),
        ("type_names=[O,Ge]", ["train.extxyz: frame 0 holds Si", "type_names"]),
        ("data.val_file_path=nowhere.extxyz", ["nowhere.extxyz: no such file"]),
    ],
)
def test_a_wrong_configuration(override, words, labelled, tmp_path):
    line = refused(labelled, tmp_path / "run", override)
    assert all(word in line for word in words), line


@pytest.mark.slow
def test_the_rule_of_charges_is_for_tensors_of_atoms(tmp_path):
    frames = [silica(k)[0] for k in range(12)]
    for frame in frames:
        frame.info["dielectric_tensor"] = np.eye(3)
    write_sets(tmp_path, frames)
    line = refused(tmp_path, tmp_path / "run", "field=dielectric_tensor", f"+{MODEL}sum_rule=true")
    assert "sum_rule: 'dielectric_tensor' is one tensor per crystal" in line


@pytest.mark.slow
def test_a_damaged_test_set_stops_the_run_before_it_trains(tmp_path):
    frames = born_frames(12)
    frames[11].arrays[BORN][3, 2] = np.nan
    write_sets(tmp_path, frames)
    assert f"test.extxyz: frame 1: {BORN} of atom 3 is NaN" in refused(tmp_path, tmp_path / "run")


@pytest.mark.slow
def test_an_isolated_atom_far_down_a_file(tmp_path):
    """Found when graphs are made, not by the check, which looks at the first frames only."""
    write_sets(tmp_path, born_frames(12))
    frames = born_frames(40)
    frames[35].set_cell(frames[35].cell * 30, scale_atoms=True)
    ase.io.write(tmp_path / "train.extxyz", frames)
    line = refused(tmp_path, tmp_path / "run")
    assert "train.extxyz: frame 35 has no neighbours within r_max" in line


@pytest.mark.slow
def test_grids_to_calibrate_where_there_is_no_kan(labelled, tmp_path):
    calibrate = "+callbacks.calibrate={_target_: kan_heads.nequip.CalibrateGrids}"
    line = refused(labelled, tmp_path / "run", calibrate, config="etgnn/sio2-mlp")
    assert "holds no KAN" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("data_dir=. type_names=[O,Si] field=mine", "'mine' is new"),
        ("data_dir=. type_names=[O,Si] field=mine per=atom", "train.extxyz: frame 0 has no 'mine'"),
    ],
)
def test_a_tensor_of_ones_own(options, words, labelled, tmp_path):
    out = tmp_path / "run"
    arguments = ("-cp", CONFIGS, "-cn", "etgnn/own", f"hydra.run.dir={out}", *options.split())
    _, errors = run("nequip-train", *arguments, cwd=labelled, expect=2)
    assert words in only_line(errors, out)


def spoilt(kind, frames):
    """Damages frame 1; returns options of the data module that go with it."""
    frame, values = frames[1], frames[1].arrays.get(BORN)
    if kind == "nan":
        values[2, 4] = np.nan
    elif kind == "missing":
        del frame.arrays[BORN]
    elif kind == "three columns":
        del frame.arrays[BORN]
        frame.set_array(BORN, np.ones((6, 3)))
    elif kind == "six columns":
        del frame.arrays[BORN]
        frame.set_array(BORN, np.ones((6, 6)))
    elif kind == "words":
        del frame.arrays[BORN]
        frame.set_array(BORN, np.full((6, 9), "x"))
    elif kind == "element":
        frame.symbols[0] = "Ge"
    elif kind == "isolated":
        frames[1] = Atoms("Si", positions=[[0, 0, 0]], cell=[9.0] * 3, pbc=False)
        frames[1].set_array(BORN, np.ones((1, 9)))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nan", "frame 1: born_effective_charges of atom 2 is NaN"),
        ("missing", "frame 1 has no 'born_effective_charges'.*rename its label"),
        ("three columns", r"frame 1: .* has shape \(6, 3\), expected nine numbers .* per atom.*\(6, 9\)"),
        ("six columns", r"frame 1: .* has shape \(6, 6\), expected nine numbers"),
        ("words", "frame 1 cannot be read .*could not convert string to float: 'x'"),
        ("element", "frame 1 holds Ge, which the model does not know; it knows O, Si.*type_names"),
        ("isolated", "frame 1 has no neighbours within r_max; use a larger r_max"),
    ],
)
@pytest.mark.parametrize("part", [False, True])
def test_damage_is_named_with_file_and_frame(kind, words, part, tmp_path):
    frames = born_frames(4)
    spoilt(kind, frames)
    path = tmp_path / "spoilt.extxyz"
    ase.io.write(path, frames)
    files = {"train_file_path": str(path), "val_file_path": str(path)}
    if part:  # the frame is counted in the file, not in the part of it
        files = {"split_dataset": {"file_path": str(path), "train": 3, "val": 1}}
    with pytest.raises(DataError, match=rf"spoilt\.extxyz: {words}"):
        unpacked(TensorDataModule, BORN, 4.0, ["O", "Si"], seed=3, **files)


def unpacked(build, *args, **kwargs):
    """Builds and sets up; raises our error out of hydra's."""
    try:
        build(*args, **kwargs).setup("fit")
    except Exception as error:
        while error.__cause__ is not None and not isinstance(error, DataError):
            error = error.__cause__
        raise error from None


@pytest.mark.parametrize(
    ("label", "options", "words"),
    [
        (np.arange(9.0).reshape(3, 3), {"field": "dielectric_tensor"}, "differs from its transpose by 4"),
        (np.full((3, 3), np.nan), {"field": "dielectric_tensor"}, "dielectric_tensor is NaN or infinite"),
        (np.ones(3), {"field": "dielectric_tensor"}, r"shape \(3,\), expected nine .* or six .* per crystal"),
        (
            "high",
            {"field": "dielectric_tensor"},
            "could not convert string to float: 'high'",
        ),
        ("high", {"field": "response_of_words", "per": "crystal"}, r"is text \('high'\), expected numbers"),
        (np.ones((3, 3)), {"field": "tensor_of_atoms", "per": "atom"}, "set per: crystal"),
    ],
)
def test_damaged_crystal_tensors(label, options, words, tmp_path):
    frame = silica(0)[0]
    frame.info[options["field"]] = label
    path = tmp_path / "spoilt.extxyz"
    ase.io.write(path, [frame])
    with pytest.raises(DataError, match=rf"spoilt\.extxyz: .*{words}"):
        module(path, **options)


def test_empty_and_missing_files(tmp_path):
    path = tmp_path / "nothing.extxyz"
    with pytest.raises(DataError, match=r"nothing\.extxyz: no such file"):
        module(path)
    path.touch()
    with pytest.raises(DataError, match=r"nothing\.extxyz is empty"):
        module(path)


@pytest.fixture
def born(tmp_path):
    path = tmp_path / "born.extxyz"
    ase.io.write(path, born_frames(4))
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"field": "my_new_tensor"}, "'my_new_tensor' is new; say whether it is per: atom or per: crystal"),
        ({"field": "my_new_tensor", "per": "bond"}, "'bond'.*atom.*crystal"),
        ({"field": "forces"}, "'forces' is a field of nequip, but no 3 x 3 tensor"),
        ({"per": "crystal"}, f"per: crystal contradicts field '{BORN}', which has per: atom"),
        ({"symmetric": True}, f"symmetric: True contradicts field '{BORN}'"),
        ({"symmetric": "no"}, "symmetric: 'no' must be true or false"),
        ({"field": 5}, "field: 5 is no name"),
        ({"transforms": []}, "transforms"),
    ],
)
def test_wrong_options(options, words, born):
    with pytest.raises(ConfigError, match=words):
        module(born, **options)
