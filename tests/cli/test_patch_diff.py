"""Diffs without context: there and back, and nothing that does not fit."""

import difflib
import random

import pytest

from kan_heads.errors import ModelError
from kan_heads.patching import diff


@pytest.mark.parametrize("seed", range(20))
def test_diffs_of_random_texts_lead_there_and_back(seed):
    generator = random.Random(seed)
    old, new = ([generator.choice("abcd") + "\n" for _ in range(generator.randrange(30))] for _ in "12")
    hunks = diff.parse("".join(difflib.unified_diff(old, new, "file", "file", n=0)).encode())["file"]
    assert diff.apply(hunks, "".join(old).encode()) == "".join(new).encode()
    assert diff.apply(hunks, "".join(new).encode(), reverse=True) == "".join(old).encode()


def test_a_diff_does_not_fit_another_text():
    hunks = diff.parse(b"--- file\n+++ file\n@@ -2 +2 @@\n-b\n+c\n")["file"]
    with pytest.raises(ModelError, match="does not fit at line 2"):
        diff.apply(hunks, b"a\na\n")


def test_a_diff_with_context_is_refused():
    with pytest.raises(ModelError, match="damaged"):
        diff.parse(b"--- file\n+++ file\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n")
