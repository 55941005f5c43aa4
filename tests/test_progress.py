from __future__ import annotations

import sys

import pytest

from medmtl.progress import Progress


def test_it_is_plain_without_a_terminal(capsys):
    progress = Progress()
    with progress.bar("work", 3) as bar:
        bar.advance(note="half")
    progress.say("done")
    assert list(progress.track(iter([1, 2]), "walk")) == [1, 2]
    assert capsys.readouterr().err == "done\n"


def test_quiet_is_quiet(capsys):
    progress = Progress(quiet=True)
    progress.say("x")
    assert list(progress.track([1, 2], "walk")) == [1, 2]
    assert capsys.readouterr().err == ""


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Progress()


def test_bars_within_bars_share_one_display(terminal):
    with terminal.bar("outer", 2) as outer:
        assert list(terminal.track(range(3), "inner")) == [0, 1, 2]
        outer.advance(note="loss [bold] 3")
        with terminal.bar("another", None) as inner:
            inner.advance()
            assert len(terminal._display.tasks) == 2
        assert len(terminal._display.tasks) == 1
    assert terminal._display is None


def test_an_error_inside_takes_the_bar_away(terminal):
    with pytest.raises(ValueError, match="x"), terminal.bar("outer", 1), terminal.bar("inner", 1):
        raise ValueError("x")
    assert terminal._display is None
