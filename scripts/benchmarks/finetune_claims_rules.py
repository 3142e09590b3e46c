"""What is claimed of which method, and how it is measured: fixed before the runs."""

from __future__ import annotations

from dataclasses import dataclass

from finetune_claims_corpora import CONTROLS, EVEN, LONG_TAIL, NO_SHORTCUT, NO_SIGNATURE, PATIENTS, SHORTCUT, WORN

RARE, UAR, GAP = "recall of d", "UAR", "gap"
DEVICE_PROBE, PATIENT_PROBE, PROBE = "device probe", "patient probe", "probe"
IN_DOMAIN, OUT_OF_DOMAIN = "UAR in-domain", "UAR out of domain"
BASE, NO_MARGIN, PATCH_MIX = "ce", "cosine, no margin", "patchmix-cl"
FIXED, BY_QUALITY, BY_CLASS, ANGULAR = "qlung, fixed", "qlung, quality", "qlung, quality and class", "qlung"
SMALL_PAFA, MIXSTYLE = "pafa, as for CNN6", "Freq-MixStyle"
HALF_EVEN = "log-margin, gamma 0.5"  # quality-margin without the quality
_BY_CLASS = {RARE: ("test", "recall.3"), UAR: ("test", "uar")}
_BY_DEVICE = {
    DEVICE_PROBE: (PROBE, "uar"),
    GAP: ("", "uar"),
    IN_DOMAIN: ("test", "uar"),
    OUT_OF_DOMAIN: ("test_ood", "uar"),
}
_BY_PATIENT = {PATIENT_PROBE: (PROBE, "uar"), UAR: ("test", "uar")}
MEASURES = {  # {corpus: {measure: (test, metric)}}
    LONG_TAIL.name: _BY_CLASS,
    EVEN.name: _BY_CLASS,
    WORN.name: {UAR: ("test", "uar")},
    SHORTCUT.name: _BY_DEVICE,
    NO_SHORTCUT.name: _BY_DEVICE,
    PATIENTS.name: _BY_PATIENT,
    NO_SIGNATURE.name: _BY_PATIENT,
}
AGAINST = {  # others: BASE
    BASE: (),
    "log-margin": (BASE, NO_MARGIN),
    "quality-margin": (BASE, NO_MARGIN),
    HALF_EVEN: (BASE, "quality-margin"),
    BY_QUALITY: (BASE, FIXED),
    BY_CLASS: (BASE, BY_QUALITY),
    ANGULAR: (BASE, BY_CLASS),
}


@dataclass(frozen=True)
class Claim:
    """That a method's measure on a corpus lies above (``direction`` 1) or below (−1) that of another row."""

    words: str
    corpus: str
    measure: str
    method: str
    against: str = BASE
    direction: int = 1


_TAIL, _DEVICE, _WORN, _PATIENT = LONG_TAIL.name, SHORTCUT.name, WORN.name, PATIENTS.name
CLAIMS = (
    Claim("log-scaled margins raise the rare class's recall", _TAIL, RARE, "log-margin"),
    Claim("so do margins by quality and class", _TAIL, RARE, "quality-margin"),
    Claim("so do class weights", _TAIL, RARE, "ce-weighted"),
    Claim("QLung's margin by class raises the rare class's recall", _TAIL, RARE, BY_CLASS, BY_QUALITY),
    Claim("QLung's ladder: the fixed margin raises UAR", _TAIL, UAR, FIXED),
    Claim("the margin by quality in its place", _TAIL, UAR, BY_QUALITY, FIXED),
    Claim("class beside quality", _TAIL, UAR, BY_CLASS, BY_QUALITY),
    Claim("the angular classifier", _TAIL, UAR, ANGULAR, BY_CLASS),
    Claim("QLung raises UAR", _TAIL, UAR, ANGULAR),
    Claim("contrast with clips mixed along axes raises UAR", _TAIL, UAR, "dual-axis-patchmix-style"),
    Claim("QLung's margin by quality raises UAR where clips are worn", _WORN, UAR, BY_QUALITY, FIXED),
    Claim("adversarial training lowers the device probe", _DEVICE, DEVICE_PROBE, "dat", direction=-1),
    Claim("adversarial training lowers the gap out of domain", _DEVICE, GAP, "dat", direction=-1),
    Claim("adversarial contrast lowers the device probe", _DEVICE, DEVICE_PROBE, "supcon-dat", direction=-1),
    Claim("adversarial contrast lowers the gap out of domain", _DEVICE, GAP, "supcon-dat", direction=-1),
    Claim("Freq-MixStyle lowers the device probe", _DEVICE, DEVICE_PROBE, MIXSTYLE, direction=-1),
    Claim("Freq-MixStyle lowers the gap out of domain", _DEVICE, GAP, MIXSTYLE, direction=-1),
    Claim("PAFA raises UAR on unseen patients", _PATIENT, UAR, "pafa"),
    Claim("PAFA lowers the patient probe", _PATIENT, PATIENT_PROBE, "pafa", direction=-1),
    Claim("PAFA in its weaker setting raises UAR on unseen patients", _PATIENT, UAR, SMALL_PAFA),
    Claim("PAFA in its weaker setting lowers the patient probe", _PATIENT, PATIENT_PROBE, SMALL_PAFA, direction=-1),
    Claim("joined cycles with patient matching raise UAR on unseen patients", _PATIENT, UAR, "pc-mcl-style"),
)
IN_TABLES = (  # whose verdicts stand in a table alone
    Claim("the log-scaled margin beside no margin", _TAIL, RARE, "log-margin", NO_MARGIN),
    Claim("margins by quality and class beside no margin", _TAIL, RARE, "quality-margin", NO_MARGIN),
)


def direction(corpus: str, measure: str, method: str, against: str) -> int:
    """The direction that is claimed for a difference, in a corpus or in one whose control it is; 0 where none is."""
    planted = {corpus, *(name for name, control in CONTROLS.items() if control == corpus)}
    found = [
        claim
        for claim in (*CLAIMS, *IN_TABLES)
        if claim.corpus in planted and (claim.measure, claim.method, claim.against) == (measure, method, against)
    ]
    return found[0].direction if found else 0
