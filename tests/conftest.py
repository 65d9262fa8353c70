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
