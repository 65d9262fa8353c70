"""Fixtures of the KAN tests: double precision unless a test asks for another."""

import pytest
import torch

from kan_heads.global_state import default_dtype


@pytest.fixture(autouse=True)
def _double_precision():
    with default_dtype(torch.float64):
        yield


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20)
