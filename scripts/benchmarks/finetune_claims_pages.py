"""The page of claims about fine-tuning: tables, rules and verdicts in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from finetune_claims_corpora import LONG_TAIL, SHORTCUT, Corpus, attainable
from finetune_claims_numbers import AGAINST, BASE, GAP, HALF_EVEN, LEVEL, MEASURES, PATCH_MIX, PROBE, RARE, qualities
from finetune_claims_quality import SILENCES
from scipy.stats import f

from bench.reports.tables import DISCLAIMER, markdown
from bench.scores.printed import BLANK

CLAIMS = (
    ("log-scaled margins raise the rare class's recall", LONG_TAIL, RARE, "log-margin"),
    ("so do margins by quality and class", LONG_TAIL, RARE, "quality-margin"),
    ("so do class weights", LONG_TAIL, RARE, "ce-weighted"),
    ("adversarial training lowers the device probe", SHORTCUT, PROBE, "dat"),
    ("adversarial training lowers the gap out of domain", SHORTCUT, GAP, "dat"),
    ("adversarial contrast lowers the device probe", SHORTCUT, PROBE, "supcon-dat"),
    ("adversarial contrast lowers the gap out of domain", SHORTCUT, GAP, "supcon-dat"),
)
EXACT = 1e-9  # how far a quality may be from its definition: rounding
WORSE = 0.10  # how far the last epoch's validation score may lie below the best one of a stable run


def _answers(table: pd.DataFrame, stable: str, reacts: str) -> str:
    """What became of every claim."""
    lines = []
    for claim, corpus, measure, method in CLAIMS:
        keys = {"corpus": corpus.name, "measure": measure, "method": method, "against": BASE}
        own = table[np.logical_and.reduce([table[name] == key for name, key in keys.items()])]
        found = dict(zip(own["over"], own["verdict"]))
        lines.append([claim, f"`{method}`", found.get("seeds", BLANK), found.get("patients", BLANK)])
    for claim, text in (("Patch-Mix CL trains stably", stable), ("quality reacts as defined", reacts)):
        lines.append(
            [claim, BLANK, text.rpartition("Verdict: ")[2].replace("*", "").partition(";")[0].rstrip("."), BLANK]
        )
    return markdown(["claim", "method", "over seeds", "over patients"], lines)


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


def report(table: pd.DataFrame, each: pd.DataFrame, quality: pd.DataFrame, after: pd.DataFrame, facts: str) -> str:
    """claims.md."""
    stable, reacts = stability(each), _reactions(quality)
    parts = ["# Claims about fine-tuning, on corpora with known answers", f"**{DISCLAIMER}**"]
    parts += [_answers(table, stable, reacts), facts, _RULES]
    for corpus, title in ((LONG_TAIL, _LONG_TAIL), (SHORTCUT, _SHORTCUT)):
        parts.append(title)
        parts.append(_known(corpus))
        for measure in MEASURES[corpus.name]:
            chosen = table[(table["corpus"] == corpus.name) & (table["measure"] == measure)]
            parts.append(f"**{measure[0].upper() + measure[1:]}** (%)\n\n{_grid(chosen)}")
    parts += [_STABLE, stable, _QUALITY, reacts, _AFTER, *_after(after)]
    return "\n\n".join(parts) + "\n"


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
    trained, even = ("train", "at the training's shares"), ("even", "at even shares")
    if corpus is SHORTCUT:
        trained, even = ("device", "trusting the device as in training"), ("even", "by pitch alone")
    for split in (name for name in corpus.splits if name != "train"):
        for prior, told in (trained, even):
            found = attainable(corpus, split, prior)
            uar = 100 * float(np.mean(list(found.values())))
            rare = f", {RARE} {100 * found['d']:.1f}" if "d" in found else ""
            parts.append(f"{split}, {told}: UAR {uar:.1f}{rare}")
    return "What the best rule reaches (%): " + "; ".join(parts) + "."


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
**Rule, fixed before the runs.** A method's effect is its difference to `{BASE}` on the same corpus, initial weights
and validation patients, seed by seed. *Over seeds*: mean and 95 % t interval of the seeds' differences, which says how
far chance in training, and in who validates, goes, for this corpus. *Over patients*: 95 % interval by bootstrap of the
test patients, for these seeds. The two are never merged. An effect is **seen** where the interval excludes 0 in the
direction that is claimed, **reversed** where it excludes 0 in the other, else **absent**. Where no direction is
claimed there is a dash. The gap of two tests has other patients on each side, so it has no interval over patients.
Nothing is corrected for the number of comparisons. Test scores are those of the epoch that was best on validation
patients, who have the training corpus's class shares and shortcut."""

_LONG_TAIL = """\
## A long tail of classes

Four classes with 60, 25, 10 and 5 % of the training clips, each a pitch; they overlap, and the rarest (`d`) lies
beside the most frequent. The test has as many clips of each. Claimed: log-scaled margins raise the recall of `d`.
Beside it, for the same recall: class weights; the margin by quality and class; and `log-margin` with a target of 0,
which is the cosine classifier without a margin, so that the difference to `log-margin` is the margin's own."""

_SHORTCUT = """\
## A planted shortcut

Two classes by pitch, two devices by the tilt of the spectrum. In training and in the in-domain test 80 % of a device's
clips are of the class that goes with it; out of domain 20 %. *Gap*: UAR in-domain minus UAR out of domain. *Device
probe*: UAR of the linear probe that reads the device off the frozen trained encoder, on other patients among whom
device and class are independent; 50 is chance. Claimed: adversarial training lowers both. The two tests have 24
patients each: few enough for their intervals over patients to be optimistic."""

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
