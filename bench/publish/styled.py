"""The leaderboard as a notebook shows it: percent, blanks, the best of each class in bold."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.base.errors import BadInput
from bench.reports.leaderboard.table import UNRANKED
from bench.scores import metrics
from bench.scores.printed import BLANK

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler


def styled(table: pd.DataFrame) -> Styler:
    """A styled view of a leaderboard; the numbers stay in ``table``.

    Parameters
    ----------
    table
        As ``bench.leaderboard`` gives it; rows may be left out.

    Returns
    -------
    pandas.io.formats.style.Styler
        Fractions in percent, missing cells blank, names escaped, and in bold the best value of each column among rows
        of the same class that is ranked. Bold says nothing about whether the others are worse: for that, see
        ``bench.standings``.

    Raises
    ------
    BadInput
        For a table that ``bench.leaderboard`` did not make.
    """
    if "metrics" not in table.attrs:
        raise BadInput("styled", "the table is no leaderboard", "give what bench.leaderboard returns")
    chosen = {name: metrics.get(metric) for name, metric in table.attrs["metrics"].items() if name in table}
    formats: dict[Any, Any] = {name: "{:.2f}" if metric.unit != "%" else _percent for name, metric in chosen.items()}
    formats |= {"mean": _percent, "rank": "{:.0f}"}
    look = table.style.format(formats, na_rep=BLANK, escape="html").format_index(escape="html", axis=1).hide(axis=0)
    caption = f"Main metric of every test; mean over {', '.join(table.attrs['mean_of']) or 'none'}"
    look = look.set_caption(html.escape(caption)).set_table_styles(
        [{"selector": "caption", "props": "text-align: left"}]
    )
    ranked = table["class"].where(~table["class"].isin(UNRANKED))
    higher = {name: metric.direction == "higher" for name, metric in chosen.items()} | {"mean": True}
    for name, is_better in higher.items():
        best = table[name].groupby(ranked).transform("max" if is_better else "min")
        bold = (table[name] == best).map({True: "font-weight: bold", False: ""})
        look = look.apply(lambda column, bold=bold: bold, subset=[name])
    return look


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
