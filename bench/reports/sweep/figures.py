"""Which figures a sweep has, what each shows, and their files.

Drawings (``bench.reports.sweep.drawings``) load matplotlib, so they are imported when one is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.base.paths import file_name
from bench.reports.names import encoder_name, row_names
from bench.reports.sweep.sweep_table import curves
from bench.scores import metrics
from bench.scores.schema import Record

if TYPE_CHECKING:
    from bench.drawing.canvas import PaperFigure

LOOK = 2  # raised where drawings change, so that those on disk are drawn anew


def names(merged: pd.DataFrame, records: Sequence[Record], differences: pd.DataFrame) -> dict[str, str]:
    """{file name: digest of what the figure shows}; ``draw`` makes the same files."""
    return {name: digest for name, (digest, _) in _planned(merged, records, differences).items()}


def draw(folder: Path, merged: pd.DataFrame, records: Sequence[Record], differences: pd.DataFrame) -> list[Path]:
    """Draws the figures that are missing, show other numbers or look as they once did; returns all files."""
    from bench.drawing import canvas

    out = []
    for name, (digest, make) in _planned(merged, records, differences).items():
        path, said = folder / name, f"{digest} {LOOK}"
        out.append(path)
        if _said(path) != said:
            canvas.write(make(), path.with_suffix(""), ("png",), {"Comment": said})
    return out


def shown(path: Path) -> str:
    """The digest of what a figure on disk shows; empty where there is none."""
    return _said(path).partition(" ")[0]


def _said(path: Path) -> str:
    from PIL import Image

    if not path.exists():
        return ""
    with Image.open(path) as image:
        return str(image.info.get("Comment", ""))


def _planned(
    merged: pd.DataFrame, records: Sequence[Record], differences: pd.DataFrame
) -> dict[str, tuple[str, Callable[[], PaperFigure]]]:
    """{file name: (digest, function that draws it)}."""
    out = {}
    for (encoder, protocol), part in merged.groupby(["encoder", "protocol"]):
        rows = part[["task", "layer", "pooling", "value", "metric"]]
        out[_file("heat", encoder, protocol)] = _digest(rows), _later("heat_map", encoder, part)
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
        out[_file("path", task, protocol)] = _digest(text), _later("paths", task, own, labels)
    if len(last := last_layers(differences)):
        columns = ["task", "encoder", "layer", "pooling", "minus", "value", "low", "high"]
        out["poolings.png"] = _digest(last[columns]), _later("poolings", last)
    return out


def _later(name: str, *arguments: Any) -> Callable[[], PaperFigure]:
    """The drawing of that name, made when called."""

    def make() -> PaperFigure:
        from bench.reports.sweep import drawings

        return getattr(drawings, name)(*arguments)

    return make


def last_layers(differences: pd.DataFrame) -> pd.DataFrame:
    """The differences at each encoder's last layer, in metrics that are fractions."""
    if differences.empty:
        return differences
    share = differences["metric"].map(lambda name: metrics.get(name).unit == "%")
    return differences[(differences["layer"] == -1) & share]


def _with_paths(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """{(task, protocol): records with a path over C}.

    Of each encoder and pooling it is the record of the last layer and lowest seed.
    """
    out: dict[tuple[str, str], dict] = {}
    for record in sorted(records, key=lambda r: (r.spec["layer"], -r.spec["seed"])):
        spec = record.spec
        if curves(record.selection):
            own = out.setdefault((spec["task"], spec["protocol"]), {})
            own[encoder_name(spec), spec["weights"], spec["pooling"]] = record
    return {key: [own[name] for name in sorted(own)] for key, own in sorted(out.items())}


def _file(kind: str, *parts: str) -> str:
    name = file_name(" ".join(part for part in parts if part != "linear"))
    return f"{kind}-{name.replace('%', '_')}.png"  # Markdown reads % in a link as an escape


def _digest(rows: pd.DataFrame) -> str:
    text = rows.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()[:20]
