"""Compares rules of selection on trials that are solved: python scripts/benchmarks/selection.py FOLDER [--write]

FOLDER holds the trials of selection_cells.py and, in ``simulated``, of selection_simulated.py. For every cell (task,
encoder, pooling) and rule: the mean test score, and how far it moves over draws of dither of one 16-bit step, over
draws of the folds and over code paths of the processor. ``--write`` puts the tables into results/selection/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import selection_simulated as simulated
from selection_cells import DISTURBED, ENCODERS, TASKS, file_of
from selection_rules import OF_DRAWN, OF_LOSS, RULES, best
from selection_trials import Trial

from bench.base import registry
from bench.reports.pages import seal_pages
from bench.reports.tables import markdown
from bench.scores import metrics
from bench.scores.metrics import Roles

REPLICATES = 100
CELL, KINDS = ["task", "encoder", "pooling"], ("dither", "folds", "paths")
FIXED = "the undisturbed choice of version 2, whatever the disturbance"
FIRST, CHOSEN = "best (version 2)", "version 3: mean, linear to 0.05, e a decade"
FOLDER = Path(__file__).parents[2] / "results" / "selection"
COMMANDS = """    python scripts/benchmarks/selection_cells.py runs/selection
    python scripts/benchmarks/selection_simulated.py runs/selection/simulated
    python scripts/benchmarks/selection.py runs/selection --write
"""
ABOUT = """The probe `linear` compares 46 candidates (23 values of C, two class weights) by their score on patients held
out of training. Where that curve is flat, noise decides which of them is the best: rounding that differs between
processors, and how patients are dealt into folds. Each rule below turns the same scores into a probe. *Score*: the main
metric on the headline test, in percent, the mean over cells, and over draws in each. *Dither*: how far it moves over
draws of dither of one 16-bit step. *Folds*: over draws of the folds. Both are standard deviations, the root of their
mean square over cells. *Paths*: the range over code paths of the processor (ATen's default, AVX2, the machine's own).
The last row is no rule: one candidate for every disturbance, chosen on features as they are; what it moves by dither
is what the disturbed features do to the same probe, which no choice of one candidate can take away. *Decisions drawn*:
held-out scores not of the most probable class but expected when classes are drawn from sharpened probabilities.
*Log loss*: held-out log loss in place of the score, every class counting alike.
SE is the bootstrap standard error, over patients, of the best candidate's score; *behind* is the distance from the best
score.
"""


def scores_of(trial: Trial, metric: str, roles: Roles, undisturbed: Trial) -> pd.DataFrame:
    """Test score in percent of every rule and group of fold draws: columns ``rule``, ``fold`` and ``score``."""
    rows = []
    held_out = _held_out(trial)
    errors = [standard_error(trial, draw, metric, roles) for draw in range(len(held_out))]
    for name, (rule, draws) in RULES.items():
        for fold in range(0, len(held_out) - draws + 1, draws):
            several = slice(fold, fold + draws)
            shares = rule(held_out[several].mean(axis=0), float(np.mean(errors[several])))
            rows.append({"rule": name, "fold": fold, "score": _tested(trial, shares, metric, roles)})
    for name, (rule, _, position) in OF_DRAWN.items():
        for fold in range(len(held_out)):
            shares = rule(trial.softened[fold, position], errors[fold])
            rows.append({"rule": name, "fold": fold, "score": _tested(trial, shares, metric, roles)})
    for name, rule in OF_LOSS.items():
        for fold in range(len(held_out)):
            shares = rule(-trial.losses[fold], 0.0)
            rows.append({"rule": name, "fold": fold, "score": _tested(trial, shares, metric, roles)})
    fixed = best(_held_out(undisturbed)[0], 0.0)
    if np.isfinite(trial.log_proba[fixed > 0]).all():  # else its path ended before
        rows.append({"rule": FIXED, "fold": 0, "score": _tested(trial, fixed, metric, roles)})
    return pd.DataFrame(rows)


def _held_out(trial: Trial) -> np.ndarray:
    """Scores (S, C, W) on held-out rows; NaN beyond a path's end."""
    beyond = np.arange(trial.scores.shape[1])[None, :, None] >= trial.solved[:, None, :]
    return np.where(beyond, np.nan, trial.scores)


