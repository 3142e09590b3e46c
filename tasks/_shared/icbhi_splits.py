"""How ICBHI 2017 is split, and what every split of a complete copy holds.

* The official 60/40 split, by recording. Patients 156 and 218 are in both halves.
* ``fold0`` … ``fold4``: five parts of the patients, each the test in turn, as RespireNet (Gairola et al., EMBC 2021)
  published them in ``patient_list_foldwise.txt``, which Patch-Mix and others ship unchanged. Known as 80/20, which
  holds for patients and not for cycles: the tests have 3455, 704, 536, 759 and 1444 of 6898.
* ``lodo-<device>``: that device is the test. No patient is on both sides: recordings with another device are left out
  where their patient was recorded with the test's too.
* ``literature/opera``: as OPERA's code runs its seventh task, with a validation part drawn by recording.

``tasks/splits/icbhi.csv`` has them as columns ``split``, ``fold`` and ``split_opera``; in the last, recordings that
OPERA's task leaves out have the official split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.base.errors import BadInput
from bench.types import Finding, TaskCard
from tasks._shared import layout
from tasks._shared.icbhi_copy import SPLIT_FILE, Copy, key_of
from tasks._shared.labels import BINARY, ICBHI4, TO_BINARY, recount, recount_bits
from tasks._shared.table import LITERATURE

if TYPE_CHECKING:
    import pandas as pd

FOLDS = tuple(f"fold{k}" for k in range(5))
DEVICES = {f"lodo-{name}": name for name in ("AKGC417L", "LittC2SE", "Litt3200", "Meditron")}
FEWEST_PATIENTS, FEWEST_CYCLES = 10, 10  # on either side of a device left out: below, an interval says nothing

_SIZES = ("recordings", "patients", *ICBHI4)
_OFFICIAL = {
    "train": (539, 79, 2063, 1215, 501, 363),
    "test": (369, 47, 1560, 617, 373, 86),
    "test_overlap": (12, 2, 19, 32, 12, 57),
}
_CYCLES: dict[str, dict[str, tuple[int, ...]]] = {
    "": _OFFICIAL,
    "fold0": {"train": (408, 100, 2076, 666, 537, 164), "test": (512, 26, 1566, 1198, 349, 342)},
    "fold1": {"train": (859, 101, 3185, 1777, 782, 450), "test": (61, 25, 457, 87, 104, 56)},
    "fold2": {"train": (870, 101, 3239, 1757, 864, 502), "test": (50, 25, 403, 107, 22, 4)},
    "fold3": {"train": (821, 101, 3201, 1783, 681, 474), "test": (99, 25, 441, 81, 205, 32)},
    "fold4": {"train": (722, 101, 2867, 1473, 680, 434), "test": (198, 25, 775, 391, 206, 72)},
    "lodo-AKGC417L": {"train": (273, 94, 1715, 315, 386, 125), "test": (646, 32, 1922, 1543, 500, 381)},
    "lodo-LittC2SE": {"train": (808, 103, 3240, 1739, 703, 396), "test": (87, 23, 347, 77, 126, 44)},
    "lodo-Litt3200": {"train": (853, 115, 3276, 1802, 759, 444), "test": (60, 11, 336, 29, 112, 25)},
    "lodo-Meditron": {"train": (786, 62, 2586, 1639, 719, 438), "test": (127, 64, 1037, 215, 148, 56)},
}
_DISEASE2 = {
    "": {"train": (462, 51, 18, 444), "test": (354, 39, 17, 337), "test_overlap": (12, 2, 0, 12)},
    LITERATURE: {"train": (369, 48, 14, 355), "val": (93, 28, 4, 89), "test": (366, 41, 17, 349)},
}
_DISEASE3 = {
    "": {"train": (539, 79, 18, 459, 62), "test": (369, 47, 17, 339, 13), "test_overlap": (12, 2, 0, 12, 0)},
}
_RECORDINGS = {"icbhi.disease2": _DISEASE2, "icbhi.disease3": _DISEASE3}


def counts(task: str, classes: tuple[str, ...], variant: str = "") -> dict[str, dict[str, int]]:
    """``TaskCard.counts`` of a complete copy; ``task`` is the id without variant."""
    if task in _RECORDINGS:
        sizes = ("recordings", "patients", *classes)
        return {split: dict(zip(sizes, part)) for split, part in _RECORDINGS[task][variant].items()}
    cycles = {split: dict(zip(_SIZES, part)) for split, part in _CYCLES[variant].items()}
    if classes == BINARY:
        return {split: recount(part, ICBHI4, TO_BINARY, BINARY) for split, part in cycles.items()}
    return cycles if classes == ICBHI4 else {split: recount_bits(part) for split, part in cycles.items()}


def assigned(card: TaskCard, copy: Copy, findings: list[Finding]) -> dict[str, str]:
    """{recording: split} under the card's variant, for the copy's recordings that have one; findings tell of the rest.

    Raises ``BadInput`` for a published split of a simulated corpus, whose patients it does not know.
    """
    if card.variant in DEVICES:
        return _one_device_out(card, copy, findings)
    if copy.simulated and card.variant:
        problem = f"the corpus is simulated: {card.variant} does not know its patients"
        raise BadInput(layout.relative(copy.folder, copy.root), problem, f"take {card.id.partition('@')[0]}")
    shipped = {key_of(row["recording"]): row for row in layout.shipped("icbhi.csv")}
    if card.variant in FOLDS:
        test = card.variant.removeprefix("fold")
        split = {key: "test" if row["fold"] == test else "train" for key, row in shipped.items()}
    elif card.variant == LITERATURE:
        split = {key: row["split_opera"] for key, row in shipped.items()}
        _tell_overlap(card, copy, split, "test", "compare scores on it with published ones alone", findings)
    else:
        split = _official(card, copy, {key: row["split"] for key, row in shipped.items()}, findings)
    for recording in copy.recordings:
        if recording.key not in split:
            where, remedy = recording.annotation_path, f"add it to {SPLIT_FILE}, or remove it"
            findings.append(Finding("error", "no-split", where, "recording in no split", remedy))
    return split


def too_little(card: TaskCard, frame: pd.DataFrame) -> list[Finding]:
    """The errors for sides of a device left out that hold too little to train on, or to say anything about."""
    at_hand = frame[frame["available"]] if frame["available"].any() else frame
    findings = []
    for side in ("train", "test"):
        part = at_hand[at_hand["split"] == side]
        patients, abnormal = part["group"].nunique(), int((part["label"] > 0).sum())
        normal = len(part) - abnormal
        if patients < FEWEST_PATIENTS or min(normal, abnormal) < FEWEST_CYCLES:
            problem = f"{side} has {normal} normal and {abnormal} abnormal cycles of {patients} patients at hand"
            remedy = (
                f"leaving {DEVICES[card.variant]} out needs {FEWEST_CYCLES} of either kind and {FEWEST_PATIENTS} "
                f"patients on both sides: complete the corpus from {card.url}, or leave the task blank"
            )
            findings.append(Finding("error", "counts", card.id, problem, remedy))
    return findings


def _one_device_out(card: TaskCard, copy: Copy, findings: list[Finding]) -> dict[str, str]:
    device = DEVICES[card.variant]
    known = {recording.patient for recording in copy.recordings if recording.device == device}
    split = {r.key: "test" if r.device == device else "train" for r in copy.recordings}
    out = [r for r in copy.recordings if r.device != device and r.patient in known]
    if out:
        patients = ", ".join(sorted({recording.patient for recording in out}))
        problem = f"{len(out)} recordings with other devices are left out: their patients ({patients}) are in the test"
        findings.append(Finding("note", "left-out", layout.relative(copy.folder, copy.root), problem))
    return {key: side for key, side in split.items() if key not in {recording.key for recording in out}}


def _official(card: TaskCard, copy: Copy, shipped: dict[str, str], findings: list[Finding]) -> dict[str, str]:
    """The official split as the copy's own file has it, else as shipped.

    The test recordings of patients in both halves are ``test_overlap``.
    """
    split = {} if copy.simulated else dict(shipped)
    split |= copy.split_file(None if copy.simulated else shipped, findings)
    train = {key[:3] for key, half in split.items() if half == "train"}
    both = train & set(card.known_overlap)
    split = {key: "test_overlap" if half == "test" and key[:3] in both else half for key, half in split.items()}
    _tell_overlap(card, copy, split, "test_overlap", "these count in the official test alone", findings)
    return split


def _tell_overlap(
    card: TaskCard, copy: Copy, split: dict[str, str], test: str, remedy: str, findings: list[Finding]
) -> None:
    """A note on the recordings in ``test`` of patients whom training knows."""
    overlap = sum(split.get(r.key) == test and r.patient in card.known_overlap for r in copy.recordings)
    if overlap:
        names = " and ".join(card.known_overlap)
        problem = f"{overlap} test recordings are of patients {names}, who are in both halves of the official split"
        findings.append(Finding("note", "known-overlap", SPLIT_FILE, problem, remedy))
