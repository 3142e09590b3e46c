"""The tables of a sweep's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.reports.names import row_names
from bench.reports.sweep.sweep_table import NEAR, with_holm
from bench.reports.tables import markdown
from bench.scores import metrics, per_test
from bench.scores.printed import BLANK, amount, missing, p_text, signed
from bench.scores.schema import Record


def task_table(by_task: Mapping[str, Sequence[Record]]) -> str:
    """What each task's numbers were measured on."""
    rows = []
    for task, own in by_task.items():
        data, spec = own[0].data, own[0].spec
        test = per_test.headline(data["task"])
        score = own[0].scores[test][data["task"]["main_metric"]]
        rows.append(
            [
                *(task, test, metrics.get(data["task"]["main_metric"]).title, data["state"]),
                *(score["n"], score["groups"], spec["task_version"], f"`{spec['manifest'][:12]}`", data["licence"]),
            ]
        )
    header = ["task", "headline test", "metric", "state", "clips", "groups", "version", "data", "licence"]
    return markdown(header, rows, right=(4, 5, 6))


def encoder_table(records: Sequence[Record]) -> str:
    """Every encoder with what its numbers depend on."""
    names, rows = row_names(records), {}
    for record in records:
        spec, data = record.spec, record.data
        marks = "; ".join(data["marks"]) or BLANK
        version, weights, licence = spec["encoder_version"], spec["weights"][:12], data["weights_licence"] or BLANK
        rows[names[record.key]] = [data.get("parity", "none"), version, f"`{weights}`", licence, marks]
    header = ["encoder", "parity", "version", "weights", "licence", "marks"]
    return markdown(header, [[name, *row] for name, row in sorted(rows.items())], right=(2,))


def at_a_glance(merged: pd.DataFrame) -> str:
    """The last layer of every encoder and pooling, a column per task."""
    last = merged[merged["layer"] == -1]
    return _grid(last, ["encoder", "pooling", "protocol"])


def encoder_section(encoder: str, part: pd.DataFrame, drawn: Sequence[str]) -> list[str]:
    """Every layer of an encoder that has several in the sweep, with its heat map."""
    if part["layer"].nunique() < 2:
        return []
    own = [name for name in drawn if name == f"heat-{encoder}.png" or name.startswith(f"heat-{encoder}_20")]
    return [f"## {encoder}", _grid(part, ["pooling", "layer", "protocol"]), *(f"![{encoder}]({name})" for name in own)]


def _grid(part: pd.DataFrame, index: Sequence[str]) -> str:
    tasks = sorted(part["task"].unique())
    cells = {(*(row[name] for name in index), row["task"]): row for row in part.to_dict("records")}
    keys = sorted({key[:-1] for key in cells})
    rows = [[*key, *(_cell(cells.get((*key, task))) for task in tasks)] for key in keys]
    header = [*index, *tasks]
    return markdown(header, rows, right=range(len(index), len(header)))


def _cell(row: Mapping | None) -> str:
    if row is None:
        return BLANK
    unit = metrics.get(row["metric"]).unit
    text = amount(row, unit)
    if missing(row["seed_sd"]):
        return text
    return f"{text} ± {100 * row['seed_sd']:.1f}" if unit == "%" else f"{text} ± {row['seed_sd']:.2f}"


def layer_table(chosen: pd.DataFrame) -> str:
    """What the training clips choose among layers and poolings, beside what the test would."""
    if chosen.empty:
        return ""
    rows = []
    for row in chosen.to_dict("records"):
        unit = metrics.get(row["metric"]).unit
        best = amount({"value": row["best_value"]}, unit, interval=False)
        rows.append(
            [
                *(row["task"], row["encoder"], row["protocol"], row["of"]),
                *(row["layer"], row["pooling"], amount(row, unit)),
                f"{best} ({row['best_pooling']}, layer {row['best_layer']})",
                _gap(row, unit),
            ]
        )
    header = [
        "task",
        "encoder",
        "protocol",
        "choices",
        "layer",
        "pooling",
        "score",
        "best on test, never a result",
        "gap",
    ]
    caption = (
        "Of all layers and poolings in the sweep, the one with the highest out-of-fold score of the training clips, "
        "with its test score. The best on test chose on test, and flatters by the gap."
    )
    return caption + "\n\n" + markdown(header, rows, right=(3, 4, 6, 8))


def _gap(row: Mapping, unit: str) -> str:
    """What choosing on test adds, never below 0 in the direction in which the metric is better."""
    gap = abs(row["best_value"] - row["value"])
    return f"{100 * gap:.1f}" if unit == "%" else f"{gap:.2f}"


