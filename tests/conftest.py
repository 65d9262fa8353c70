import importlib.util
import os
import pathlib
import sys

import pytest

# Tests run side by side; one thread each is faster than many threads in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# nequip's own suites call nequip-train by name: the one of the environment that runs the tests.
os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


@pytest.fixture(scope="module", autouse=True)
def fresh_global_state():
    """Each file begins as a process of its own would, whatever the files before it have left behind."""
    import torch

    from kan_heads.global_state import global_state_kept

    with global_state_kept():
        torch.set_default_dtype(torch.float32)
        if importlib.util.find_spec("e3nn"):
            import e3nn

            e3nn.set_optimization_defaults(jit_mode=e3nn._DEFAULT_JIT_MODE)
        nequip = sys.modules.get("nequip.utils.global_state")
        if nequip:
            # A fixture of the whole session may have started nequip; it sets its precision at its start only.
            nequip._GLOBAL_STATE_INITIALIZED = False
        yield


def _frame(n=3, seed=0, pbc=True, **replace):
    import numpy as np
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    rng = np.random.RandomState(seed)
    places = 2.0 * np.argwhere(np.ones((3, 3, 3)))[rng.permutation(27)[:n]]
    places = places + rng.uniform(-0.4, 0.4, (n, 3))
    atoms = Atoms("Ag" * n, positions=places, cell=[6.0] * 3 if pbc else None, pbc=pbc)
    labels = {"energy": float(seed), "forces": rng.normal(size=(n, 3)), "stress": rng.normal(size=6)}
    labels = {k: v for k, v in (labels | replace).items() if v is not None}
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


@pytest.fixture
def frame():
    """Makes a labelled frame of silver atoms; ``label=None`` leaves that label out."""
    return _frame


#: What takes longest, in the order in which two workers should begin it.
LONGEST = (
    *("etgnn/test_etgnn_learning.py", "mace/test_mace_programs.py", "etgnn/test_etgnn_compile.py"),
    *("wang2024/test_bench_whole.py", "backbones/test_training.py", "etgnn/test_etgnn_training.py"),
    *("backbones/test_upstream_suites.py", "mace/test_migrate.py", "eam/test_eam_training.py"),
)


def pytest_collection_modifyitems(items):
    """Begins with the files that take longest, so that two workers end together."""
    here = pathlib.Path(__file__).parent
    order = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))
