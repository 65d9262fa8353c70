import warnings

import pytest
import torch

pytest.importorskip("mace", reason="these tests need the extra [mace]")

from kan_heads.global_state import default_dtype

warnings.filterwarnings("ignore", message=".*TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD.*")


@pytest.fixture
def double():
    """MACE builds everything in torch's default type."""
    with default_dtype(torch.float64):
        yield torch.float64


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    """Both precisions, one after the other."""
    with default_dtype(request.param):
        yield request.param
