"""Exceptions whose text is meant for the user: what is wrong, where, and what to do about it.

The command line prints them as one line and exits with ``exit_code``; anything else is a bug and shows a traceback.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

SHOWN = 5  # names in a message


def one_line(text: str) -> str:
    """A text as one line for the terminal: what a terminal would act on, as names of files may hold, is spelt out."""
    return "".join(c if is_shown(c) else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def first_few(names: Sequence[str], between: str = ", ") -> str:
    """The first of some names, as many as a message has room for, and an ellipsis where there are more."""
    return between.join(names[:SHOWN]) + f"{between}…" * (len(names) > SHOWN)


def is_shown(character: str) -> bool:
    """Whether a terminal shows a character, and does nothing else on its account."""
    return character.isprintable() or unicodedata.category(character) == "Zs"  # blanks of other widths


class RespBenchError(Exception):
    """Base of every error that the user can act on; it keeps its text and facts on its way from another process."""

    exit_code = 1

    def __reduce__(self) -> tuple:
        return _received, (type(self), self.args, self.__dict__)


def _received(kind: type[RespBenchError], args: tuple, facts: dict) -> RespBenchError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class UnknownId(RespBenchError):
    """An encoder, task, suite, metric or option name that does not exist; suggests as ``suggestion`` does."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str], elsewhere: Iterable[str] = ()):
        super().__init__(f"unknown {kind} {name!r}; {suggestion(name, known, elsewhere)}")


def suggestion(name: str, known: Iterable[str], elsewhere: Iterable[str] = ()) -> str:
    """The known name that is nearest to ``name``, as a question; a list of all where none is near.

    ``elsewhere`` are names that exist, but not here: where one of them is nearer, the user may well mean it, and no
    other is suggested in its place.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, [*known, *elsewhere], n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near and near[0] in known else f"known: {', '.join(known) or 'none'}"


class NothingAsked(RespBenchError):
    """A command that lacks the word that says what to do."""

    exit_code = 2


class BadInput(RespBenchError):
    """A file or table that cannot be used: ``where`` names it, ``remedy`` says what to do."""

    def __init__(self, where: object, problem: str, remedy: str):
        self.where, self.problem, self.remedy = str(where), problem, remedy
        super().__init__(f"{where}: {problem}; {remedy}")


class NotInstalled(BadInput):
    """A package that something optional needs and that is not installed."""


class BadArray(BadInput, ValueError):
    """Arrays that an estimator cannot be fitted on; a ``ValueError`` too, as scikit-learn's own estimators raise."""


class CheckpointError(BadInput):
    """Weights that are absent, damaged or do not fit the architecture."""


class MissingWeights(CheckpointError):
    """Weights that are not at hand, as opposed to weights that are wrong."""
