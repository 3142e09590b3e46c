"""Any text as LaTeX, Markdown or a spreadsheet's cell shows it, and never as a command of theirs."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylatexenc.latexencode import UnicodeToLatexEncoder

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of a formula
_BREAK_AFTER = re.compile(r"(?<=[._/@:-])(?=[^\W\d_])")  # and not within a number


def latex(text: str) -> str:
    """The text as LaTeX prints it.

    Accents and symbols become commands that every engine knows; a character that none stands for is printed as its
    code point.
    """
    return _encoder().unicode_to_latex(plain(text))


def breakable(text: str) -> str:
    """The text as ``latex`` gives it; lines may break after the points, slashes and hyphens within names."""
    return r"\allowbreak{}".join(latex(part) for part in _BREAK_AFTER.split(plain(text)))


def markdown(text: str) -> str:
    """The text as Markdown prints it, on one line; a pipe is left to whoever sets a table."""
    shown = re.sub(r"([\\`*\[\]])", r"\\\1", plain(text))
    shown = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", shown)  # within a word it emphasises nothing
    # not every Markdown takes a backslash before these
    return re.sub(r"[<>$~]|&(?=#?\w+;)", lambda sign: f"&#{ord(sign[0])};", shown)


def cell(text: str) -> str:
    """The text as a cell of CSV that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def plain(text: str) -> str:
    """The text on one line, without control characters."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") else letter for letter in text)


@cache
def _encoder() -> UnicodeToLatexEncoder:
    from pylatexenc.latexencode import RULE_DICT, UnicodeToLatexConversionRule, UnicodeToLatexEncoder

    # what the library leaves as it is, although the default font has another sign in its place, or needs a package for
    own = {"|": r"\textbar{}", '"': "''", "→": r"\ensuremath{\rightarrow}", "\u00a0": "~"}
    rule = UnicodeToLatexConversionRule(RULE_DICT, {ord(letter): command for letter, command in own.items()})
    return UnicodeToLatexEncoder(
        conversion_rules=[rule, "defaults"],
        unknown_char_policy="unihex",
        unknown_char_warning=False,
    )
