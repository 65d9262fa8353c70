"""SiO2 from its zip and its table: the published split, and what is said of damaged sources."""

import json
import zipfile

import ase.io
import numpy as np
import pytest
from ase import Atoms

from benchmarks.datasets import born_charges, lookup, prepare, registry
from benchmarks.datasets.sources import read_sio2
from kan_heads.data.pools import sequential_pools
from kan_heads.errors import DataError


def crystal(k):
    positions = np.random.default_rng(k).uniform(0, 5, (6, 3))
    return Atoms("O4Si2", positions=positions, cell=[5.0, 5.1, 5.2], pbc=True)


def charges(k):
    return np.random.default_rng(100 + k).normal(size=(6, 9)).round(8)


class Store:
    """The two files of the origin, for a few structures."""

    def __init__(self, folder, n=10):
        self.zip, self.table, self.folder = folder / "SiO2_prim.zip", folder / "id_prop_born.csv", folder
        self.structures = {f"SiO2_{k}": crystal(k) for k in range(n)}
        self.rows = [[f"SiO2_{k}", *charges(k).ravel().tolist()] for k in range(n)]

    def write(self):
        with zipfile.ZipFile(self.zip, "w") as z:
            for name, atoms in self.structures.items():
                path = self.folder / "POSCAR"
                ase.io.write(path, atoms, format="vasp", direct=True)
                z.write(path, f"SiO2_prim/{name}.vasp")
        self.table.write_text("".join(",".join(map(str, row)) + "\n" for row in self.rows))
        return [self.zip, self.table]


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "store" / "sio2"
    folder.mkdir(parents=True)
    return Store(folder)


def test_the_default_split_is_the_published_one():
    dataset = lookup("sio2")
    order = np.random.RandomState(42).permutation(3992).tolist()
    pools = sequential_pools(dataset.frames, dataset.pools, dataset.seed)
    assert pools == {"train": order[:2395], "val": order[2395:3193], "test": order[3194:]}
    left = set(range(3992)) - {i for pool in pools.values() for i in pool}
    assert left == {order[3193]}


def test_each_structure_keeps_its_own_charges(store, tmp_path, monkeypatch, cache):
    store.write()
    monkeypatch.setenv("KAN_HEADS_DATA", str(store.folder.parent))
    files = (registry.DataFile("sio2/SiO2_prim.zip"), registry.DataFile("sio2/id_prop_born.csv"))
    small = registry.Dataset(
        **{**vars(lookup("sio2")), "files": files, "frames": 10, "pools": (6, 1, 2), "seed": 42}
    )
    monkeypatch.setitem(registry.DATASETS, "sio2", small)
    prepare("sio2", tmp_path / "a")
    prepare("sio2", tmp_path / "b")
    assert (tmp_path / "a/split.json").read_bytes() == (tmp_path / "b/split.json").read_bytes()
    record = json.loads((tmp_path / "a/split.json").read_text())
    order = np.random.RandomState(42).permutation(10).tolist()
    assert record["indices"] == {"train": order[:6], "val": [order[6]], "test": order[8:]}
    assert record["index_of"] == "row of id_prop_born.csv"
    for split, rows in record["indices"].items():
        for k, atoms in zip(rows, ase.io.read(tmp_path / f"a/{split}.extxyz", ":"), strict=True):
            assert atoms.info["structure"] == f"SiO2_{k}"
            np.testing.assert_allclose(atoms.positions, crystal(k).positions, atol=1e-7)
            np.testing.assert_allclose(born_charges(atoms), charges(k).reshape(6, 3, 3))


def read_all(paths, work):
    source = read_sio2(paths, work)
    return [source.build(i) for i in range(source.n_frames)]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda s: s.rows[3].pop(),
            r"id_prop_born\.csv: row 3 \(SiO2_3\) has 53 numbers, expected 9 for each of 6",
        ),
        (lambda s: s.rows[3].__setitem__(9, "nan"), r"id_prop_born\.csv: row 3 \(SiO2_3\) holds NaN"),
        (lambda s: s.rows[3].__setitem__(9, "1,5"), r"id_prop_born\.csv: row 3 \(SiO2_3\) has 55 numbers"),
        (
            lambda s: s.rows[3].__setitem__(9, "1.5e"),
            r"row 3 \(SiO2_3\) holds what is not a number .*'1\.5e'",
        ),
        (lambda s: s.rows[3].__setitem__(0, "SiO2_1"), r"row 3 \(SiO2_1\) has the name of an earlier row"),
        (lambda s: s.rows.clear(), r"id_prop_born\.csv has no rows"),
        (lambda s: s.structures.pop("SiO2_3"), r"SiO2_prim\.zip has no SiO2_3\.vasp, which .*id_prop_born"),
        (lambda s: s.structures["SiO2_3"].pop(), r"SiO2_3\.vasp has 5 atoms, its row in .*csv is for 6"),
    ],
)
def test_damaged_sources_are_named_with_their_row(damage, words, store, tmp_path):
    damage(store)
    with pytest.raises(DataError, match=f"{words}.*python -m benchmarks.datasets get sio2") as caught:
        read_all(store.write(), tmp_path)
    assert "\n" not in str(caught.value)


def test_files_of_another_kind(store, tmp_path):
    archive, table = store.write()
    good = archive.read_bytes()
    archive.write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r"SiO2_prim\.zip is not a sound zip file"):
        read_sio2([archive, table], tmp_path)
    archive.write_bytes(good)
    table.write_bytes(b"\xff\xfe\x00S\x00i")
    with pytest.raises(DataError, match=r"id_prop_born\.csv cannot be read"):
        read_sio2([archive, table], tmp_path)
    store.write()
    with zipfile.ZipFile(archive, "w") as z:
        for name in store.structures:
            z.writestr(f"SiO2_prim/{name}.vasp", "no structure")
    with pytest.raises(DataError, match=r"SiO2_4\.vasp cannot be read"):
        read_sio2([archive, table], tmp_path).build(4)


def test_a_frame_without_nine_charges_for_each_atom():
    atoms = crystal(0)
    with pytest.raises(DataError, match="has no 'born_effective_charges'"):
        born_charges(atoms)
    atoms.set_array("born_effective_charges", np.ones((6, 3)))
    with pytest.raises(DataError, match=r"6 atoms has 'born_effective_charges' of shape \(6, 3\)"):
        born_charges(atoms)
