"""The data sets that kan-heads knows: what they are, where they come from, what may be done with them.

A stored file is named by its path below ``$KAN_HEADS_DATA``. ``url`` is given only where the public
origin serves the very same bytes (checked by ``sha256`` or ``md5``); a file that was derived from a
public one in another format has a ``fallback``, and a file that no public address serves has
``how_to_get``, which becomes the error message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.datasets import ag_emt
from benchmarks.datasets.files import Say
from kan_heads.errors import ConfigError

_ETGNN = (
    "https://raw.githubusercontent.com/QuantumLab-ZY/ETGNN/7ead4b1845c0151b548749e592dc2bc288049baa/data/SiO2"
)
_HOTPP = (
    "https://raw.githubusercontent.com/yongwongxx/Hotpp/ea41466fb6fd657685f8a316bebf26f98bec7361"
    "/examples/carbon/data/test.traj"
)
_PYNEP = "https://raw.githubusercontent.com/bigd4/PyNEP/17298c6423183c87829983eb186db30e8c4fe071/examples/data.traj"
_RU = (
    "https://raw.githubusercontent.com/ZhiyuAn-byte/KAN-Model-for-Ru-element"
    "/6b174fe9f0cf84995dca076d10f2d3f0efef1bc4/Energy%20and%20Force%20Data.json"
)
_HFO2_HOW = (
    "the stored file is a seed-0 draw from a whole git repository and has no download address of its own: "
    "take it from somebody who has it and set KAN_HEADS_DATA to the folder that holds hfo2/ "
    "(the origin is `git clone https://github.com/sliutheorygroup/HfO2`, folder train/database)"
)
_RU_HOW = (
    "the structures were recovered by the kan-heads authors and are not public "
    "(the original structure file is not public any more): take the file from somebody who has it and set "
    "KAN_HEADS_DATA to the folder that holds ru/"
)


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Args:
        path: path below ``$KAN_HEADS_DATA`` and below the cache, with forward slashes.
        url: address that serves the same bytes, or None.
        sha256: checksum, or None where nobody of us has seen the bytes.
        md5: checksum that the origin publishes, or None.
        size: bytes, or None where unknown.
        origin: where the data come from, in words.
        fallback: the public file that holds the same frames in another format, or None.
        how_to_get: what the user can do where there is no address, or where it cannot be reached.
        needed: whether ``prepare`` reads the file (the others are only fetched by ``get``).
    """

    path: str
    url: str | None = None
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    origin: str = ""
    fallback: DataFile | None = None
    how_to_get: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Dataset:
    """One data set: its files, labels, splits and provenance.

    Args:
        name: the name used on the command line.
        what: one line on the content.
        files: the files; empty for a generated set.
        frames: number of frames.
        pools: default sizes of (train, val, test); None where groups decide them.
        seed: seed of the split where the user gives none.
        labels: labels that every frame has; frames may have ``stress`` as well.
        units: unit of each label.
        paper_data: True if it is the data that the paper used.
        relation: how the data relate to the paper's.
        licence: what is known of the licence.
        citation: whom to cite.
        stand_in: what replaces the real labels, empty for real data.
        generate: makes the one file of a generated set, or finds it; None for the others.
        generated: path of that file, as in :class:`DataFile`.
    """

    name: str
    what: str
    files: tuple[DataFile, ...]
    frames: int
    pools: tuple[int, int, int] | None
    labels: tuple[str, ...]
    paper_data: bool
    relation: str
    licence: str
    citation: str
    seed: int = 0
    units: dict[str, str] = field(default_factory=dict)
    stand_in: str = ""
    generate: Callable[[Say], Path] | None = None
    generated: str = ""


_EFS = {"energy": "eV per cell", "forces": "eV/Angstrom", "stress": "eV/Angstrom^3 (ASE sign, tension > 0)"}

