"""Whether the leaderboard's bold, letters and ranks hold their level: python scripts/benchmarks/standings.py [--write]

Simulates boards whose truth is known (``standings_model.py``) and counts how often a truly best encoder is not bold,
how many of the worse ones are told, and how often the intervals of ranks hold the true ranks.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from standings_model import Corpus, skill_of  # noqa: E402

from bench.base.paths import write_text  # noqa: E402
from bench.reports.leaderboard.standings.contest import ALPHA, LEVEL, Contest  # noqa: E402
from bench.reports.leaderboard.standings.samples import combined_groups  # noqa: E402
from bench.reports.pages import seal_pages  # noqa: E402
from bench.reports.tables import markdown  # noqa: E402
from bench.scores.intervals import p_value  # noqa: E402

RESULTS, COMMAND = ROOT / "results", "python scripts/benchmarks/standings.py --write"
BEST = 0.75  # score of the best encoders
HEAD = ("study", "encoders", "tasks", "patients", "alike", "truth", "boards", "measure", "rule", "value")


def board(rng: np.random.Generator, scores: np.ndarray, patients: int, alike: float, tasks: int, draws: int) -> Contest:
    """Encoders of these true scores (K,), means over tasks; every two tasks are on the same patients."""
    skill, parts, drawn, values = skill_of(scores, alike), [], 0.0, 0.0
    while tasks > 0:
        corpus = Corpus.of(rng, patients)
        tastes = corpus.tastes(rng, len(scores))
        found = [corpus.right(rng, skill, alike, tastes) for _ in range(min(2, tasks))]
        counts = rng.multinomial(patients, np.full(patients, 1 / patients), size=draws).astype(float)
        part = sum(corpus.scores(right, counts) for right in found)
        values = values + sum(corpus.scores(right, np.ones((1, patients)))[:, 0] for right in found)
        drawn = drawn + part
        parts.append((part.var(axis=1).mean(), corpus.groups))
        tasks -= 2
    return Contest(values, drawn, combined_groups(parts))


def holm(contest: Contest) -> np.ndarray:
    """(K,) whether a row is not worse than the one that leads, by paired bootstrap with Holm's correction."""
    leader, values = contest.values.argmax(), contest.drawn
    p = np.array([p_value(values[leader] - row, contest.groups) for row in values])
    order = [k for k in np.argsort(p, kind="stable") if k != leader]
    bold = np.ones(len(p), dtype=bool)
    for place, k in enumerate(order):
        if p[k] * (len(order) - place) > LEVEL:
            break
        bold[k] = False
    return bold


def centred_maximum(contest: Contest) -> np.ndarray:
    """(K,) whether a row is bold on a leaderboard."""
    return contest.best_p() > ALPHA


def percentile_ranks(contest: Contest) -> np.ndarray:
    """(K, 2) the middle 95 % of the ranks in the draws: the plain bootstrap of ranks."""
    ranks = 1 + np.array([(contest.drawn > row).sum(axis=0) for row in contest.drawn])
    return np.quantile(ranks, [LEVEL / 2, 1 - LEVEL / 2], axis=1, method="inverted_cdf").T


NOT_BOLD = "a best one not bold"
RULES: dict[str, Callable[[Contest], np.ndarray]] = {"leaderboard": centred_maximum, "Holm, against the leader": holm}
RANKS: dict[str, Callable[[Contest], np.ndarray]] = {"leaderboard": Contest.ranks, "plain bootstrap": percentile_ranks}


def errors(rng: np.random.Generator, size: int, patients: int, alike: float, best: int, boards: int) -> list[list]:
    """How often one or more of the truly best encoders are not bold, or are told apart from each other."""
    truth = np.where(np.arange(size) < best, BEST, BEST - 0.03)
    wrong, apart = dict.fromkeys(RULES, 0), 0
    for _ in range(boards):
        contest = board(rng, truth, patients, alike, 1, 1999)
        for name, rule in RULES.items():
            wrong[name] += not rule(contest)[:best].all()
        apart += contest.told_apart()[:best, :best].any()
    said = "all equal" if best == size else f"{best} best, others 3 points below"
    head = ["error", size, 1, patients, alike, said, boards]
    rows = [[*head, NOT_BOLD, name, count / boards] for name, count in wrong.items()]
    return [*rows, [*head, "best ones told apart", "leaderboard", apart / boards]]


