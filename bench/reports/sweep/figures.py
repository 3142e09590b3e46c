"""Figures of a sweep: heat maps over layers and tasks, out-of-fold scores over C, differences between poolings."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bench.base.paths import file_name, write_bytes
from bench.reports.names import row_names
from bench.reports.sweep.sweep_table import chosen_point, curves
from bench.scores import metrics
from bench.scores.schema import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
_COLOURS = ("#00539c", "#d98600", "#3d8f5f", "#b04a8f", "#8c8c8c", "#b22222")
_STYLES = ("-", "--", ":", "-.")


def names(merged: pd.DataFrame, records: Sequence[Record], differences: pd.DataFrame) -> dict[str, str]:
    """{file name: digest of what the figure shows}; ``draw`` makes the same files."""
    return {name: digest for name, (digest, _) in _planned(merged, records, differences).items()}


def draw(folder: Path, merged: pd.DataFrame, records: Sequence[Record], differences: pd.DataFrame) -> list[Path]:
    """Draws the figures that are missing or show other numbers, and returns all files."""
    out = []
    for name, (digest, make) in _planned(merged, records, differences).items():
        path = folder / name
        out.append(path)
        if shown(path) != digest:
            _save(make(), path, digest)
    return out


def shown(path: Path) -> str:
    """The digest of what a figure on disk shows; empty where there is none."""
    from PIL import Image

    if not path.exists():
        return ""
    with Image.open(path) as image:
        return str(image.info.get("Comment", ""))


def _planned(merged: pd.DataFrame, records: Sequence[Record], differences: pd.DataFrame) -> dict[str, tuple]:
    """{file name: (digest, function that draws it)}."""
    out = {}
    for (encoder, protocol), part in merged.groupby(["encoder", "protocol"]):
        rows = part[["task", "layer", "pooling", "value", "metric"]]
        out[_file("heat", encoder, protocol)] = _digest(rows), lambda e=encoder, p=part: heat_map(e, p)
    labels = row_names(records)
    for (task, protocol), own in _with_paths(records).items():
        text = pd.DataFrame(
            [
                (labels[r.key], r.spec["pooling"], w, *point)
                for r in own
                for w, c in curves(r.selection).items()
                for point in c
            ]
        )
        out[_file("path", task, protocol)] = _digest(text), lambda t=task, o=own: paths(t, o, labels)
    if len(last := last_layers(differences)):
        columns = ["task", "encoder", "layer", "pooling", "minus", "value", "low", "high"]
        out["poolings.png"] = _digest(last[columns]), lambda: poolings(last)
    return out


def heat_map(encoder: str, part: pd.DataFrame) -> Figure:
    """Draws the headline scores of an encoder: a row per layer and pooling, a column per task.

    Colours span each column, whose scores alone are comparable.
    """
    plt = _pyplot()
    tasks = sorted(part["task"].unique())
    rows = sorted({(p, layer) for p, layer in zip(part["pooling"], part["layer"])}, key=lambda r: (r[0], r[1]))
    values = np.full((len(rows), len(tasks)), np.nan)
    for each in part.itertuples():
        values[rows.index((each.pooling, each.layer)), tasks.index(each.task)] = each.value
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    span = np.where(high > low, high - low, 1.0)
    fig, axis = plt.subplots(figsize=(2.6 + 1.25 * len(tasks), 1.6 + 0.3 * len(rows)))
    axis.imshow((values - low) / span, aspect="auto", cmap="viridis", vmin=0, vmax=1)
    units = {each.task: metrics.get(each.metric) for each in part.itertuples()}
    for i, j in np.argwhere(~np.isnan(values)):
        scale, digits = (100, 1) if units[tasks[j]].unit == "%" else (1, 2)
        dark = (values[i, j] - low[j]) / span[j] < 0.55
        text = f"{scale * values[i, j]:.{digits}f}"
        axis.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axis.set_yticks(range(len(rows)), [f"{pooling}, layer {layer}" for pooling, layer in rows], fontsize=8)
    titles = [f"{task}\n{units[task].title}" for task in tasks]
    axis.set_xticks(range(len(tasks)), titles, fontsize=8, rotation=30, ha="right")
    axis.set_title(f"{encoder}, {part['protocol'].iloc[0]}", fontsize=10)
    return fig


def paths(task: str, own: Sequence[Record], labels: Mapping[str, str]) -> Figure:
    """Draws the out-of-fold score over C, a panel per encoder.

    A colour stands for a pooling (and label), a style for a class weight; the chosen value is marked.
    """
    plt = _pyplot()
    encoders = sorted({labels[record.key] for record in own})
    columns = min(3, len(encoders))
    lines = math.ceil(len(encoders) / columns)
    size = (4.2 * columns, 3.0 * lines + 0.4)
    fig, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for axis in axes.flat[len(encoders) :]:
        axis.set_visible(False)
    series: dict[tuple, int] = {}
    for axis, encoder in zip(axes.flat, encoders):
        for record in (r for r in own if labels[r.key] == encoder):
            by_label = curves(record.selection)
            for label in sorted({of for of, _ in by_label}, key=str):
                part = {weight: curve for (of, weight), curve in by_label.items() if of == label}
                series.setdefault((record.spec["pooling"], label), len(series))
                colour = _COLOURS[series[record.spec["pooling"], label] % len(_COLOURS)]
                for style, (weight, curve) in zip(_STYLES, part.items()):
                    name = ", ".join(filter(None, (record.spec["pooling"], label, weight)))
                    axis.plot(*zip(*curve), style, color=colour, lw=1.2, label=name)
                curve, at = chosen_point(record.selection, label)
                axis.plot(*curve[at], "o", color=colour, ms=6, mec="black")
        axis.set(xscale="log", title=encoder, xlabel="C")
        axis.title.set_fontsize(9)
        axis.legend(fontsize=7, frameon=False)
    axes[0, 0].set_ylabel(f"out of fold: {metrics.get(own[0].data['task']['main_metric']).title}")
    fig.suptitle(f"{task}, training clips only; o: chosen", fontsize=10)
    return fig


def last_layers(differences: pd.DataFrame) -> pd.DataFrame:
    """The differences at each encoder's last layer, in metrics that are fractions."""
    if differences.empty:
        return differences
    share = differences["metric"].map(lambda name: metrics.get(name).unit == "%")
    return differences[(differences["layer"] == -1) & share]


