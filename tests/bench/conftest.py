import shutil

import pytest
from bench_records import BENCHMARKS


@pytest.fixture
def declared(tmp_path):
    """A copy of what the checkout declares, without records; tests change it."""
    folder = tmp_path / "benchmarks"
    for name in ("tables", "budgets", "published"):
        shutil.copytree(BENCHMARKS / name, folder / name)
    return folder