def pooling_table(differences: pd.DataFrame, drawn: Sequence[str]) -> str:
    """Differences between poolings at the last layer."""
    if differences.empty:
        return ""
    last = with_holm(differences[differences["layer"] == -1])
    rows = []
    for row in last.to_dict("records"):
        change = signed(row["value"], row["low"], row["high"], metrics.get(row["metric"]).unit)
        head = [row["task"], row["encoder"], f"{row['pooling']} − {row['minus']}", row["protocol"], row["seed"]]
        rows.append([*head, change, p_text(row["p"]), p_text(row["holm"]), row["n"], row["groups"]])
    header = ["task", "encoder", "poolings", "protocol", "seed", "difference", "p", "after Holm", "clips", "groups"]
    caption = (
        "Main metric of the headline test at the last layer, paired clip by clip, 95 % interval by patient bootstrap; "
        f"p of each comparison by itself, and after Holm for all {len(last)} of this table. `poolings.csv` has every "
        "layer."
    )
    figures = (f"![poolings]({name})" for name in drawn)
    return "\n\n".join([caption, markdown(header, rows, right=range(4, 10)), *figures])


def seed_table(merged: pd.DataFrame) -> str:
    """What the draw of the folds does."""
    part = merged[merged["seeds"] > 1]
    if part.empty:
        return ""
    rows = []
    for key, own in part.groupby(["task", "encoder", "pooling", "protocol"]):
        scale = 100 if metrics.get(own["metric"].iloc[0]).unit == "%" else 1
        deviations = scale * own["seed_sd"]
        rows.append(
            [
                *(*key, len(own), own["seeds"].max(), f"{deviations.median():.2f}", f"{deviations.max():.2f}"),
                BLANK if np.isnan(own["strength_sd"].max()) else f"{own['strength_sd'].median():.2f}",
            ]
        )
    header = [
        "task",
        "encoder",
        "pooling",
        "protocol",
        "layers",
        "seeds",
        "SD of the score",
        "largest",
        "SD of log10 C",
    ]
    caption = (
        "Standard deviation over seeds, which change the folds and through them what is chosen: median over layers."
    )
    return caption + "\n\n" + markdown(header, rows, right=range(4, 9))


def selection_table(table: pd.DataFrame, drawn: Sequence[str]) -> str:
    """What was chosen, and how much the out-of-fold score falls beside it."""
    part = table.dropna(subset=["out_of_fold"])
    if part.empty:
        return ""
    rows = []
    for key, own in part.groupby(["task", "encoder", "pooling", "protocol"]):
        known = own["strength"].dropna()
        decades = np.log10(own["near_high"] / own["near_low"])
        scale = 100 if metrics.get(own["metric"].iloc[0]).unit == "%" else 1
        rows.append(
            [
                *key,
                len(own),
                f"{known.min():.3g} to {known.max():.3g}" if len(known) else "one for each label",
                f"{int(own['at_edge'].sum())} of {len(own)}",
                f"{scale * own['neighbour_fall'].median():.2f}",
                f"{scale * own['neighbour_fall'].max():.2f}",
                f"{decades.median():.1f}",
            ]
        )
    header = ["task", "encoder", "pooling", "protocol", "records", "C chosen", "at the grid's edge"]
    header += ["fall at a neighbour", "largest", "decades as good"]
    caption = (
        "Out-of-fold scores of the training clips, no test clip among them. *Fall at a neighbour*: what a value of C "
        f"half a decade off would have cost, median over records; *decades as good*: how wide the range of C around "
        f"the chosen one is whose score is within {100 * NEAR:.0f} point of the best."
    )
    figures = "\n\n".join(f"![{name}]({name})" for name in drawn)
    return "\n\n".join([caption, markdown(header, rows, right=range(4, 10)), figures])


def oracle_tables(scores: pd.DataFrame) -> list[str]:
    """Honest and oracle scores, and the gap between them."""
    rows = []
    scores = scores.assign(gap=scores["oracle"] - scores["honest"])
    for key, own in scores.groupby(["task", "encoder"]):
        scale = 100 if metrics.get(own["metric"].iloc[0]).unit == "%" else 1
        last = own[own["layer"] == -1] if (own["layer"] == -1).any() else own
        values = [last["honest"].mean(), last["oracle"].mean(), last["gap"].mean()]
        shown = [f"{scale * values[0]:.1f}", f"{scale * values[1]:.1f}", f"{scale * values[2]:+.1f}"]
        rows.append(
            [*key, len(last), *shown, len(own), f"{scale * own['gap'].mean():+.1f}", f"{scale * own['gap'].max():+.1f}"]
        )
    header = [
        "task",
        "encoder",
        "records",
        "honest",
        "oracle",
        "gap",
        "records of all layers",
        "mean gap",
        "largest gap",
    ]
    caption = (
        "The same probes with C and class weight chosen by the headline test's score instead of by the training "
        "clips, mean over poolings and seeds at the last layer, then over all layers. The gap is what such a choice "
        "adds to a score by having seen the answers. Protocol `linear`; tasks of one class a clip."
    )
    return [caption, markdown(header, rows, right=range(2, len(header)))]