def _tested(trial: Trial, shares: np.ndarray, metric: str, roles: Roles) -> float:
    """Test score in percent of a probe that is the candidates' mean under shares (C, W)."""
    if (np.isnan(trial.log_proba).any(axis=(2, 3)) & (shares > 0)).any():
        raise RuntimeError("a rule takes a candidate that was not solved")
    log_proba = np.einsum("cw,cwnk->nk", shares, np.nan_to_num(trial.log_proba).astype(float))
    return 100 * metrics.evaluate(metric, trial.tested, log_proba.argmax(axis=1), log_proba, roles)


def standard_error(trial: Trial, draw: int, metric: str, roles: Roles) -> float:
    """Bootstrap standard error, over patients, of the best candidate's score on held-out rows."""
    solved = np.arange(trial.scores.shape[1])[:, None] < trial.solved[draw]
    best = int(np.where(solved, trial.scores[draw], -np.inf).argmax())
    decided = trial.decisions[draw].reshape(-1, len(trial.labels))[best]
    groups = np.unique(trial.groups, return_inverse=True)[1]
    k, patients = trial.log_proba.shape[-1], int(groups.max()) + 1
    counts = np.zeros((patients, k, k))
    np.add.at(counts, (groups, trial.labels, decided), 1)
    weights = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), REPLICATES)
    fn = metrics.get(metric).fn
    return float(np.nanstd([fn(each, roles) for each in np.tensordot(weights, counts, 1)]))


def real(folder: Path) -> pd.DataFrame:
    """Every score on the real tasks: ``CELL``, ``disturbed``, ``rule``, ``fold`` and ``score``."""
    parts = []
    for task in TASKS:
        card = registry.task_card(task)
        for encoder, poolings in ENCODERS.items():
            for pooling in poolings:
                files = {each: file_of(folder, task, encoder, pooling, each) for each in DISTURBED}
                if not files["plain"].exists():
                    continue
                undisturbed = Trial.load(files["plain"])
                for disturbed, path in files.items():
                    if path.exists():
                        scores = scores_of(Trial.load(path), card.main_metric, Roles.of(card), undisturbed)
                        parts.append(scores.assign(task=task, encoder=encoder, pooling=pooling, disturbed=disturbed))
    return pd.concat(parts, ignore_index=True)


def on_simulated(folder: Path) -> pd.DataFrame:
    """Every score on simulated corpora; of a cell's names the first is the signal, the second the corpus."""
    parts = []
    for signal in simulated.SIGNALS:
        for seed in range(simulated.CORPORA):
            undisturbed = Trial.load(folder / simulated.name(signal, seed, 0))
            for draw in range(simulated.DRAWS):
                path = folder / simulated.name(signal, seed, draw)
                if path.exists():
                    disturbed = f"dither-{draw - 1}" if draw else "plain"
                    scores = scores_of(Trial.load(path), simulated.METRIC, simulated.ROLES, undisturbed)
                    parts.append(
                        scores.assign(task=f"signal {signal:g}", encoder=seed, pooling="", disturbed=disturbed)
                    )
    return pd.concat(parts, ignore_index=True)


def spreads(scores: pd.DataFrame) -> pd.DataFrame:
    """Per cell and rule: ``score``, and ``dither``, ``folds``, ``paths``, with the number of draws of each."""
    out = []
    for keys, part in scores.groupby([*CELL, "rule"], sort=False):
        first = part[part["fold"] == 0]
        kind = first["disturbed"].str.partition("-")[0]
        dither, paths = first[kind == "dither"]["score"], first[kind != "dither"]["score"]
        folds = part[part["disturbed"] == "plain"]["score"]
        spread = {
            "score": part.groupby("disturbed")["score"].mean().mean(),
            "dither": dither.std() if len(dither) > 1 else np.nan,
            "folds": folds.std() if len(folds) > 1 else np.nan,
            "paths": paths.max() - paths.min() if len(paths) > 1 else np.nan,
        }
        counts = {"dither draws": len(dither), "fold draws": len(folds), "code paths": len(paths)}
        out.append(dict(zip([*CELL, "rule"], keys, strict=True)) | spread | counts)
    return pd.DataFrame(out)