def power(rng: np.random.Generator, size: int, patients: int, alike: float, points: int, boards: int) -> list[list]:
    """Which part of the worse encoders is not bold, where one is better by some points."""
    truth = np.where(np.arange(size) < 1, BEST, BEST - points / 100)
    told, half = dict.fromkeys(RULES, 0.0), 0.0
    for _ in range(boards):
        contest = board(rng, truth, patients, alike, 1, 1999)
        half += np.median(contest.half_widths()) / boards
        for name, rule in RULES.items():
            told[name] += 1 - rule(contest)[1:].mean()
    head = ["power", size, 1, patients, alike, f"one better by {points} points", boards]
    rows = [[*head, "worse ones not bold", name, total / boards] for name, total in told.items()]
    return [*rows, [*head, "smallest difference, points", "leaderboard", 100 * half]]


def coverage(rng: np.random.Generator, size: int, patients: int, tasks: int, step: float, boards: int) -> list[list]:
    """How often intervals hold all true ranks of a row, of encoders that are equal or some points apart."""
    truth = BEST - step / 100 * np.arange(size)
    low = 1 + (truth[:, None] < truth - 1e-12).sum(axis=1)
    high = size - (truth[:, None] > truth + 1e-12).sum(axis=1)
    held, width = dict.fromkeys(RANKS, 0.0), dict.fromkeys(RANKS, 0.0)
    for _ in range(boards):
        contest = board(rng, truth, patients, 0.6, tasks, 999)
        for name, rule in RANKS.items():
            found = rule(contest)
            held[name] += ((found[:, 0] <= low) & (found[:, 1] >= high)).mean()
            width[name] += (found[:, 1] - found[:, 0] + 1).mean()
    said = "all equal" if step == 0 else f"{step:g} points from one to the next"
    head = ["ranks", size, tasks, patients, 0.6, said, boards]
    return [
        [*head, measure, name, total / boards]
        for measure, of in (("intervals that hold the true ranks", held), ("ranks in an interval", width))
        for name, total in of.items()
    ]


def blocks() -> list[tuple[Callable[..., list[list]], tuple]]:
    """Every part of the study: the function that measures it and its arguments, but for the random generator."""
    parts: list[tuple[Callable[..., list[list]], tuple]] = []
    for size, boards in ((5, 600), (20, 250)):
        for patients in (30, 100):
            parts += [(errors, (size, patients, alike, size, boards)) for alike in (0.3, 0.9)]
            parts += [(errors, (size, patients, 0.6, 2, boards))]
            parts += [(power, (size, patients, 0.6, points, 60)) for points in (2, 5, 10, 15)]
    for size, boards in ((5, 200), (20, 60)):
        for tasks in (3, 8):
            for patients in (30, 100):
                parts += [(coverage, (size, patients, tasks, step, boards)) for step in (0, 1.0)]
    return parts


def measure(index: int, function: Callable[..., list[list]], arguments: tuple) -> tuple[list[list], float]:
    """(rows of one part, seconds of the processor); its draws are its own, in whatever order parts are measured."""
    began = time.process_time()
    rows = function(np.random.default_rng([0, index]), *arguments)
    print(*rows[-1], flush=True)
    return rows, time.process_time() - began


