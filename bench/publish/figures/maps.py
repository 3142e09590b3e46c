"""Clips of a task on the plane of an encoder's features, coloured by label, by patient and by device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.drawing.canvas import PaperFigure, blank, drawn
from bench.drawing.labels import broken
from bench.drawing.looks import PALE, looks
from bench.publish.figures import captions, rows
from bench.publish.figures.projection import METHODS, MOST, on_a_plane, sampled
from bench.scores import label_kinds
from bench.types import TaskCard

SHOWN = 8  # values of each kind that have a look of their own, the most frequent ones
OTHERS, NOWHERE = "others", "not told"
_HEIGHT = {1: 2.1, 2: 2.15}  # inches of a panel with its heading
_LINE = 0.115  # inches of a line of a legend
_COLUMNS = 2  # of a legend below a panel


def embedding_map(
    task: str,
    encoder: str,
    pooling: str = "",
    layer: int | None = None,
    width: int = 2,
    method: str = METHODS[0],
    root: Path | None = None,
    clip: str = "native",
    most: int = MOST,
    progress: Progress = silent,
    trust_remote_code: str | Sequence[str] | None = None,
) -> PaperFigure:
    """A map of a task's clips from features that are kept already (``respbench encode``).

    Parameters
    ----------
    task, encoder
        Ids.
    pooling, layer
        By default those of the encoder's card.
    width
        1 or 2 columns.
    method
        ``pca`` or ``umap`` (the extra ``maps``).
    root
        The data folder; by default ``$RESPBENCH_DATA`` or ``./data``.
    clip
        The name of a clip policy.
    most
        Clips shown at most; drawn from all by a fixed seed.
    progress
        Counts recordings while they are checked.
    trust_remote_code
        As of ``bench.load_encoder``.

    Raises
    ------
    UnknownId, CheckpointError
        As ``bench.load_encoder``.
    BadInput
        Where features are not kept, and as ``bench.data.manifest.prepare``.
    """
    from bench.base import registry
    from bench.data.manifest import load_task, prepare
    from bench.encoders.features.store import FeatureStore
    from bench.encoders.load import load_encoder
    from bench.encoders.weights import code
    from bench.probe import protocols

    loaded = load_encoder(encoder, trust_remote_code=trust_remote_code)
    card = loaded.card
    wanted = (card.pool_layer if layer is None else layer, pooling or card.default_pooling)
    prepared = prepare(load_task(task, root), progress=progress)
    store = FeatureStore(loaded, prepared, protocols.get("linear", clip).clip)
    if lacking := store.missing([wanted]):
        named = f"{card.id}:{wanted[1]}"
        problem = f"{len(lacking)} recordings have no features of {named}, layer {wanted[0]}, in {store.folder}"
        remedy = f"respbench encode {task} --encoder {named}" + (f" {code.OPTION} {card.code}" if card.code else "")
        raise BadInput(f"figure embedding_map of {task}", problem, remedy)
    name = rows.label(code.named(card.id, card.code), wanted[1], wanted[0])
    features = store.gather(wanted)
    return map_of(features, prepared.rows, registry.task_card(task), name, width, method, most, prepared.state)


@drawn
def map_of(
    features: np.ndarray,
    clips: pd.DataFrame,
    card: TaskCard,
    encoder: str,
    width: int = 2,
    method: str = METHODS[0],
    most: int = MOST,
    state: str = "complete",
) -> PaperFigure:
    """A map of clips from their features.

    Parameters
    ----------
    features
        (N, P).
    clips
        One row per clip: ``label``, ``group``, ``domain``.
    card
        Of the task, for what labels, groups and domains are.
    encoder
        As the caption names it.
    width, method, most
        As ``embedding_map``.
    state
        Of the copy of the corpus.

    Raises
    ------
    BadInput
        As ``bench.publish.figures.projection.on_a_plane``.
    """
    if len(features) != len(clips):
        raise BadInput("features", f"{len(features)} rows for {len(clips)} clips", "give one row for each clip")
    kept = sampled(len(clips), most)
    places, titles = on_a_plane(np.asarray(features)[kept], method)
    own = clips.iloc[kept]
    labels = labels_of(own["label"].to_numpy(), card)
    every = {
        "label": labels,
        card.group: own["group"].astype(str).to_numpy(),
        card.domain: own["domain"].fillna(NOWHERE).astype(str).replace("", NOWHERE).to_numpy(),
    }
    alike = {what: values[0] for what, values in every.items() if len(np.unique(values)) == 1}
    panels = {what: values for what, values in every.items() if what not in alike} or {"label": labels}
    lines = [min(SHOWN, len(np.unique(values))) + (len(np.unique(values)) > SHOWN) for values in panels.values()]
    if width == 1:
        figure = blank(1, len(panels) * _HEIGHT[1])
        axes = figure.subplots(len(panels), 1, squeeze=False)
    else:
        figure = blank(2, _HEIGHT[2] + _LINE * math.ceil(max(lines) / _COLUMNS) + 0.1)
        axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (what, values) in zip(axes.flat, panels.items()):
        _panel(axis, places, values, width, card.classes if what == "label" and card.kind == "multiclass" else ())
        axis.set_title(f"by {what}")
        axis.set_xlabel(titles[0])
        axis.set_ylabel(titles[1])
        axis.set(xticks=[], yticks=[])
    many = [what for what, values in panels.items() if len(np.unique(values)) > SHOWN]
    figure.caption = _caption(card, encoder, len(clips), own, method, state, many, alike)
    return figure


def labels_of(labels: np.ndarray, card: TaskCard) -> np.ndarray:
    """(N,) what each label is called: the class, the classes of a multilabel task, or the quarter of a number."""
    if card.kind == "regression":
        edges = np.unique(np.quantile(labels.astype(float), [0.25, 0.5, 0.75]))
        at = np.searchsorted(edges, labels.astype(float), side="left")
        names = [f"≤ {edge:.3g}" for edge in edges] + [f"> {edges[-1]:.3g}"]
        return np.array([names[i] for i in at])
    if card.kind == "multilabel":
        present = label_kinds.bits(labels, len(card.classes))
        named = ["+".join(name for name, there in zip(card.classes, row) if there) for row in present]
        return np.array([name or "none" for name in named])
    return np.array([card.classes[int(label)] for label in labels])


def _panel(axis: Axes, places: np.ndarray, values: np.ndarray, width: int, order: Sequence[str]) -> None:
    """Draws the clips of each value; the rarer values are small, grey and below."""
    found, counts = np.unique(values, return_counts=True)
    ordered = found[np.lexsort((found, -counts))]
    rest = ordered[SHOWN:]
    shown = [value for value in (order or found) if value in set(ordered[:SHOWN])]
    of_value = looks(list(shown))
    handles = []
    if len(rest):
        own = places[np.isin(values, rest)]
        handles.append(axis.plot(*own.T, ".", color=PALE, ms=2, ls="", label=f"{OTHERS} ({len(rest)})", zorder=1)[0])
    size = 2.6 if len(values) > 300 else 3.4
    # the same order of drawing for all, so that no value lies on top of the others as a whole
    turns = np.array_split(np.random.default_rng(0).permutation(len(values)), 12)
    for turn, part in enumerate(turns):
        for value in shown:
            own = places[part[values[part] == value]]
            look = of_value[value].on_lines(size, alpha=0.8)
            axis.plot(*own.T, ls="", **(look | {"mew": 0.2}), zorder=2 + turn / 100)
    names = [broken(value, 0.8 if width == 2 else 0.85) for value in shown]
    named = [axis.plot([], [], ls="", **of_value[v].on_lines(4, label=n))[0] for v, n in zip(shown, names)]
    if width == 2:
        axis.legend(handles=[*named, *handles], loc="upper left", bbox_to_anchor=(0, -0.1), ncols=_COLUMNS)
    else:
        axis.legend(handles=[*named, *handles], loc="upper left", bbox_to_anchor=(1.01, 1.02), ncols=1)


def _caption(
    card: TaskCard,
    encoder: str,
    total: int,
    own: pd.DataFrame,
    method: str,
    state: str,
    many: Sequence[str],
    alike: Mapping[str, str],
) -> str:
    how = {"pca": "the first two principal components", "umap": "UMAP with its defaults and seed 0"}[method]
    part = f"{len(own)} of {total} clips (drawn with seed 0)" if len(own) < total else f"{total} clips"
    return captions.caption(
        f"Clips of {card.id} by {how} of the standardised features of {encoder}",
        f"{part}, of {own['group'].nunique()} {card.group}s, training and test alike",
        f"The {SHOWN} most frequent have a look of their own by {' and '.join(many)}" if many else "",
        "".join(f"All have one {what}: {value}. " for what, value in alike.items()),
        "A map shows neighbourhoods, not scores; without intervals",
        {"complete": "", "subset": "A subset of the corpus's recordings"}.get(state, "Simulated recordings, no result"),
    )
