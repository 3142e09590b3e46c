import sys

from bench.base import progress


def test_a_terminal_sees_a_bar_and_a_pipe_sees_nothing(monkeypatch, capsys):
    with progress.terminal("encode", 10) as tick:
        tick(10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.terminal("encode", 10) as tick:
        tick(5)
        tick(5)
    assert "encode" in capsys.readouterr().err


def test_silence_shows_nothing_on_a_terminal_either(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.silent("encode", 3) as tick:
        tick(1)
        tick(2)
    assert capsys.readouterr() == ("", "")
