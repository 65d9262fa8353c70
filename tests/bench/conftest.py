import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def declared(tmp_path):
    """A copy of what the checkout declares, without records; tests change it."""
    folder = tmp_path / "benchmarks"
    for name in ("tables", "budgets", "published"):
        shutil.copytree(BENCHMARKS / name, folder / name)
    return folder
