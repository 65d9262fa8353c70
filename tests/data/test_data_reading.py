"""Files that people have, and which of their structures are read."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from kan_heads.data import purpose_of
from kan_heads.data.reading import iter_frames, read_frames
from kan_heads.errors import ConfigError, DataError


@pytest.fixture
def silver():
    return [bulk("Ag", a=4.0 + 0.1 * i, cubic=True) for i in range(5)]


def test_an_at_sign_is_part_of_a_name(tmp_path, silver):
    ase.io.write(tmp_path / "run", silver[:2], format="extxyz")
    ase.io.write(tmp_path / "run@1.extxyz", silver)
    ase.io.write(tmp_path / "Ag@Al2O3.cif", silver[0])
    assert len(list(iter_frames(tmp_path / "run@1.extxyz"))) == 5
    assert [number for number, _ in read_frames(tmp_path / "run@1.extxyz", ":")] == [0, 1, 2, 3, 4]
    assert len(read_frames(tmp_path / "Ag@Al2O3.cif")) == 1


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.traj", "a.cif"])
@pytest.mark.parametrize(
    ("index", "numbers"),
    [
        ("-1", [4]),
        ("0", [0]),
        ("3", [3]),
        ("-5", [0]),
        (":", [0, 1, 2, 3, 4]),
        ("::2", [0, 2, 4]),
        ("1:-2", [1, 2]),
    ],
)
def test_the_structures_that_were_asked_for_come_with_their_numbers(tmp_path, silver, name, index, numbers):
    ase.io.write(tmp_path / name, silver)
    found = read_frames(tmp_path / name, index)
    assert [number for number, _ in found] == numbers
    for number, atoms in found:
        assert len(atoms) == 4
        if name != "a.xyz":
            assert atoms.cell[0, 0] == pytest.approx(4.0 + 0.1 * number)


@pytest.mark.parametrize("name", ["a.extxyz", "a.traj"])
def test_the_last_structure_is_read_without_the_others(tmp_path, silver, name, monkeypatch):
    ase.io.write(tmp_path / name, silver)
    made = []
    monkeypatch.setattr(Atoms, "__init__", _counted(Atoms.__init__, made))
    read_frames(tmp_path / name)
    once = len(made)
    made.clear()
    read_frames(tmp_path / name, ":")
    assert once < len(made) / 2


def _counted(function, calls):
    def counted(*arguments, **options):
        calls.append(1)
        function(*arguments, **options)

    return counted


@pytest.mark.parametrize("index", ["5", "-6", "7:", "3:3"])
def test_an_index_without_a_structure_says_how_many_there_are(tmp_path, silver, index):
    ase.io.write(tmp_path / "a.extxyz", silver)
    with pytest.raises(DataError, match=f"has 5 structures, none is --index {index}"):
        read_frames(tmp_path / "a.extxyz", index)
    with pytest.raises(ConfigError, match="--index: 'last' is no index"):
        read_frames(tmp_path / "a.extxyz", "last")


@pytest.mark.parametrize("index", ["-1", ":"])
def test_a_file_cut_short_is_not_read(tmp_path, silver, index):
    path = tmp_path / "a.extxyz"
    ase.io.write(path, silver)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(DataError, match=r"a\.extxyz.*(cannot be read|cannot read)"):
        read_frames(path, index)


DUMP = """ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 10
0 10
0 10
ITEM: ATOMS id type{column} x y z
1 1{first} 0 0 0
2 2{second} 0 0 2.5
"""


@pytest.mark.parametrize("name", ["a.lammpstrj", "dump.atoms", "a.lammpstrj.gz"])
def test_a_dump_without_elements_is_refused(tmp_path, name):
    import gzip

    text = DUMP.format(column="", first="", second="").encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    if name == "dump.atoms":
        (tmp_path / name).rename(tmp_path / "a.dump")
        name = "a.dump"
    with pytest.raises(DataError, match=r"types of atoms but no elements; .*dump_modify ID element"):
        list(iter_frames(tmp_path / name, {"format": "lammps-dump-text"} if name == "a.dump" else None))


def test_a_dump_with_elements_or_their_order_is_read(tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text(DUMP.format(column=" element", first=" Cu", second=" Ni"))
    assert str(read_frames(path)[0][1].symbols) == "CuNi"
    path.write_text(DUMP.format(column="", first="", second=""))
    (atoms,) = iter_frames(path, {"specorder": ["Cu", "Ni"]})
    assert str(atoms.symbols) == "CuNi"


DATA = """LAMMPS data file

2 atoms
1 atom types
0 10 xlo xhi
0 10 ylo yhi
0 10 zlo zhi
{masses}
Atoms # atomic

1 1 0 0 0
2 1 0 0 2.5
"""


def test_a_data_file_needs_masses(tmp_path):
    path = tmp_path / "a.data"
    options = {"format": "lammps-data", "atom_style": "atomic"}
    path.write_text(DATA.format(masses=""))
    with pytest.raises(DataError, match="neither masses nor names of elements; add a section Masses"):
        list(iter_frames(path, options))
    path.write_text(DATA.format(masses="\nMasses\n\n1 63.546\n"))
    (atoms,) = iter_frames(path, options)
    assert str(atoms.symbols) == "Cu2"


def test_a_file_tells_what_it_is_for(tmp_path):
    path, atoms = tmp_path / "a.extxyz", Atoms("Ag2", positions=[[0, 0, 0], [0, 0, 2]])
    for labels, expected in (
        ({"energy": 1.0}, ("energy", "forces")),
        ({}, ("energy", "forces")),
        ({"REF_energy": 1.0}, ("REF_energy", "REF_forces")),
        ({"dielectric_tensor": np.eye(3)}, ("dielectric_tensor",)),
    ):
        atoms.info = dict(labels)
        ase.io.write(path, atoms)
        assert purpose_of(path)[0] == expected
    atoms.info = {}
    atoms.set_array("born_effective_charges", np.zeros((2, 9)))
    ase.io.write(path, atoms)
    assert purpose_of(path)[0] == ("born_effective_charges",)