_ALL = (
    Dataset(
        name="ag",
        what="silver with a vacancy, 71 atoms, VASP PBE dynamics",
        files=(
            DataFile(
                "ag/Ag_warm_nospin.xyz",
                url="https://archive.materialscloud.org/record/file?record_id=1387&filename=Ag_warm_nospin.xyz",
                md5="e62d46b12e4a300257feaef6e1a75149",
                origin="Materials Cloud Archive, doi 10.24435/materialscloud:fr-ts (record 1387)",
                how_to_get="or use the stand-in set ag-emt, which needs no download",
            ),
        ),
        frames=1000,
        pools=(950, 50, 0),
        labels=("energy", "forces"),
        paper_data=True,
        relation="the paper's own 1,000 frames; the paper's draw of 950/50 is unknown",
        licence="Materials Cloud Archive record 1387: see the licence stated there",
        citation="Musaelian et al., Nat. Commun. 14, 579 (2023)",
        units=_EFS,
    ),
    Dataset(
        name="ag-emt",
        what="STAND-IN for ag: 71 silver atoms with a vacancy at 300 K, labelled with ASE's EMT",
        files=(),
        frames=1000,
        pools=(950, 50, 0),
        labels=("energy", "forces"),
        paper_data=False,
        relation="a stand-in: as many atoms and frames as ag, but an empirical potential's labels, not DFT",
        licence="generated here with ASE (LGPL); no third-party data",
        citation="Hjorth Larsen et al., J. Phys.: Condens. Matter 29, 273002 (2017); "
        "Jacobsen, Stoltze, Norskov, Surf. Sci. 366, 394 (1996)",
        units=_EFS,
        stand_in=ag_emt.STAND_IN,
        generate=ag_emt.cached,
        generated=ag_emt.RELATIVE_PATH,
    ),
    Dataset(
        name="hfo2",
        what="hafnia Hf32O64, 96 atoms, VASP PBE",
        files=(
            DataFile(
                "hfo2/hfo2_0.npz",
                sha256="1a30f5e3100d8d996a70b2765038fed705a0c96488c0c4a0cf743a8724f28091",
                size=10760422,
                origin="GitHub sliutheorygroup/HfO2, train/database",
                how_to_get=_HFO2_HOW,
            ),
            DataFile(
                "hfo2/hfo2_1.npz",
                sha256="d211897603e969eb0e7bf109d942b61f0be691e68dcb686bfb792970ad49a174",
                size=10762063,
                origin="GitHub sliutheorygroup/HfO2, train/database",
                how_to_get=_HFO2_HOW,
            ),
        ),
        frames=10000,
        pools=(9000, 1000, 0),
        labels=("energy", "forces", "stress"),
        paper_data=False,
        relation="the paper's source, but its 10,000 frames are unknown: "
        "a seed-0 draw of the 13,003 unique ones",
        licence="no licence file at the origin; do not redistribute",
        citation="Wu, Zhang, Zhang, Liu, Phys. Rev. B 103, 024108 (2021)",
        units=_EFS | {"energy": "eV per cell (float32: 0.06 meV resolution)"},
    ),
    Dataset(
        name="carbon",
        what="amorphous carbon (GAP-17), 2 to 216 atoms, CASTEP LDA",
        files=(
            DataFile(
                "carbon/train_408.extxyz",
                sha256="49732211f8e5f7031ce8b3f2cfaab2eac19de687e5c19dc0809f57bd7a6dcf79",
                size=2746044,
                origin="GitHub bigd4/PyNEP, examples/data.traj, converted",
                fallback=DataFile("carbon/origin/pynep_data.traj", url=_PYNEP),
            ),
            DataFile(
                "carbon/test_450.extxyz",
                sha256="92753b9041d4f051940a0e7bd588e3ccebc2ed8d776a5179375961204db9444a",
                size=3105088,
                origin="GitHub yongwongxx/Hotpp, examples/carbon/data/test.traj, converted",
                fallback=DataFile("carbon/origin/hotpp_test.traj", url=_HOTPP),
            ),
        ),
        frames=858,
        pools=(388, 20, 450),
        labels=("energy", "forces"),
        paper_data=False,
        relation="the test set is the paper's own; the training set is a tenth of the paper's 4,080 frames",
        licence="CC BY-NC-SA 4.0 (data), MIT (the repository that packages the test set)",
        citation="Deringer, Csanyi, Phys. Rev. B 95, 094203 (2017)",
        units=_EFS,
    ),
    Dataset(
        name="sio2",
        what="Born effective charges of Si2O4, 6 atoms",
        files=(
            DataFile(
                "sio2/SiO2_prim.zip",
                url=f"{_ETGNN}/SiO2_prim.zip",
                sha256="53d67b26cf0a21cadf84c50b86b21fe200fff68e51d9ab9ebab377266e503fd2",
                size=1432834,
                origin="GitHub QuantumLab-ZY/ETGNN, data/SiO2",
            ),
            DataFile(
                "sio2/id_prop_born.csv",
                url=f"{_ETGNN}/id_prop_born.csv",
                sha256="605f7a9c5162300a265115bbd0946c0c58b20d67da4874c63fe28afe79531508",
                size=1950276,
                origin="GitHub QuantumLab-ZY/ETGNN, data/SiO2",
            ),
        ),
        frames=3992,
        pools=(2395, 798, 798),
        labels=("born_effective_charges",),
        paper_data=True,
        relation="the paper's own data and, with seed 42, its own split",
        licence="no licence file for the data at the origin; do not redistribute",
        citation="Zhong, Yu, Gong, Xiang, J. Phys. Chem. Lett. 14, 6339 (2023)",
        seed=42,
        units={"born_effective_charges": "e; row-major 3x3 per atom"},
    ),
    Dataset(
        name="ru",
        what="strained hcp ruthenium, 16 atoms, Quantum ESPRESSO",
        files=(
            DataFile(
                "ru/energy_force.json",
                url=_RU,
                sha256="04917e638be2c1e7621676a0f09d59e696fa7d449b343687bf3e3894dac13e8e",
                size=1984603,
                origin="GitHub ZhiyuAn-byte/KAN-Model-for-Ru-element",
                needed=False,
            ),
            DataFile(
                "ru/ru_strain_recovered.extxyz",
                sha256="ac4d9170c7f03e81398b526091669726358d341d72a3a5a7fb31246e1b60944f",
                size=1421957,
                origin="recovered by the kan-heads authors from energy_force.json",
                how_to_get=_RU_HOW,
            ),
        ),
        frames=670,
        pools=None,
        labels=("energy",),
        paper_data=True,
        relation="the paper's own labels on structures recovered from them; "
        "split by strain, not as the paper did",
        licence="no licence file at the origin; do not redistribute",
        citation="'ML molecular modeling of Ru: A KAN approach', Int. J. AI Mater. Des. 2(1) (2025)",
        units={k: _EFS[k] for k in ("energy", "stress")},
    ),
)

DATASETS: dict[str, Dataset] = {d.name: d for d in _ALL}


def list_datasets() -> list[Dataset]:
    """All known data sets, in the order of the documentation."""
    return list(_ALL)


def lookup(name: str) -> Dataset:
    """The data set of that name.

    Raises:
        ConfigError: the name is unknown; the message lists the valid ones.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise ConfigError(f"unknown data set '{name}'; choose one of: {', '.join(DATASETS)}") from None