def page(rows: list[list], seconds: float) -> str:
    """The page of the study."""
    worst = {rule: 100 * max(row[9] for row in rows if row[7] == NOT_BOLD and row[8] == rule) for rule in RULES}
    pooled = {rule: _percent(_pooled(rows, NOT_BOLD, rule)) for rule in RULES}
    equal = {name: _pooled(rows, "intervals that hold the true ranks", name, "all equal") for name in RANKS}
    apart = {name: _pooled(rows, "intervals that hold the true ranks", name, "points") for name in RANKS}
    parts = [
        "# Do bold, letters and ranks hold their level?",
        f"    {COMMAND}",
        "Boards whose truth is known: patients of unequal size, encoders whose errors are alike to a known degree "
        f"(`scripts/benchmarks/standings_model.py`); best score {100 * BEST:.0f}, a mean of two recalls. "
        "Every share is of simulated boards, with its Monte-Carlo error (95 %). "
        f"{seconds / 60:.0f} minutes of one core.",
        f"- **Bold**: a truly best encoder is not bold on {pooled['leaderboard']} of all boards, on "
        f"{worst['leaderboard']:.1f} % of the worst kind of board; promised are at most {100 * LEVEL:.0f} %, tested is "
        f"at {100 * ALPHA:.0f} %. Comparing each row with the one that leads, with Holm's correction, errs on "
        f"{pooled['Holm, against the leader']}, and on {worst['Holm, against the leader']:.1f} % of the worst kind. "
        "Where patients are few and encoders many it errs never and tells nothing, since no p from 2000 draws is small "
        "enough for so many comparisons.\n"
        f"- **Ranks**: where all encoders are equal, {_percent(equal['leaderboard'])} of intervals hold all ranks that "
        f"a row shares; where each is a point from the next, {_percent(apart['leaderboard'])} hold the one true rank: "
        "there they are conservative, as guaranteed intervals of ranks must be. The plain bootstrap of ranks holds "
        f"{_percent(equal['plain bootstrap'])} and {_percent(apart['plain bootstrap'])}.",
        "## Errors: a truly best encoder is not bold, or best ones are told apart",
        _table(rows, "error", (NOT_BOLD, "best ones told apart")),
        "## Power: worse encoders that are not bold",
        "Smallest difference: half the 95 % interval of a paired difference, as leaderboards show it.",
        _table(rows, "power", ("worse ones not bold", "smallest difference, points")),
        "## Ranks of means over tasks",
        "Every two tasks are on the same patients. An interval must hold every rank that a row shares with equals.",
        _table(rows, "ranks", ("intervals that hold the true ranks", "ranks in an interval")),
    ]
    return "\n\n".join(parts) + "\n"


def _pooled(rows: list[list], measure: str, rule: str, truth: str = "") -> tuple[float, int]:
    """(share, boards) over all boards of a measure."""
    chosen = [row for row in rows if row[7] == measure and row[8] == rule and truth in row[5]]
    boards = sum(row[6] for row in chosen)
    return sum(row[9] * row[6] for row in chosen) / boards, boards


def _percent(pooled: tuple[float, int]) -> str:
    """A share with its error, which is not 0 for a share of 0 (Agresti & Coull 1998, 10.2307/2685469)."""
    share, boards = pooled
    near = (share * boards + 2) / (boards + 4)
    return f"{100 * share:.1f} ± {196 * np.sqrt(near * (1 - near) / (boards + 4)):.1f} %"


def _table(rows: list[list], study: str, measures: tuple[str, ...]) -> str:
    by_head: dict[tuple, dict[tuple[str, str], float]] = {}
    for row in rows:
        if row[0] == study:
            by_head.setdefault(tuple(row[1:7]), {})[row[7], row[8]] = row[9]
    columns = [key for key in next(iter(by_head.values())) if key[0] in measures]
    lines = []
    for head, found in by_head.items():
        cells = [_cell(key[0], found[key], head[-1]) for key in columns]
        lines.append([*(f"{value:g}" if isinstance(value, float) else value for value in head), *cells])
    header = [*HEAD[1:7], *(f"{measure}: {rule}" for measure, rule in columns)]
    return markdown(header, lines, right=[i for i in range(len(header)) if i != 4])


def _cell(measure: str, value: float, boards: int) -> str:
    return f"{value:.1f}" if measure.startswith(("smallest", "ranks in")) else _percent((value, boards))


def write(rows: list[list], text: str) -> None:
    """Writes and seals results/standings.md and standings.csv."""
    table = io.StringIO()
    out = csv.writer(table, lineterminator="\n")
    out.writerow(HEAD)
    out.writerows([*row[:-1], f"{row[-1]:.4f}"] for row in rows)
    write_text(RESULTS / "standings.md", text)
    write_text(RESULTS / "standings.csv", table.getvalue())
    seal_pages(RESULTS, ["standings.md", "standings.csv"], COMMAND)


def main() -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write results/standings.md and standings.csv")
    parser.add_argument("--jobs", type=int, default=1, help="processes; the numbers do not depend on it")
    asked = parser.parse_args()
    parts = (delayed(measure)(index, *part) for index, part in enumerate(blocks()))
    found = Parallel(n_jobs=asked.jobs)(parts)
    rows = [row for part, _ in found for row in part]
    text = page(rows, sum(seconds for _, seconds in found))
    print(text)
    if asked.write:
        write(rows, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
