"""The example of docs/new-backbone.md works as it stands there."""

import pathlib
import re

import pytest

from kan_heads.swap import registry

GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "new-backbone.md"


def example():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {"__name__": __name__}
    exec("\n".join(blocks), names)  # the point of this test
    return names


EXAMPLE = example()


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", [EXAMPLE["PairwiseAdapter"]])


class TestPairwise(EXAMPLE["TestPairwise"]):
    """What the page shows, collected by pytest."""


def test_the_page_is_short():
    assert len(GUIDE.read_text(encoding="utf-8").splitlines()) <= 120
