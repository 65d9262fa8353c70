import ase.io
import numpy as np
import pytest
from ase import Atoms

from kan_heads.data import check_file, check_frames
from kan_heads.data.check import TensorLabel
from kan_heads.errors import DataError


def spoilt(kind, frame):
    a = frame(n=4, seed=2)
    if kind == "positions":
        a.positions[1, 2] = np.nan
    elif kind == "cell":
        a.cell[0, 0] = np.inf
    elif kind == "energy":
        a.calc.results["energy"] = np.nan
    else:
        a.calc.results[kind].flat[4] = np.inf
    return a


@pytest.mark.parametrize("kind", ["positions", "cell", "energy", "forces", "stress"])
def test_nan_and_inf_name_the_source_the_frame_and_the_label(kind, frame):
    with pytest.raises(DataError, match=f"set.xyz: frame 1: {kind}.*NaN or infinite"):
        check_frames([frame(), spoilt(kind, frame)], "set.xyz")


def test_nan_in_a_file_is_found(tmp_path, frame):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [frame(), frame(), spoilt("forces", frame)], format="extxyz")
    with pytest.raises(DataError, match=r"a.extxyz: frame 2: forces of atom 1"):
        check_file(path)


@pytest.mark.parametrize("label", ["energy", "forces"])
def test_a_missing_label_is_named(label, frame):
    with pytest.raises(DataError, match=f"frame 1 has no '{label}'.*it has .*stress"):
        check_frames([frame(), frame(**{label: None})], "x")
    check_frames([frame(**{label: None})], "x", require=())


def test_labels_under_another_name_are_shown(tmp_path):
    a = Atoms("Ag2", positions=[[0, 0, 0], [0, 0, 2]], info={"REF_energy": 1.0})
    a.set_array("REF_forces", np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"has no 'energy'.*REF_energy, REF_forces.*rename"):
        check_frames([a], "x")


def test_empty_missing_and_broken_files(tmp_path, frame):
    path = tmp_path / "a.extxyz"
    with pytest.raises(DataError, match=r"a.extxyz does not exist"):
        check_file(path)
    path.write_text("")
    with pytest.raises(DataError, match=r"a.extxyz is empty"):
        check_file(path)
    ase.io.write(path, [frame(), frame(seed=1)], format="extxyz")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match=r"frame [01] cannot be read"):
        check_file(path)
    with pytest.raises(DataError, match="no frames"):
        check_frames([], "x")
    with pytest.raises(DataError, match="frame 0 has no atoms"):
        check_frames([Atoms()], "x", require=())


def test_no_neighbours_tells_the_shortest_distance():
    def pair(d, **kw):
        return Atoms("Ag2", positions=[[0, 0, 0], [d, 0, 0]], **kw)

    with pytest.raises(DataError, match=r"frame 1: .*r_max = 2 .*shortest distance is 2.900.*larger r_max"):
        check_frames([pair(1.9), pair(2.9)], "x", r_max=2.0, require=())
    # Through the boundary the atoms are 1.5 apart.
    check_frames([pair(8.5, cell=[10.0] * 3, pbc=True)], "x", r_max=2.0, require=())
    with pytest.raises(DataError, match="check the units"):
        check_frames([pair(5000.0)], "x", r_max=2.0, require=())


def test_an_isolated_atom_is_allowed():
    check_frames([Atoms("Ag")], "x", r_max=2.0, require=())
    with pytest.raises(DataError, match=r"shortest distance is 4.000"):
        check_frames([Atoms("Ag", cell=[4.0, 5, 6], pbc=True)], "x", r_max=2.0, require=())


def test_a_periodic_frame_needs_a_cell():
    with pytest.raises(DataError, match="cell has no volume"):
        check_frames([Atoms("Ag", pbc=True)], "x", require=())
    with pytest.raises(DataError, match="cell has no volume"):
        check_frames([Atoms("Ag", pbc=[True, False, False])], "x", r_max=3.0, require=())


@pytest.mark.parametrize(
    ("label", "tensor", "words"),
    [
        (np.ones((3, 3)), TensorLabel("atom"), r"shape \(3, 3\).*per atom, shape \(2, 9\); set per: crystal"),
        (
            np.ones((2, 9)),
            TensorLabel("crystal"),
            r"shape \(2, 9\).*per crystal, shape \(9,\); set per: atom",
        ),
        (np.ones(6), TensorLabel("crystal"), r"shape \(6,\), expected nine numbers .* per crystal"),
        (np.triu(np.ones((3, 3))), TensorLabel("crystal", True), "differs from its transpose by 1,"),
        (np.array([[1.0] * 9, [np.nan] * 9]), TensorLabel("atom"), " of atom 1 is NaN"),
        (np.full((3, 3), np.nan), TensorLabel("crystal"), " is NaN"),
    ],
)
def test_tensors_of_another_shape_or_symmetry(label, tensor, words):
    a = Atoms("Ag2", positions=[[0, 0, 0], [0, 0, 2]], info={"own": label})
    with pytest.raises(DataError, match=f"x: frame 0: own.*{words}"):
        check_frames([a], "x", require=["own"], tensors={"own": tensor})


@pytest.mark.parametrize("shape", [(9,), (3, 3), (6,)])
@pytest.mark.parametrize("per", ["atom", "crystal"])
def test_symmetric_tensors_in_every_form(shape, per):
    a = Atoms("Ag2", positions=[[0, 0, 0], [0, 0, 2]])
    a.info["own"] = np.ones((2, *shape) if per == "atom" else shape)
    report = check_frames([a], "x", require=["own"], tensors={"own": TensorLabel(per, True)})
    assert report.labels == {"own": 1}


def test_a_sound_file_is_summarised(tmp_path, frame):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, [frame(n=2), frame(n=5, stress=None)], format="extxyz")
    report = check_file(path, r_max=10.0)
    assert (report.n_frames, report.n_atoms_min, report.n_atoms_max, report.elements) == (2, 2, 5, ("Ag",))
    assert report.labels == {"energy": 2, "forces": 2, "stress": 1}
