"""Label spaces of lung sound corpora, and the maps from one to another.

A map gives a class name its label in the shared space; ``None``: it has no place there.
"""

from __future__ import annotations

from collections.abc import Mapping

ICBHI4 = ("normal", "crackle", "wheeze", "both")
BINARY = ("normal", "abnormal")
EVENTS2 = ("Normal", "Adventitious")
EVENTS7 = ("Normal", "Rhonchi", "Wheeze", "Stridor", "Coarse Crackle", "Fine Crackle", "Wheeze+Crackle")
RECORDS3 = ("Normal", "Poor Quality", "Adventitious")
RECORDS5 = ("Normal", "Poor Quality", "CAS", "DAS", "CAS & DAS")
BITS = ("crackle", "wheeze")
# an index into ICBHI4 is also the sum of 2^k over the BITS that are present
FLAGS = {**{name: k for k, name in enumerate(ICBHI4)}, "crackle+wheeze": 3}
DISEASE2 = ("healthy", "COPD")
DISEASE3 = ("healthy", "chronic", "non-chronic")

ALIASES = {"Wheeze & Crackle": "Wheeze+Crackle"}  # as the SPRSound organisers' scoring script writes it

LabelMap = Mapping[str, int | None]

# Normal or not, across corpora: rhonchi and stridor are abnormal, a recording of poor quality is neither.
TO_BINARY: LabelMap = {
    **{name: int(name != "normal") for name in (*ICBHI4, *BINARY)},
    **{name: int(name != "Normal") for name in (*EVENTS2, *EVENTS7, *RECORDS3, *RECORDS5)},
    "Poor Quality": None,
}

# ICBHI's four classes on SPRSound's event types. ICBHI's annotators had two flags, crackle and wheeze, so a rhonchus
# may lie in any of its classes, and stridor comes from the upper airway: both are left out.
SHARED4: LabelMap = {
    "Normal": 0,
    "Coarse Crackle": 1,
    "Fine Crackle": 1,
    "Wheeze": 2,
    "Wheeze+Crackle": 3,
    "Rhonchi": None,
    "Stridor": None,
}

# The rule of QLung (arXiv 2606.11915), BTS-CARD (arXiv 2510.22263) and Lungmix (arXiv 2501.00064): every continuous
# adventitious sound counts as wheeze.
CAS_TO_WHEEZE: LabelMap = {**SHARED4, "Rhonchi": 2, "Stridor": 2}

# Diagnoses of ICBHI's patients: COPD against none, as in OPERA's seventh task (arXiv 2406.16148).
TO_DISEASE2: LabelMap = {
    "Healthy": 0,
    "COPD": 1,
    **dict.fromkeys(("Asthma", "Bronchiectasis", "Bronchiolitis", "LRTI", "Pneumonia", "URTI")),
}

# The grouping of Patch-Mix (Bae et al., Interspeech 2023).
TO_DISEASE3: LabelMap = {
    "Healthy": 0,
    **dict.fromkeys(("Asthma", "Bronchiectasis", "COPD"), 1),
    **dict.fromkeys(("Bronchiolitis", "LRTI", "Pneumonia", "URTI"), 2),
}


def spellings(to: LabelMap) -> dict[str, int]:
    """``TaskCard.spellings`` of a task whose labels are made by ``to``."""
    return {name: label for name, label in to.items() if label is not None}


def relabel(classes: tuple[str, ...], to: LabelMap) -> dict[int, int | None]:
    """{label among ``classes``: label in the shared space or None}. Raises ``KeyError`` for an unmapped class."""
    return {index: to[name] for index, name in enumerate(classes)}


def recount(
    counts: Mapping[str, int], classes: tuple[str, ...], to: LabelMap, shared: tuple[str, ...]
) -> dict[str, int]:
    """Expected counts of a split in the shared space; recordings and patients carry over."""
    out = {name: n for name, n in counts.items() if name not in classes} | dict.fromkeys(shared, 0)
    for name in classes:
        if to[name] is not None:
            out[shared[to[name]]] += counts[name]
    return out


def recount_bits(counts: Mapping[str, int]) -> dict[str, int]:
    """Expected counts of a split of ``ICBHI4`` as those of ``BITS``: a clip with both has either."""
    out = {name: n for name, n in counts.items() if name not in ICBHI4}
    return out | {name: counts[name] + counts["both"] for name in BITS}
