"""The bar that stands in a terminal while something takes long, and nowhere else."""

import io

import pytest
import rich.console

from kan_heads import progress
from kan_heads.progress import Bar, Progress, track


@pytest.fixture
def screen(monkeypatch):
    """What a terminal shows; a bar appears there at once."""
    shown, kind = io.StringIO(), rich.console.Console
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setattr(rich.console, "Console", lambda stderr: kind(file=shown, force_terminal=True))
    return shown


def test_a_bar_shows_what_is_done(screen):
    with Bar("graphs", 4) as bar:
        bar.update(2)
    assert "graphs" in screen.getvalue()
    assert "50%" in screen.getvalue()


def test_another_text_begins_a_bar_anew(screen):
    with Bar() as bar:
        bar.update(1, "melting", 10)
        bar.update(9, "melting", 10)
        bar.update(1, "cooling", 4)
    before, _, after = screen.getvalue().partition("cooling")
    assert "90%" in before
    assert "melting" not in after
    assert "25%" in after


def test_what_is_short_shows_no_bar(screen, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_S", 60.0)
    assert list(track("abc", "letters", 3)) == ["a", "b", "c"]
    assert screen.getvalue() == ""


def test_without_a_terminal_nothing_is_said(capfd, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    assert list(track("abc", "letters", 3)) == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


def test_a_listener_keeps_silent_unless_a_subclass_speaks(capfd):
    silent = Progress()
    with silent.stage("training", 3):
        silent.step(1, "loss 0.1")
        silent.detail("forces")
    silent.note("slow")
    assert capfd.readouterr() == ("", "")