def poolings(differences: pd.DataFrame) -> Figure:
    """Paired differences to the reference pooling, with their intervals."""
    plt = _pyplot()
    part = differences.iloc[::-1]
    fig, axis = plt.subplots(figsize=(8.5, 1.2 + 0.22 * len(part)))
    at = np.arange(len(part))
    axis.axvline(0, color="black", lw=0.8)
    span = 100 * part[["low", "high"]].to_numpy(float)
    axis.hlines(at, span[:, 0], span[:, 1], color=_COLOURS[0], lw=1.4)
    axis.plot(100 * part["value"], at, "o", color=_COLOURS[0], ms=4)
    text = [f"{r.encoder}, {r.task}: {r.pooling} − {r.minus}" for r in part.itertuples()]
    axis.set_yticks(at, text, fontsize=7)
    axis.set_xlabel("difference of the main metric in points, last layer")
    axis.set_ylim(-0.7, len(part) - 0.3)
    return fig


def _with_paths(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """{(task, protocol): records with a path over C}.

    Of each encoder and pooling it is the record of the last layer and lowest seed.
    """
    out: dict[tuple[str, str], dict] = {}
    for record in sorted(records, key=lambda r: (r.spec["layer"], -r.spec["seed"])):
        spec = record.spec
        if curves(record.selection):
            own = out.setdefault((spec["task"], spec["protocol"]), {})
            own[spec["encoder"], spec["weights"], spec["pooling"]] = record
    return {key: [own[name] for name in sorted(own)] for key, own in sorted(out.items())}


def _file(kind: str, *parts: str) -> str:
    name = file_name(" ".join(part for part in parts if part != "linear"))
    return f"{kind}-{name.replace('%', '_')}.png"  # Markdown reads % in a link as an escape


def _digest(rows: pd.DataFrame) -> str:
    text = rows.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _save(figure: Figure, path: Path, digest: str) -> None:
    buffer = io.BytesIO()
    figure.tight_layout()
    figure.savefig(buffer, dpi=DPI, format="png", bbox_inches="tight", metadata={"Software": None, "Comment": digest})
    _pyplot().close(figure)
    write_bytes(path, buffer.getvalue())


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
