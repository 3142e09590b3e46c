import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import toy_boards
from bench.reports.sweep import drawings, figures
from figure_checks import problems, texts

GRID = [10.0**k for k in range(-6, 6)]


def scored(tasks=3, layers=2, metric="uar", lost=()):
    """Scores of an encoder that rise with the layer; ``lost`` (task, layer) has none."""
    rows = [
        {"task": f"toy.with_a_long_name{t}", "layer": layer, "pooling": pooling, "value": 0.5 + 0.1 * layer + 0.01 * p}
        for t in range(tasks)
        for layer in range(layers)
        for p, pooling in enumerate(("mean", "freq"))
        if (t, layer) not in lost
    ]
    return pd.DataFrame(rows).assign(metric=metric, protocol="linear", encoder="toy.waves")


def with_path(encoder, pooling="mean", labels=(None,), weights=(None, "balanced")):
    """A record with a path over C for every label and class weight."""
    prefix = {label: "" if label is None else f"{label} " for label in labels}
    chosen = {
        f"{prefix[label]}{name}": value for label in labels for name, value in (("C", 1.0), ("class_weight", None))
    }
    path = [
        {"label": label, "class_weight": weight, "C": c, "score": 0.6 - 0.01 * abs(np.log10(c))}
        for label in labels
        for weight in weights
        for c in GRID
    ]
    record = toy_boards.record(encoder=encoder, pooling=pooling)
    return dataclasses.replace(record, selection={"method": "…", "chosen": chosen, "path": path, "folds": {}})


def named(records):
    return {record.key: record.spec["encoder"] for record in records}


def differing(tasks=4, seeds=(0,)):
    rows = [
        {"task": f"toy.task{t}", "encoder": f"toy.encoder_of_a_long_name{e}", "seed": seed, "value": 0.01 * e}
        for t in range(tasks)
        for e in range(3)
        for seed in seeds
    ]
    frame = pd.DataFrame(rows).assign(layer=-1, pooling="freq", minus="mean", protocol="linear", metric="uar")
    return frame.assign(low=frame["value"] - 0.015, high=frame["value"] + 0.015)


@pytest.mark.long
@pytest.mark.parametrize("tasks, layers", [(1, 1), (3, 12), (25, 2)])
def test_a_heat_map_has_every_score_and_nothing_overlaps(tasks, layers):
    part = scored(tasks, layers)
    figure = drawings.heat_map("toy.waves", part)
    assert not problems(figure)
    shown = [text.get_text() for text in texts(figure)]
    assert sum(text == "50.0" for text in shown) == tasks and len(shown) >= len(part)


@pytest.mark.parametrize("metric, best", [("uar", "61.0"), ("mae", "0.50")])
def test_the_best_of_a_column_is_the_brightest(metric, best):
    axis = drawings.heat_map("toy.waves", scored(1, metric=metric)).axes[0]
    said = [text.get_text() for text in axis.texts]
    faces = [to_hex(cell.get_facecolor()[0]) for cell in axis.collections]
    assert faces[said.index(best)] == "#fee838"  # the end of cividis


def test_a_cell_without_a_record_stays_empty_and_equal_scores_are_all_best():
    axis = drawings.heat_map("toy.waves", scored(2, lost=[(0, 1)])).axes[0]
    assert len(axis.texts) == len(axis.collections) == 6
    assert drawings.heat_map("toy.waves", scored(1).assign(value=0.5)).axes[0].collections


@pytest.mark.long
@pytest.mark.parametrize("encoders", [1, 2, 4, 7])
def test_paths_have_a_panel_an_encoder_and_one_key_to_all(encoders):
    own = [with_path(f"toy.encoder{e}", pooling) for e in range(encoders) for pooling in ("mean", "freq", "max")]
    figure = drawings.paths("toy.cycles3", own, named(own))
    assert not problems(figure)
    assert sum(axis.get_visible() for axis in figure.axes) == encoders
    (key,) = figure.legends
    shown = [text.get_text() for text in key.get_texts()]
    assert shown == ["freq", "max", "mean", "class weight none", "class weight balanced", "large: chosen"]
    assert "10⁻⁶" in [text.get_text() for text in texts(figure)]


def test_every_label_has_a_panel_of_its_own():
    own = [with_path("toy.encoder", labels=("crackle", "wheeze"))]
    figure = drawings.paths("toy.cycles3", own, named(own))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["toy.encoder, crackle", "toy.encoder, wheeze"]
    assert [len(axis.lines) for axis in figure.axes] == [3, 3]  # two class weights and what was chosen


@pytest.mark.parametrize("seeds, said", [((0,), "mean"), ((0, 1), "seed 1")])
def test_a_difference_is_filled_where_its_interval_excludes_zero(seeds, said):
    figure = drawings.poolings(differing(seeds=seeds))
    assert not problems(figure)
    faces = [line.get_markerfacecolor() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert sum(face != "white" for face in faces) == 4 * len(seeds)
    names = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_yticklabels()]
    assert names[0] == "toy.task0" and any(name.endswith(said) for name in names)


def test_figures_on_disk_are_drawn_anew_where_numbers_or_looks_differ(tmp_path, monkeypatch):
    def bytes_after(part):
        (path,) = figures.draw(tmp_path, part, [], pd.DataFrame())
        assert figures.shown(path) == figures.names(part, [], pd.DataFrame())[path.name]
        return path.read_bytes(), path.stat().st_mtime_ns

    first = bytes_after(scored())
    assert bytes_after(scored()) == first
    assert bytes_after(scored(layers=3))[0] != first[0]
    monkeypatch.setattr(figures, "LOOK", figures.LOOK + 1)
    monkeypatch.setitem(drawings.__dict__, "_ROW", 0.3)
    assert bytes_after(scored(layers=3))[0] != first[0]
