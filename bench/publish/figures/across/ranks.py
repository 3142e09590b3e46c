"""The critical-difference diagram: mean ranks over tasks, and which of them the tasks do not tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from bench.base.errors import BadInput, UnknownId
from bench.drawing.canvas import PaperFigure, blank, drawn, inches
from bench.drawing.labels import broken, text_width
from bench.drawing.looks import BLUE, GREY, INK
from bench.publish.figures import captions, rows
from bench.reports.leaderboard.standings.critical_difference import critical_difference
from bench.reports.leaderboard.standings.values import CriticalDifference, Row
from bench.reports.leaderboard.table import PEEKED, cells, leaderboard
from bench.reports.names import ROW, rank_class
from bench.scores.printed import p_phrase
from bench.scores.schema import Record

TESTS = ("nemenyi", "wilcoxon")
NAMES = {1: 1.02, 2: 2.1}  # inches for names on each side, at most
_BAR, _LINE = 0.075, 0.098  # inches between bars, and of a line of text


@drawn
def ranks(records: Sequence[Record], width: int = 1, of: str = "", by: str = "nemenyi") -> PaperFigure:
    """Mean ranks of encoders over the headline tests of all tasks; a bar joins rows that are not told apart.

    Parameters
    ----------
    records
        Records of any number of tasks; rows that lack one of them are left out and named in the caption.
    width
        1 or 2 columns.
    of
        The class of rows (``frozen``, ``finetune``, …); by default the first that is there. Controls are never ranked.
    by
        ``nemenyi``: rows whose mean ranks differ by less than the critical difference are joined; ``wilcoxon``: by
        signed-rank tests of all pairs with Holm's correction.

    Raises
    ------
    BadInput
        For fewer than two rows that have all tasks, fewer than two tasks, and rows that chose their epoch on the test.
    UnknownId
        For another test.

    References
    ----------
    Demšar, J. Statistical comparisons of classifiers over multiple data sets. JMLR 7, 2006.
    """
    if by not in TESTS:
        raise UnknownId("test of ranks", by, TESTS)
    own = rows.chosen(records, of)
    ranked, incomplete = compared(own)
    names = [rows.label(row.encoder, row.pooling, row.layer) for row in ranked.rows]
    shown = [f"{broken(name, NAMES[width])}\n{mean:.2f}" for name, mean in zip(names, ranked.mean_ranks)]
    groups = ranked.nemenyi_groups if by == "nemenyi" else ranked.wilcoxon_groups
    size, half = len(names), math.ceil(len(names) / 2)
    bars = _BAR * (_levels(groups)[1] + 1)
    sides = [_depths(shown[:half], bars), _depths(shown[half:][::-1], bars)]
    top = 0.5 if by == "nemenyi" and ranked.nemenyi is not None else 0.28
    figure = blank(width, top + max(bottom for _, bottom in sides) + 0.03, layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, inches(width)), ylim=(figure.get_figheight() - top, -top))
    axis.set_axis_off()
    edges = [max([0.2, *(text_width(text, 6) for text in side)]) + 0.1 for side in (shown[:half], shown[half:])]
    start, end = edges[0] + 0.1, inches(width) - edges[1] - 0.1

    def at(rank: float) -> float:
        return start + (rank - 1) / (size - 1) * (end - start)

    _scale(axis, size, at, ranked.nemenyi if by == "nemenyi" else None)
    for group, level in zip(groups, _levels(groups)[0]):
        ends = [at(ranked.mean_ranks[k]) for k in (group[0], group[-1])]
        y = _BAR * (level + 1)
        axis.plot([ends[0] - 0.03, ends[1] + 0.03], [y, y], color=BLUE, lw=2.4, solid_capstyle="butt")
    for k, text in enumerate(shown):
        left = k < half
        y = sides[0][0][k] if left else sides[1][0][size - 1 - k]
        x, edge = at(ranked.mean_ranks[k]), edges[0] if left else inches(width) - edges[1]
        axis.plot([x, x, edge], [0, y, y], color=INK, lw=0.7, solid_joinstyle="miter")
        side = "right" if left else "left"
        axis.text(edge + (-0.04 if left else 0.04), y, text, ha=side, va="center", fontsize=6, linespacing=1.0)
    figure.caption = _caption(own, ranked, incomplete, by, bool(groups))
    return figure


def compared(records: Sequence[Record]) -> tuple[CriticalDifference, list[str]]:
    """(mean ranks of the rows that have all headline tests, names of the others), of records of one class.

    Raises
    ------
    BadInput
        For fewer than two such rows or two tests, and for rows that chose their epoch on the test.
    """
    board = leaderboard(records)
    board = board[board["class"] != rows.CONTROL]
    if (board["class"] == PEEKED).any():
        raise BadInput("figure ranks", "these rows chose their epoch on the test", "rank rows of another protocol")
    tests = board.attrs["mean_of"]
    whole = board[tests].notna().all(axis=1) if tests else board["encoder"].isna()
    if len(tests) < 2 or whole.sum() < 2:
        problem = f"{whole.sum()} rows have all of {len(tests)} tasks whose metric is a share"
        raise BadInput("figure ranks", problem, "ranks over tasks need two rows and two tasks at least")
    made = [Row(*line) for line in board.loc[whole, [*ROW, "class"]].itertuples(index=False)]
    lost = board.loc[~whole, ROW].drop_duplicates().itertuples(index=False)
    names = [rows.label(encoder, pooling, layer) for encoder, pooling, layer, _ in lost]
    return critical_difference(made, board.loc[whole, tests].to_numpy(float), tests), names


def _levels(groups: Sequence[Sequence[int]]) -> tuple[list[int], int]:
    """(level of each bar, number of levels): bars that overlap lie on different levels."""
    levels: list[int] = []
    for i, group in enumerate(groups):
        taken = {level for other, level in zip(groups[:i], levels) if other[-1] >= group[0] and group[-1] >= other[0]}
        levels.append(next(level for level in range(len(groups)) if level not in taken))
    return levels, max(levels, default=-1) + 1


def _depths(texts: Sequence[str], first: float) -> tuple[list[float], float]:
    """(y of each label's middle, y below the last) in inches under the axis."""
    y, middles = first, []
    for text in texts:
        height = _LINE * (text.count("\n") + 1) + 0.05
        middles.append(y + height / 2)
        y += height
    return middles, y


def _scale(axis: Axes, size: int, at, difference: float | None) -> None:
    """Draws the axis of ranks, 1 at the left, and above it the length of the critical difference."""
    axis.plot([at(1), at(size)], [0, 0], color=INK, lw=0.8, solid_capstyle="projecting")
    step = max(1, math.ceil(0.14 / (at(2) - at(1))))
    for rank in range(1, size + 1):
        axis.plot([at(rank)] * 2, [-0.04, 0], color=INK, lw=0.6)
        if (rank - 1) % step == 0:
            axis.text(at(rank), -0.06, str(rank), ha="center", va="bottom", fontsize=6)
    if difference is None:
        axis.text((at(1) + at(size)) / 2, -0.17, "mean rank", ha="center", va="bottom", fontsize=6.5)
        return
    end = min(at(1 + difference), at(size))
    clipped = at(1 + difference) > at(size) + 1e-9
    axis.plot([at(1), end], [-0.24, -0.24], color=GREY, lw=1)
    for x in (at(1),) if clipped else (at(1), end):
        axis.plot([x, x], [-0.27, -0.21], color=GREY, lw=1)
    said = f"critical difference {difference:.2f}" + (" (longer than the axis)" if clipped else "")
    axis.text(at(1), -0.29, said, ha="left", va="bottom", fontsize=6)


def _caption(records: Sequence[Record], ranked: CriticalDifference, lost: list[str], by: str, joined: bool) -> str:
    used = [record for record in records if rank_class(record.spec) != rows.CONTROL]
    table = cells(used)
    table = table[(table["task"] + "/" + table["test"]).isin(ranked.tests)]
    units = {record.spec["task"]: record.data["task"]["group"] for record in used}
    friedman = "" if ranked.friedman_p is None else f"Friedman's test that all are alike: {p_phrase(ranked.friedman_p)}"
    how = "Nemenyi's test" if by == "nemenyi" else "Wilcoxon's signed-rank test with Holm's correction"
    return captions.caption(
        f"Mean ranks of the main metric over {len(ranked.tests)} tasks, 1 is best",
        f"Bars join encoders that {how} does not tell apart at 5 %" if joined else f"{how} tells all apart at 5 %",
        friedman,
        f"Little can be told: {ranked.weak}" if ranked.weak else "",
        "Here tasks are the sample, not patients; tasks of one corpus are no independent ones",
        f"Left out, for a task is missing: {', '.join(lost)}" if lost else "",
        captions.protocols(used),
        captions.tests(table.assign(unit=table["task"].map(units)).to_dict("records")),
        captions.data_state(used),
    )
