import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from kan_heads.data import check_file, check_frames
from kan_heads.data.labels import TensorLabel
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
    with pytest.raises(DataError, match=f"set.xyz: frame 1: .*{kind.removesuffix('s')}.*NaN or infinite"):
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
    with pytest.raises(DataError, match=r"has no 'energy'.*REF_energy, REF_forces.*--require REF_energy"):
        check_frames([a], "x")
    assert check_frames([a], "x", require=["REF_energy", "REF_forces"]).labels["REF_energy"] == 1


def test_empty_missing_and_broken_files(tmp_path, frame):
    path = tmp_path / "a.extxyz"
    with pytest.raises(DataError, match=r"a.extxyz: no such file"):
        check_file(path)
    path.write_text("")
    with pytest.raises(DataError, match=r"a.extxyz is empty"):
        check_file(path)
    ase.io.write(path, [frame(), frame(seed=1)], format="extxyz")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match=r"(frame 1 cannot be read|cannot read this file)"):
        check_file(path)
    with pytest.raises(DataError, match="no frames"):
        check_frames([], "x")
    with pytest.raises(DataError, match="frame 0 has no atoms"):
        check_frames([Atoms()], "x", require=())


def pair(d, **kw):
    return Atoms("Ag2", positions=[[0, 0, 0], [d, 0, 0]], **kw)


def test_no_neighbours_tells_the_shortest_distance():
    with pytest.raises(DataError, match=r"r_max = 2 .*shortest distance is 2.900 .*frame 1.*larger r_max"):
        check_frames([pair(3.1), pair(2.9)], "x", r_max=2.0, require=())
    # Through the boundary the atoms are 1.5 apart.
    check_frames([pair(8.5, cell=[10.0] * 3, pbc=True)], "x", r_max=2.0, require=())
    with pytest.raises(DataError, match="check the units"):
        check_frames([pair(5000.0)], "x", r_max=2.0, require=())
    with pytest.raises(DataError, match="check the units"):  # silver in pm
        check_frames([bulk("Ag", a=408.0, cubic=True)], "x", r_max=5.0, require=())


ISOLATED = {
    "an atom in nothing": Atoms("Ag"),
    "an atom in a box": Atoms("Ag", cell=[20.0] * 3, pbc=True),
    "an atom in a slab's box": Atoms("Ag", cell=[15.0, 15.0, 0.0], pbc=[True, True, False]),
    "a dimer": pair(13.4),
    "a dimer in a box": pair(13.4, cell=[40.0, 20, 20], pbc=True),
    "a trimer": Atoms("Ag3", positions=[[0, 0, 0], [9, 0, 0], [0, 9, 0]]),
}


@pytest.mark.parametrize("kind", ISOLATED)
def test_isolated_atoms_may_stand_beside_others(kind):
    report = check_frames([ISOLATED[kind], pair(2.0)], "x", r_max=5.0, require=())
    assert report.notes == ("frames of isolated atoms, without a pair within 5 Å: 0",)


@pytest.mark.parametrize("kind", [kind for kind in ISOLATED if "tri" not in kind])
def test_a_file_of_isolated_atoms_alone_is_sound(kind):
    check_frames([ISOLATED[kind]], "x", r_max=5.0, require=())


def test_a_crystal_of_one_atom_is_not_isolated():
    with pytest.raises(DataError, match=r"shortest distance is 4.000"):
        check_frames([Atoms("Ag", cell=[4.0, 5, 6], pbc=True)], "x", r_max=2.0, require=())


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (pair(0.0), r"atoms 0 \(Ag\) and 1 \(Ag; the first is 0\) are 0 Å apart"),
        (pair(9.99, cell=[10.0] * 3, pbc=True), r"atoms 0 \(Ag\) and 1 \(Ag; .*\) are 0.01 Å apart"),
        (pair(9.9, cell=[10.0, 0, 0], pbc=[True, False, False]), "are 0.1 Å apart"),
        (
            Atoms("Ag", cell=[0.4, 10, 10], pbc=True),
            r"0 \(Ag; .*\) and its periodic image are 0.4 Å",
        ),
        (bulk("Cu", a=0.361, cubic=True), "check whether positions and cell are in Å"),
    ],
    ids=["on one another", "through a corner", "through a wire's boundary", "own image", "nanometres"],
)
def test_atoms_on_one_another_are_named(atoms, words):
    with pytest.raises(DataError, match=f"x: frame 1: .*{words}"):
        check_frames([pair(2.0), atoms], "x", require=())


def test_a_molecule_of_hydrogen_under_pressure_is_no_overlap():
    check_frames([Atoms("H2", positions=[[0, 0, 0], [0.45, 0, 0]])], "x", require=())


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (
            {"energy": np.array([-11, 558884])},
            r"energy has shape \(2,\), expected one number .*decimal comma",
        ),
        ({"energy": "-11.5 eV"}, r"energy is text \('-11.5 eV'\), expected numbers"),
        ({"energy": True}, "energy is not a number but bool"),
        ({"forces": np.zeros((2, 2))}, r"forces has shape \(2, 2\), expected \(2, 3\)"),
        ({"stress": np.zeros(3)}, r"stress has shape \(3,\), expected nine numbers or six"),
        ({"stress": [np.inf] * 9}, "stress is NaN or infinite"),
        ({"REF_energy": np.zeros(2)}, r"REF_energy has shape \(2,\), expected one number"),
        ({"virial": np.zeros(5)}, r"virial has shape \(5,\)"),
    ],
    ids=str,
)
def test_labels_of_another_form_are_named(labels, words):
    a = pair(2.0)
    for name, value in labels.items():
        (a.arrays if name == "forces" else a.info)[name] = value
    with pytest.raises(DataError, match=f"x: frame 0: {words}"):
        check_frames([a], "x", require=())


def test_what_some_frames_lack_is_counted(frame):
    report = check_frames([frame(), frame(stress=None)], "x")
    assert report.partial(report.labels) == {"stress": "stress is on 1 of 2 frames"}
    assert report.partial(["energy", "dipole"]) == {}


MIXED = """data_x
_cell_length_a 3.6
_cell_length_b 3.6
_cell_length_c 3.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ("Cu1 Cu 0 0 0 0.5\nNi1 Ni 0 0 0 0.5\n", "0.5 Cu, 0.5 Ni, not one atom; make an ordered"),
        ("Cu1 Cu 0 0 0 0.8\n", "0.8 Cu, not one atom"),
        ("Cu1 Cu 0 0 0 1.0\n", None),
    ],
    ids=["mixed", "vacancies", "full"],
)
def test_sites_that_are_not_one_atom_are_named(tmp_path, sites, words):
    path = tmp_path / "a.cif"
    path.write_text(MIXED + sites)
    if words is None:
        assert check_file(path, require=()).n_atoms_max == 4
        return
    with pytest.raises(DataError, match=f"a.cif: frame 0: the site of atom 0 holds .*{words}"):
        check_file(path, require=())


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
