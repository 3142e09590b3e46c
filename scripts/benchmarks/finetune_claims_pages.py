"""The page of claims about fine-tuning: tables, rules and verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from finetune_claims_corpora import (
    CONTROLS,
    CORPORA,
    IDENTITIES,
    LONG_TAIL,
    OFTEN,
    PATIENTS,
    SHORTCUT,
    SIGNATURE_SD_DB,
    TILT_DB,
    WORN,
    WORN_SNR_DB,
    Corpus,
    attainable,
)
from finetune_claims_numbers import LEVEL, by_patient, qualities
from finetune_claims_quality import SILENCES
from finetune_claims_rules import AGAINST, BASE, CLAIMS, HALF_EVEN, MEASURES, PATCH_MIX, RARE, Claim
from scipy.stats import f

from bench.reports.tables import DISCLAIMER, markdown
from bench.scores.printed import BLANK

BEYOND = "seeds, beyond the control"
EXACT = 1e-9  # how far a quality may be from its definition: rounding
WORSE = 0.10  # how far the last epoch's validation score may lie below the best one of a stable run


def _answers(table: pd.DataFrame, stable: str, reacts: str) -> str:
    """What became of every claim, and of the same difference where nothing is planted."""
    lines = []
    for claim in CLAIMS:
        own = _verdicts(table, claim, claim.corpus)
        control = _verdicts(table, claim, CONTROLS[claim.corpus])
        cells = [own.get("seeds", BLANK), own.get("patients", BLANK)]
        cells += [control.get("seeds", BLANK), control.get("patients", BLANK)]
        lines.append([claim.words, f"`{claim.corpus}`", claim.method, claim.against, *cells])
    for claim, text in (("Patch-Mix CL trains stably", stable), ("quality reacts as defined", reacts)):
        said = text.rpartition("Verdict: ")[2].replace("*", "").partition(";")[0].rstrip(".")
        lines.append([claim, f"`{LONG_TAIL.name}`", BLANK, BLANK, said, BLANK, BLANK, BLANK])
    head = ["claim", "corpus", "row", "against", "over seeds", "over patients"]
    return markdown([*head, "control: over seeds", "over patients"], lines)


def _verdicts(table: pd.DataFrame, claim: Claim, corpus: str) -> dict[str, str]:
    """{over what: verdict} of a claim's difference in a corpus."""
    keys = {"corpus": corpus, "measure": claim.measure, "method": claim.method, "against": claim.against}
    own = table[np.logical_and.reduce([table[name] == key for name, key in keys.items()])]
    return dict(zip(own["over"], own["verdict"], strict=True))


def _beyond(table: pd.DataFrame) -> str:
    """The differences of claims beyond those of their controls."""
    lines = []
    for r in table[table["over"] == BEYOND].itertuples():
        span = _spanned(*(100 * x for x in (r.value, r.low, r.high)), digits=1)
        lines.append([f"`{r.corpus}`", f"`{CONTROLS[r.corpus]}`", r.measure, r.method, r.against, span, r.verdict])
    head = ["corpus", "control", "measure", "row", "against", "beyond the control, over seeds", "effect"]
    return markdown(head, lines, right=range(5, 7))


def _after(table: pd.DataFrame) -> list[str]:
    chosen = table[(table["corpus"] == SHORTCUT.name) | (table["method"] == HALF_EVEN)]
    return [
        f"**{measure[0].upper() + measure[1:]}** (%)\n\n{_grid(rows)}"
        for measure, rows in chosen.groupby("measure", sort=False)
    ]


