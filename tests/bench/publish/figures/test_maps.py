import dataclasses

import numpy as np
import pandas as pd
import pytest

import bench
from bench.base import registry
from bench.base.errors import BadInput
from bench.publish.figures.maps import embedding_map, labels_of, map_of
from bench.runs.choices import EncoderChoice
from bench.runs.encode import encode_task
from figure_checks import problems, texts

CARD = registry.task_card("icbhi.cycles4")


def clips(n=400, patients=30):
    draw = np.random.default_rng(0)
    devices = ["AKGC417L", "LittC2SE", "Meditron", ""]
    return pd.DataFrame(
        {
            "label": draw.integers(0, 4, n),
            "group": draw.integers(0, patients, n).astype(str),
            "domain": draw.choice(devices, n),
        }
    )


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
def test_three_panels_and_nothing_overlaps_or_is_cut_off(width):
    table = clips()
    features = np.random.default_rng(1).standard_normal((len(table), 20)) + table[["label"]].to_numpy()
    figure = map_of(features, table, CARD, "toy.bands, mean", width)
    assert not problems(figure)
    shown = {text.get_text() for text in texts(figure)}
    assert {"by label", "by patient", "by device", "not told", "others (22)", *CARD.classes} <= shown
    assert "400 clips, of 30 patients" in figure.caption


def test_a_kind_of_which_there_is_one_value_has_no_panel_and_is_told():
    table = clips().assign(domain="Meditron")
    figure = map_of(np.random.default_rng(1).standard_normal((400, 3)), table, CARD, "x")
    assert len(figure.axes) == 2 and "All have one device: Meditron." in figure.caption


def test_many_clips_are_drawn_by_a_fixed_seed_and_the_caption_says_so():
    table = clips(500)
    figure = map_of(np.random.default_rng(1).standard_normal((500, 3)), table, CARD, "x", most=100)
    assert "100 of 500 clips (drawn with seed 0), of" in figure.caption


def test_features_and_clips_must_be_as_many():
    features = np.random.default_rng(0).standard_normal((10, 4))
    with pytest.raises(BadInput, match="one row for each clip"):
        map_of(features, clips(11), CARD, "x")


def test_labels_of_every_kind_have_names():
    bits = dataclasses.replace(CARD, kind="multilabel", classes=("crackle", "wheeze"))
    assert labels_of(np.array([0, 1, 3]), bits).tolist() == ["none", "crackle", "crackle+wheeze"]
    number = dataclasses.replace(CARD, kind="regression", classes=("rate",))
    assert labels_of(np.arange(8.0), number).tolist()[::2] == ["≤ 1.75", "≤ 3.5", "≤ 5.25", "> 5.25"]


@pytest.mark.long
def test_features_that_are_kept_make_a_map_and_others_say_how_to_keep_them(simulated):
    with pytest.raises(BadInput, match=r"respbench encode icbhi\.cycles2 --encoder mfcc\.stats"):
        embedding_map("icbhi.cycles2", "mfcc.stats", root=simulated)
    encode_task("icbhi.cycles2", EncoderChoice("fbank.stats"), root=simulated)
    figure = embedding_map("icbhi.cycles2", "fbank.stats", root=simulated)
    assert "Simulated recordings" in figure.caption and bench.plots.embedding_map is embedding_map
