"""Names that differ only in how they are written: patients, labels, files.

Spreadsheets and scripts turn ``007`` into ``7``, ``3`` into ``3.0``, ``é`` into ``e`` and an accent, and people write
``P1`` and ``p 1``. What is compared here is the name without all that; what is stored is the name as written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

WAYS = "case, blanks, Unicode form, leading zeros or a final .0"  # in which an id may be written
LABEL_WAYS = "case, blanks, hyphens, Unicode form, zeros or the order of joined parts"  # and a label

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣－", "-"))
_LEAST_WORD = 5  # letters of a word from which on another word by one letter is taken for a slip
_JOINED = re.compile("[+&]")


def key(name: str) -> str:
    """What is the same for every spelling of an id: equal keys, one patient or file."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).translate(_DASHES)
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")  # soft hyphens, joiners
    text = re.sub(r"(?<!\d) | (?!\d)", "", " ".join(text.split()))  # 1 2 stays apart from 12
    text = re.sub(r"^([+-]?\d+)\.0*$", r"\1", text)
    return re.sub(r"(?<![\d.])0+(?=\d)", "", text)  # not after a point: 1.01 is not 1.1


def label_key(name: str) -> str:
    """What is the same for every spelling of a class: of words, hyphens do not count either, nor which part is first.

    The challenge of SPRSound writes both Wheeze+Crackle and Wheeze & Crackle, others Crackle + Wheeze.
    """
    return "+".join(sorted(map(_part, _JOINED.split(name))))


def _part(name: str) -> str:
    text = key(name)
    return re.sub(r"[-_.'’ ]", "", text) if re.search(r"[^\W\d_]", text) else text  # the sign of -1 does count


def alike(names: Iterable[str], by: Callable[[str], str] = key) -> list[tuple[str, ...]]:
    """The names that are spellings of one, in sorted groups of two and more."""
    spelt: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        spelt.setdefault(by(name), []).append(name)
    return [tuple(group) for group in spelt.values() if len(group) > 1]


def between(names: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """(a name, a spelling of it among the others), one pair for each of these that is not a name itself."""
    names = set(names)
    by_key = {key(name): name for name in sorted(names, reverse=True)}
    return [(by_key[key(other)], other) for other in sorted(set(others) - names) if key(other) in by_key]


def unified(names: Iterable[str]) -> dict[str, str]:
    """{name: the spelling that stands for it}: the first in alphabetical order of those that are one, else itself."""
    names = set(names)
    return {name: name for name in names} | {name: group[0] for group in alike(names) for name in group}


def slips(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs that differ by one letter of a longer word, as a slip of the keyboard makes them.

    Numbers, short words and a letter before a word (typical, atypical) are no slips.
    """
    worded = {name: _words(name) for name in sorted(set(names))}
    return [pair for pair in combinations(worded, 2) if _one_letter(*(worded[name] for name in pair))]


def shown(groups: Sequence[Sequence[str]]) -> str:
    """Groups of spellings for a message: ``'007' and '7', 'P1' and 'p1'``; told apart where they look alike."""
    return some([" and ".join(map(_shown, group)) for group in groups])


def some(names: Sequence[str]) -> str:
    """The first five names and the number of the others, for a message."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _shown(name: str) -> str:
    """A name in quotes; signs beyond ASCII that a reader may not tell apart are spelt out."""
    composed = unicodedata.normalize("NFC", name)
    plain = composed == name and all(sign.isalnum() or sign.isascii() for sign in name)
    return repr(name) if plain else ascii(name)


def _words(name: str) -> tuple[list[str], list[str]]:
    """The words of a name and what is between them."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.findall(r"[^\W\d_]+", text), re.split(r"[^\W\d_]+", text)


def _one_letter(one: tuple[list[str], list[str]], other: tuple[list[str], list[str]]) -> bool:
    if one[1] != other[1]:
        return False
    unlike = [pair for pair in zip(one[0], other[0], strict=True) if pair[0] != pair[1]]
    return len(unlike) == 1 and _slip(*unlike[0])


def _slip(one: str, other: str) -> bool:
    """Whether a letter too many, too few, another or exchanged with its neighbour is all that two words differ in."""
    if max(len(one), len(other)) < _LEAST_WORD or abs(len(one) - len(other)) > 1:
        return False
    before = next((k for k, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    one, other = one[before:], other[before:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if not one or not other:
        return before > 0
    return len(one) == len(other) == 1 or (len(one) == 2 and one == other[::-1])