def stability(each: pd.DataFrame, method: str = PATCH_MIX) -> str:
    """The table of a method's runs beside those of ``ce``, and the verdict by the rule in ``report``; ``each`` as
    ``per_run`` has it."""
    each = each[each["corpus"] == LONG_TAIL.name]
    ours, base = (each[each["method"] == name] for name in (method, BASE))
    ratio, n = ours["UAR"].std() / base["UAR"].std() if base["UAR"].std() else math.nan, len(ours)
    low, high = (ratio / math.sqrt(f.ppf(p, n - 1, n - 1)) for p in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    fallen = ours["best_validation"] - ours["last_validation"]
    tests = {
        "no seed diverged": bool((ours["stopped"] == "").all()),
        "the loss fell in every seed": bool((ours["last_loss"] < ours["first_loss"]).all()),
        f"the last epoch within {100 * WORSE:.0f} points of the best": bool((fallen <= WORSE).all()),
        "the spread over seeds is not larger than with ce": not low > 1,
    }
    lines = [
        [r.method, str(r.seed), f"{r.first_loss:.3f}", f"{r.last_loss:.3f}"]
        + [_points(x) for x in (r.best_validation, r.last_validation, r.UAR)]
        for r in pd.concat([base, ours]).itertuples()
    ]
    head = ["method", "seed", "loss, first epoch", "last", "validation UAR, best", "last epoch", "test UAR"]
    told = f"SD over seeds {ratio:.2f} times that of ce (95 % F interval {low:.2f} to {high:.2f})"
    return f"{markdown(head, lines, right=range(1, len(head)))}\n\n{told}. {_settled(tests, 'stable')}"


def _settled(tests: Mapping[str, bool], word: str) -> str:
    failed = [name for name, holds in tests.items() if not holds]
    return f"Verdict: **not {word}**; what fails: {'; '.join(failed)}." if failed else f"Verdict: **{word}**."


def report(
    table: pd.DataFrame,
    each: pd.DataFrame,
    quality: pd.DataFrame,
    grades: pd.DataFrame,
    after: pd.DataFrame,
    facts: str,
) -> str:
    """claims.md; arguments are what ``finetune_claims.results`` collects."""
    stable, reacts = stability(each), _reactions(quality)
    parts = ["# Claims about fine-tuning, on corpora with known answers", f"**{DISCLAIMER}**"]
    parts += [_answers(table, stable, reacts), facts, _RULES]
    for corpus, title in ((LONG_TAIL, _LONG_TAIL), (WORN, _WORN), (SHORTCUT, _SHORTCUT), (PATIENTS, _PATIENTS)):
        parts.append(title)
        parts += [_grades(grades)] if corpus is WORN else []
        parts += [_known(corpus), *_measured(table, corpus.name)]
    parts += [_CONTROLS, _beyond(table)]
    for name in dict.fromkeys(CONTROLS.values()):
        parts += [f"### `{name}`", _known(CORPORA[name]), *_measured(table, name)]
    parts += [_STABLE, stable, _QUALITY, reacts, _AFTER, *_after(after)]
    return "\n\n".join(parts) + "\n"


def _measured(table: pd.DataFrame, corpus: str) -> list[str]:
    """The tables of a corpus's measures."""
    own = table[(table["corpus"] == corpus) & (table["over"] != BEYOND)]
    return [
        f"**{measure[0].upper() + measure[1:]}** (%)\n\n{_grid(own[own['measure'] == measure])}"
        for measure in MEASURES[corpus]
    ]


def _grades(grades: pd.DataFrame) -> str:
    """What the noise does to the quality of the clips that have it."""
    lines = []
    for name, rows in grades.groupby("definition", sort=False):
        change = _spanned(float(rows["change"].mean()), *by_patient(rows))
        lines.append([name, str(len(rows)), f"{rows['clear'].mean():.3f}", f"{rows['worn'].mean():.3f}", change])
    head = ["quality", "worn clips", "before the noise", "after it", "change, over patients"]
    return markdown(head, lines, right=range(1, len(head)))


def _reactions(quality: pd.DataFrame) -> str:
    """The table of conditions, and the verdict by the rule in ``report``."""
    table, lines = qualities(quality), []
    for (condition, db), rows in quality.groupby(["condition", "db"], sort=False, dropna=False):
        name = condition if math.isnan(db) else f"{condition}, {db:g} dB"
        own = table[table["method"] == name].itertuples()
        alone, *changes = [(one.value, one.low, one.high) for one in own]
        told = [_spanned(*span) for span in changes] or [BLANK] * 2
        lines.append([name, f"{alone[0]:.3f}", *told, f"{rows['margin'].mean():.3f}", f"{rows['off'].max():.0e}"])
    head = ["condition", "q", "change, over seeds", "over patients", "margin (rad)", "off the definition"]
    tests = {
        "q is what the definition says": bool(quality["off"].max() <= EXACT),
        "q of silence is 0": bool((quality.loc[quality["condition"].isin(SILENCES), "q"] == 0).all()),
        "noise at equal level lowers q at every level": not {"absent", "reversed"} & set(table["verdict"]),
    }
    return f"{markdown(head, lines, right=range(1, len(head)))}\n\n{_settled(tests, 'as defined')}"


def _known(corpus: Corpus) -> str:
    """The best possible recalls, in words."""
    parts = []
    priors = [("even", "by pitch alone")]
    if corpus is SHORTCUT:
        priors.insert(0, ("device", "trusting the device as in training"))
    if corpus is LONG_TAIL:
        priors = [("train", "at the training's shares"), ("even", "at even shares")]
    for split in (name for name in corpus.splits if name != "train"):
        for prior, told in priors:
            found = attainable(corpus, split, prior)
            uar = 100 * float(np.mean(list(found.values())))
            rare = f", {RARE} {100 * found['d']:.1f}" if RARE in MEASURES[corpus.name] else ""
            parts.append(f"{split}, {told}: UAR {uar:.1f}{rare}")
    worn = ", of clips without noise" if corpus.worn else ""
    return f"What the best rule reaches (%{worn}): " + "; ".join(parts) + "."


def _grid(rows: pd.DataFrame) -> str:
    lines = []
    for method in dict.fromkeys(rows["method"]):
        own = rows[rows["method"] == method]
        alone = own[own["against"] == ""].iloc[0]
        means = [method, str(alone["n"]), _points(alone["value"]), _points(alone["sd"])]
        for base in AGAINST.get(method, (BASE,)) or ("",):
            cells = [base or BLANK]
            for over in ("seeds", "patients"):
                found = own[(own["against"] == base) & (own["over"] == over)] if base else own[:0]
                span = [100 * found.iloc[0][name] for name in ("value", "low", "high")] if len(found) else None
                cells += [_spanned(*span, digits=1), found.iloc[0]["verdict"]] if span else [BLANK, BLANK]
            lines.append(means + cells)
    head = ["method", "seeds", "mean", "SD over seeds", "difference to", "over seeds", "effect"]
    head += ["over patients", "effect"]
    return markdown(head, lines, right=range(1, len(head)))


def _points(share: float) -> str:
    return BLANK if math.isnan(share) else f"{100 * share:.1f}"


def _spanned(middle: float, low: float, high: float, digits: int = 3) -> str:
    return f"{middle:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


_RULES = f"""\
**Rule, fixed before the runs.** A row's effect is its difference to `{BASE}`, or to the row named, on the same corpus,
initial weights and validation patients, seed by seed. *Over seeds*: mean and 95 % t interval of the seeds' differences,
which says how far chance in training, and in who validates, goes, for this corpus. *Over patients*: 95 % interval by
bootstrap of the test patients, for these seeds. The two are never merged. An effect is **seen** where the interval
excludes 0 in the direction that is claimed, **reversed** where it excludes 0 in the other, else **absent**. Where no
direction is claimed there is a dash. The gap of two tests has other patients on each side, so it has no interval over
patients. Nothing is corrected for the number of comparisons. Test scores are those of the epoch that was best on
validation patients, who have the training corpus's class shares and shortcut. A *control* is the corpus without what is
planted: an effect that is seen there too has another reason."""

_LONG_TAIL = """\
## A long tail of classes

Four classes with 60, 25, 10 and 5 % of the training clips, each a pitch; they overlap, and the rarest (`d`) lies
beside the most frequent. The test has as many clips of each. Claimed: log-scaled margins raise the recall of `d`.
Beside it, for the same recall: class weights; the margin by quality and class; and `log-margin` with a target of 0,
which is the cosine classifier without a margin, so that the difference to `log-margin` is the margin's own.

QLung's ladder, each row beside the one before: a fixed margin, the margin by quality, the margin by quality and class,
all three beside a linear classifier, and the angular classifier in its place, which is `qlung` as published. Claimed:
every step raises UAR, as in the paper's ablation, and the margin by class raises the recall of `d`. Nothing about
quality is planted here. Of `dual-axis-patchmix-style` it is claimed that it raises UAR, as its source reports of
another network."""

_WORN = f"""\
## Worn clips

The same pitches at even shares, in training and test. White noise at {WORN_SNR_DB:g} dB lies over half of all clips,
whichever their class, at the level that they had, so that it is the spectrum alone that tells quality. Claimed: QLung's
margin by quality, which asks less of worn clips, raises UAR over the fixed margin. What the noise does to the quality
of the training clips that have it, by definition of quality:"""

_SHORTCUT = """\
## A planted shortcut

Two classes by pitch, two devices by the tilt of the spectrum. In training and in the in-domain test 80 % of a device's
clips are of the class that goes with it; out of domain 20 %. *Gap*: UAR in-domain minus UAR out of domain. *Device
probe*: UAR of the linear probe that reads the device off the frozen trained encoder, on other patients among whom
device and class are independent; 50 is chance. Claimed: adversarial training lowers both, and so does Freq-MixStyle, of
which a band's mean and deviation are what a tilt changes; it acts in half of the batches, beside `ce`. The two tests
have 24 patients each: few enough for their intervals over patients to be optimistic."""

_PROBED = IDENTITIES.splits["known"].patients
_PATIENTS = f"""\
## Patients with a signature

Four classes by the pitches of two bands, each high or low: normal, crackle, wheeze and both. Every patient colours all
its clips by resonances of its own ({SIGNATURE_SD_DB:g} dB SD, three of them), and {100 * OFTEN:.0f} % of a patient's
clips are of one class, so that who it is tells the class of a training clip, and nothing about patients that are new.
*UAR*: of test patients, who are all new. *Patient probe*: UAR of the linear probe that tells {_PROBED} other
patients apart by the frozen trained encoder, trained on half of each one's clips and tested on the rest; chance is
{100 / _PROBED:.1f}. Its interval over patients takes the halves of these patients' clips. Recordings of
these patients are tilted by {TILT_DB["A"]:g} dB an octave, those of the corpus are not: all of them alike, so it tells
nobody apart, but the encoder was trained without it. Claimed: PAFA raises
UAR, and lowers the probe; joined cycles with patient matching raise UAR. That the probe should fall is our reading of
an alignment of patients: PAFA's other loss draws the clips of a patient together and patients apart."""

_CONTROLS = f"""\
## Controls

Each corpus again without what is planted: `even` has even shares and no noise, and is the control of
`{LONG_TAIL.name}`, at half its training clips, and of `{WORN.name}`, whose very sounds it has; in `no_shortcut` a
device's clips are of either class alike; in `no_signature` patients colour their clips no more than elsewhere, and
encoders are probed on the same patients with signatures. *Beyond the control*: the difference in the corpus minus that
in its control, seed by seed, with the rule's interval over seeds. Where it is absent, what is planted is not shown to
be the reason of an effect. Only claims whose rows were run in the control are listed."""

_STABLE = f"""\
## Patch-Mix CL trains stably

On the corpus with the long tail. Rule: no loss that is not finite in any seed; in every seed the last epoch's mean
loss below the first's, and the validation UAR of the last epoch at most {100 * WORSE:.0f} points below the best
epoch's; the 95 % F interval of the ratio of standard deviations over seeds, in test UAR, not above 1. Its score beside
`{BASE}` is in the table of UAR above."""

_QUALITY = """\
## The quality weight

Every third test clip of the corpus with the long tail; bounds of loudness from the training clips of each seed, which
also draws the noise. *Off the definition*: the largest distance of a clip's q from 0.4 (1 − entropy) + 0.6 loudness,
entropy measured and loudness from the clip's level and what the condition does to it by construction. *Margin*:
0.2 q + 0.1. Rule: q is as defined (to rounding) in every condition, 0 for silence, and falls with noise at equal
level at every SNR, over seeds and over patients. Where the level is free noise also makes a clip louder, which the
definition counts as better: no direction is claimed there."""

_AFTER = """\
## After the fact

Planned when the tables above were known; no direction is claimed and nothing above was changed for it. Two questions.
Do validation patients, who carry the shortcut, choose epochs at which the reversed gradient, whose strength grows from
0 over the run, has hardly acted? Below, the shortcut's corpus at the last epoch of the same runs. Is it the quality,
or the margin shared by all classes, that costs `quality-margin` the rare class? Below, `log-margin` with that share
(gamma 0.5) in place of the quality, on the long tail."""
