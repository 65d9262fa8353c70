import shutil

import pytest
from bench_jobs import CONFIGS
from bench_records import BENCHMARKS

from benchmarks.wang2024 import worker


@pytest.fixture
def declared(tmp_path):
    """A copy of what the checkout declares, without records; tests change it."""
    folder = tmp_path / "benchmarks"
    for name in ("tables", "budgets", "published"):
        shutil.copytree(BENCHMARKS / name, folder / name)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Empty folders of a run, and no data."""
    return worker.Folders(CONFIGS, tmp_path / "records", tmp_path / "work", {})
