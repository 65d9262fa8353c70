import os

# Tests run side by side; one thread each is faster than many threads in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