def by_rule(cells: pd.DataFrame) -> str:
    """A row for each rule, with its spreads as parts of the first one's; on the cells that all rules have."""
    kinds = [kind for kind in KINDS if cells[kind].notna().any()]
    rows = {}
    for rule, part in cells.groupby("rule", sort=False):
        shared = cells[cells["rule"] == FIRST].set_index(CELL).loc[part.set_index(CELL).index]
        rows[rule] = [f"{part['score'].mean():.2f}", f"{part['score'].mean() - shared['score'].mean():+.2f}"]
        for kind in kinds:
            own = part.set_index(CELL)[kind]
            known = own.notna() & shared[kind].notna()
            ours, theirs = (float(np.sqrt(np.mean(np.square(each[known])))) for each in (own, shared[kind]))
            ratio = f" ({ours / theirs:.0%})" if known.any() and theirs > 0 else ""
            rows[rule].append(f"{ours:.2f}{ratio}" if known.any() else "–")
    header = ["rule", "score", "against version 2", *kinds]
    return markdown(header, [[name, *row] for name, row in rows.items()], right=range(1, len(header)))


def by_cell(cells: pd.DataFrame) -> str:
    """The first and the chosen rule in every cell."""
    found = cells.set_index([*CELL, "rule"]).unstack("rule")
    rows = []
    for cell in cells.drop_duplicates(CELL)[CELL].itertuples(index=False):
        of_cell = found.loc[tuple(cell)]
        pairs = [[of_cell[column, rule] for rule in (FIRST, CHOSEN)] for column in ("score", *KINDS)]
        shown = ["–" if np.isnan(each).all() else f"{each[0]:.2f} → {each[1]:.2f}" for each in pairs]
        draws = [f"{int(of_cell[f'{name}', CHOSEN])}" for name in ("dither draws", "fold draws", "code paths")]
        rows.append([*map(str, cell), *shown, " / ".join(draws)])
    return markdown([*CELL, "score", *KINDS, "draws / folds / paths"], rows, right=range(3, 7))


def sections(cells: pd.DataFrame, made_up: pd.DataFrame) -> Iterator[str]:
    """The page."""
    yield "# How the probe is chosen\n"
    yield COMMANDS
    yield ABOUT
    found, of = len(cells.drop_duplicates(CELL)), len(TASKS) * sum(map(len, ENCODERS.values()))
    yield f"## Real recordings, {found} of {of} cells\n"
    if found < of:
        yield "The other cells are not solved yet: conclude nothing from so few.\n"
    yield by_rule(cells) + "\n"
    yield "A percentage compares the spread with version 2's, on the same cells.\n"
    yield "### Every cell, version 2 → version 3\n"
    yield by_cell(cells) + "\n"
    yield "## Simulated corpora\n"
    yield (
        f"{simulated.CORPORA} corpora at each of three strengths of the signal "
        f"({', '.join(map(str, simulated.SIGNALS))}): "
        f"{simulated.PATIENTS} training patients, {simulated.TEST_PATIENTS} tested ones; a quarter of the features is "
        f"noise drawn anew, as rounding is by another processor; here *dither* is that.\n"
    )
    yield by_rule(made_up) + "\n"


def main() -> int:
    """Prints the page, or writes it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="put the tables into results/selection/")
    asked = parser.parse_args()
    cells, made_up = spreads(real(asked.folder)), spreads(on_simulated(asked.folder / "simulated"))
    text = "\n".join(sections(cells, made_up))
    print(text)
    if asked.write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "README.md").write_text(text, encoding="utf-8")
        pd.concat([cells, made_up]).round(4).to_csv(FOLDER / "spread.csv", index=False, lineterminator="\n")
        seal_pages(FOLDER, ["README.md", "spread.csv"], "python scripts/benchmarks/selection.py runs/selection --write")
    return 0


if __name__ == "__main__":
    sys.exit(main())
