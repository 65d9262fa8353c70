import os
import pathlib
import sys

# Tests run side by side; one thread each is faster than many threads in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# nequip's own suites call nequip-train by name: the one of the environment that runs the tests.
os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
