"""Licences that a user must agree to before the first use: those that restrict it, and those that nobody states.

Agreement is asked for once per family and licence text, and remembered in the cache (``licences.json``).
"""

from __future__ import annotations

import datetime
import os
import re

from bench.base import registry
from bench.base.errors import BadInput
from bench.base.tables.cached import CacheTable
from bench.types import EncoderCard, Weights

FREE = re.compile(r"\b(MIT|BSD|Apache|ISC|CC0|CC[ -]BY|MS-PL|GPL|LGPL|public domain|Unlicense)\b", re.IGNORECASE)
BOUND = re.compile(
    r"\bNC\b|non-?\s?commercial|\bresearch\b|\bacademic\b|\bevaluation\b|\beducational\b|\bterms\b|\bproprietary\b",
    re.IGNORECASE,
)
UNSAID = re.compile(r"\b(unstated|unknown|unclear|not stated|not given|unlicensed|none)\b", re.IGNORECASE)
VARIABLE = "RESPBENCH_ACCEPT_LICENCE"


class LicenceNotAccepted(BadInput):
    """Weights (or a package) under a restrictive licence that nobody has agreed to yet."""


def restricted(weights: Weights) -> bool:
    """Whether a licence needs agreement. Unless the card says so itself: whatever is not plainly a free licence."""
    if weights.restricted is not None:
        return weights.restricted
    text = weights.licence
    return not FREE.search(text) or bool(BOUND.search(text) or UNSAID.search(text))


def terms(card: EncoderCard) -> str:
    """The text to agree to before this encoder is used; empty where there is none.

    That of its weights; of an encoder without weights, which may stand on somebody's package, the card's own licence
    where that is restrictive. An untrained twin stands on this project's code alone.
    """
    if card.weights:
        return next((w.licence or "unstated" for w in card.weights if restricted(w)), "")
    return card.licence if BOUND.search(card.licence) and not registry.is_twin(card.id) else ""


def agreed(card: EncoderCard) -> bool:
    """Whether there is nothing (left) to agree to."""
    return not terms(card) or _key(card) in _table().read()


def require(card: EncoderCard, accept: bool = False) -> str:
    """Makes sure that a card's terms have been agreed to.

    Parameters
    ----------
    card
        Of the encoder that is to be used.
    accept
        Agrees, as ``RESPBENCH_ACCEPT_LICENCE=1`` does.

    Returns
    -------
    str
        The terms that have just been agreed to, to be shown once; empty where there are none or they were agreed to
        before.

    Raises
    ------
    LicenceNotAccepted
        Where nobody has agreed.
    """
    if agreed(card):
        return ""
    if not accept and os.environ.get(VARIABLE) != "1":
        whose = "the licence of its weights" if card.weights else "its licence"
        remedy = f"if you agree, say so once: --accept-licence, accept_licence=True or {VARIABLE}=1"
        raise LicenceNotAccepted(card.id, f"{whose} restricts use or is not stated: {terms(card)}", remedy)
    _table().put(_key(card), datetime.date.today().isoformat())
    return terms(card)


def _key(card: EncoderCard) -> str:
    return f"{card.id.partition('.')[0]}: {terms(card)}"


def _table() -> CacheTable:
    return CacheTable("licences.json")
