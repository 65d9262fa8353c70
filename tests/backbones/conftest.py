import warnings

import pytest

nequip = pytest.importorskip("nequip", reason="the backbones need the extra [allegro]")
pytest.importorskip("allegro", reason="the backbones need the extra [allegro]")

# nequip ships its fixtures for extensions to import: data sets, dtypes, small molecules.
from nequip.utils.unittests.conftest import *  # noqa: E402, F403

warnings.filterwarnings("ignore", message=".*per_type_energy.*")


@pytest.fixture(scope="module", autouse=True)
def state_of_nequip(fresh_global_state):
    """Sets what every program of nequip does at its start, as the fixtures of nequip expect."""
    from kan_heads.global_state import nequip_state

    with nequip_state():
        yield


@pytest.fixture(scope="module")
def silver(tmp_path_factory):
    """A folder with 8 training and 4 validation frames of silver labelled with EMT."""
    import ase.io

    from benchmarks.datasets.ag_emt import generate

    folder = tmp_path_factory.mktemp("silver")
    frames = generate(n_frames=12, seed=0, equilibration=20)
    ase.io.write(folder / "train.extxyz", frames[:8])
    ase.io.write(folder / "val.extxyz", frames[8:])
    return folder


# nequip's suites compile each model in both precisions: each precision once, with another model, is enough.
TWICE = ("TestNequIPOutput::test_ase_compile[float32", "TestAllegroOutput::test_ase_compile[float64")


def pytest_collection_modifyitems(config, items):
    """Leaves out what is compiled twice."""
    left_out = [item for item in items if any(case in item.nodeid for case in TWICE)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
