import os
import warnings

import pytest

pytest.importorskip("nequip", reason="ETGNN needs the extra [etgnn]")


from kan_heads.global_state import nequip_state

warnings.filterwarnings("ignore", message=".*TorchScript.*")


@pytest.fixture(scope="module", autouse=True)
def state_of_nequip(fresh_global_state):
    """Sets what every program of nequip does at its start, before anything is built."""
    with nequip_state():
        yield


@pytest.fixture(scope="session")
def sio2(tmp_path_factory):
    """Frames of the real silica set with Born effective charges: 300 to train, 100 to validate."""
    import ase.io

    from benchmarks.datasets import availability, lookup, prepare

    if not os.environ.get("KAN_HEADS_DATA"):
        pytest.skip("KAN_HEADS_DATA is not set: no real data to test with")
    if availability(lookup("sio2")) != "folder":
        pytest.skip("sio2 is not in KAN_HEADS_DATA")
    folder = tmp_path_factory.mktemp("data") / "sio2"
    prepare("sio2", folder, train=300, val=100, test=0)
    return {split: ase.io.read(folder / f"{split}.extxyz", ":") for split in ("train", "val")}
