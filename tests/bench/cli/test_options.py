import contextlib
import io
import json
import sys
import warnings

import pytest

from bench.base.errors import one_line
from bench.base.progress import terminal
from bench.cli import options
from bench.cli.main import main

ACTING = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\r",
    "\x08\x08",
    "\u202eevil",
    "\x85",
    "\u2028",
    "\x00",
    "\ud800",
]
HARMLESS = ["[bold]red[/bold]", "[/]", "Knöttern", "喘鳴", "🫁", "a\u00a0b", "{task.id}", "%s", "=1+1", "'\"`$(x)"]


@pytest.mark.parametrize("text", ACTING)
def test_nothing_that_is_printed_acts_on_the_terminal(text, capsys):
    options.show(f"a{text}b\nnext")
    options.say(f"a{text}b")
    printed = capsys.readouterr()
    for stream in printed:
        assert all(c == "\n" or c.isprintable() for c in stream)
    assert printed.out.count("\n") == 2


@pytest.mark.parametrize("text", HARMLESS)
def test_what_does_not_act_on_it_is_printed_as_it_is(text, capsys):
    options.show(text, end="")
    assert capsys.readouterr().out == text
    assert one_line(text) == text


@pytest.mark.parametrize("text", [*ACTING, *HARMLESS])
def test_json_holds_the_text_and_nothing_acts_in_it(text, capsys):
    options.print_json({text: [text, 1.5, None]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {text: [text, 1.5, None]}
    assert all(c in "\n\u00a0" or c.isprintable() for c in printed)


@pytest.mark.parametrize("label", [*ACTING, *HARMLESS])
def test_labels_of_progress_are_no_markup_and_act_on_nothing(label, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with terminal(label, 3) as tick:
        tick(3)
    acts = label in ACTING and label != "\r"  # by which a bar is drawn anew
    assert (label in shown.getvalue()) == (not acts)


def test_warnings_act_on_nothing(capsys, monkeypatch, tmp_path):
    def warns(arguments):
        warnings.warn("cannot write \x1b[31mx", stacklevel=1)
        return 0

    monkeypatch.setattr("bench.cli.texts.LISTINGS", {})
    monkeypatch.setattr("bench.cli.main.VERBS", (options.Verb("w", "warn", lambda parser: None, warns),))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", lambda *said: sys.stderr.write(warnings.formatwarning(*said[:4])))
        assert main(["w"]) == 0
    assert "\\x1b[31mx" in capsys.readouterr().err


def test_words_of_the_command_line_act_on_nothing(capsys, tmp_path):
    for command in (
        ["\x1b[31m"],
        ["ls", "\x1b[31m"],
        ["check", "\x1b[31m"],
        ["leaderboard", str(tmp_path / "\x1b[31m")],
    ):
        with contextlib.suppress(SystemExit):
            main(command)
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "/x/\x1b[31m"), OSError(28, "No space left", "/x")]
)
def test_what_a_disk_refuses_is_said_in_one_line(error, capsys, monkeypatch):
    def refused(arguments):
        raise error

    monkeypatch.setattr("bench.cli.main.VERBS", (options.Verb("w", "write", lambda parser: None, refused),))
    assert main(["w"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and error.strerror in said and "\x1b" not in said
    monkeypatch.setattr(error, "filename", None)
    if error.errno == 28:  # while a file is written
        assert main(["w"]) == 1
        return
    with pytest.raises(OSError):
        main(["w"])
