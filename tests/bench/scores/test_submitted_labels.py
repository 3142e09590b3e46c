"""What labels in a prediction file mean, whatever the classes are called."""

import csv
import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench.base.errors import BadInput, UnknownId
from bench.cli.main import main
from bench.scores import label_kinds, per_test, records
from bench.scores.submitted import LabelReader, score_file
from bench.types import TaskCard

ODD = [
    "0",
    "1",
    "2",
    "-1",
    "+1",
    "01",
    "1.0",
    "1.",
    "1e0",
    "None",
    "NA",
    "nan",
    "",
    " ",
    "a,b",
    'say "x"',
    "é",
    "e\u0301",
]
ODD += [
    "a\nb",
    "Wheeze",
    "wheeze",
    "whéeze ",
    "Crackle + Wheeze",
    "wheeze&crackle",
    "#x",
    "s_0",
    "1,5",
    "sep=;",
    "正常",
    "=1+1",
    "@x",
    "'1",
    "\t",
    "inf",
    "-0",
    "1e400",
    "½",
    "٣",
    "a|b",
    "\u202ea",
    "🫁",
]
NAMES = st.lists(st.sampled_from(ODD) | st.text(max_size=5), min_size=2, max_size=5, unique=True)


def card_of(names, kind="multiclass"):
    facts = {"url": "", "licence": "", "citation": "", "kind": kind}
    metric = {"multiclass": "uar", "multilabel": "auroc.bits", "regression": "mae"}[kind]
    return TaskCard("toy.task", 1, tuple(names), metric, (metric,), {"test": ("test",)}, **facts)


def predicted(card, seed, n=16):
    """A prediction table as records hold it, of clips with odd names."""
    draw = np.random.default_rng(seed)
    scores = records.as_stored(draw.normal(size=(n, len(card.classes))))
    most = 2 ** len(card.classes) if card.kind == "multilabel" else len(card.classes)
    odd = ["", "#", " ", '"', ",", ";", "é", "NA", "0", "=", "@", "'", "\t", "|", "-"]
    table = {
        "clip_id": [f"{odd[k % len(odd)]}clip{k}" for k in range(n)],
        "group": [f"p{k // 2}" for k in range(n)],
        "domain": "NA",
        "split": "test",
        "duration_s": records.as_stored(draw.uniform(0.1, 9, n)),
        "y_true": draw.normal(size=n) if card.kind == "regression" else draw.integers(0, most, n),
        "y_pred": label_kinds.of(card).decided(scores),
    }
    return pd.DataFrame(table | {f"s_{k}": scores[:, k] for k in range(len(card.classes))})


def manifest_of(table):
    return table[["clip_id", "group", "domain", "split"]].assign(label=table["y_true"])


def saved(folder, table, **how):
    path = folder / "predictions.csv"
    table.to_csv(path, index=False, **how)
    return path


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(NAMES, st.sampled_from(["multiclass", "multilabel"]), st.integers(0, 99), st.booleans())
def test_what_is_written_as_a_record_scores_as_the_record(tmp_path_factory, names, kind, seed, packed):
    card, folder = card_of(names, kind), tmp_path_factory.mktemp("own")
    table = predicted(card, seed)
    content, path = records.predictions_csv(table), folder / "predictions.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    want = per_test.score_predictions(per_test.task_facts(card), table)[0]
    report = score_file(card, path, manifest_of(table))
    assert report["scores"] == want and report["warnings"] == []
    shortened = saved(folder, table.drop(columns=["group", "domain", "split"]), float_format="%.17g")
    assert score_file(card, shortened, manifest_of(table))["scores"] == want  # the manifest tells what numbers are
    given = score_file(card, path, absent="gone")["scores"]["as given"]
    assert {name: score["value"] for name, score in given.items()} == {
        name: score["value"] for name, score in want["test"].items()
    }


@settings(max_examples=40, deadline=None)
@given(NAMES, st.integers(0, 99), st.booleans())
def test_names_are_read_as_they_are_written(tmp_path_factory, names, seed, known):
    names = [name for name in names if name.strip() and "\0" not in name]  # no table of text holds a zero byte
    assume(len(names) > 1)
    card, folder = card_of(names), tmp_path_factory.mktemp("named")
    table = predicted(card, seed)
    named = table[["clip_id"]].assign(**{y: [names[k] for k in table[y]] for y in ("y_true", "y_pred")})
    path = saved(folder, named, quoting=csv.QUOTE_ALL)
    manifest = manifest_of(table) if known else None
    assert (
        score_file(card, path, manifest, labels="names")["scores"][("as given", "test")[known]]["uar"]["value"]
        == (per_test.score_predictions(per_test.task_facts(card), table)[0]["test"]["uar"]["value"])
    )


ONE_TWO = card_of(("1", "2"))


def uar(folder, card, true, predictions, manifest=None, labels=None, **more):
    ids = [f"c{k}" for k in range(len(true))]
    path = saved(folder, pd.DataFrame({"clip_id": ids, "y_true": true, "y_pred": predictions, **more}))
    report = score_file(card, path, manifest, "gone", labels)
    return next(iter(report["scores"].values()))["uar"]["value"]


def test_numbers_are_one_thing_throughout_a_file(tmp_path):
    assert uar(tmp_path, ONE_TWO, [0, 0, 1, 1], [0, 1, 0, 1]) == 0.5  # indices: 0 is no name
    assert uar(tmp_path, ONE_TWO, [1, 1, 2, 2], [1, 2, 1, 1]) == 0.25  # names: 2 is no index
    assert uar(tmp_path, ONE_TWO, [1.0, 1.0, 2.0, 2.0], [1.0, 2.0, 1.0, 2.0]) == 0.5
    assert uar(tmp_path, ONE_TWO, ["01", "01", "02"], ["01", "02", "02"]) == 0.75
    assert uar(tmp_path, card_of(("-1", "1")), [-1, 1, 1], [-1, 1, -1]) == 0.75
    assert uar(tmp_path, card_of(("normal", "wheeze")), ["wheeze", "normal"], [1, 1]) == 0.5  # words beside indices
    with pytest.raises(BadInput, match="y_pred in line 3 is '2'"):
        uar(tmp_path, ONE_TWO, [0, 1], [1, 2])


def test_where_both_fit_and_differ_the_file_is_refused_unless_something_tells(tmp_path):
    ids = [f"c{k}" for k in range(2)]
    with pytest.raises(BadInput, match=r"names as well as their indices.* 0 1, 1 2; say which .*--labels=names"):
        uar(tmp_path, ONE_TWO, [1, 1], [1, 1])
    for labels, label in (("names", 0), ("indices", 1)):
        manifest = pd.DataFrame({"clip_id": ids, "group": ids, "domain": "", "split": "test", "label": [label] * 2})
        assert uar(tmp_path, ONE_TWO, [1, 1], [1, 1], manifest) == 1
        path = tmp_path / "predictions.csv"
        assert f"are read as {labels} of classes, as the manifest" in score_file(ONE_TWO, path, manifest)["warnings"][0]
        assert uar(tmp_path, ONE_TWO, [1, 1], [1, 1], labels=labels) == 1
        with pytest.raises(BadInput, match="contradicts the manifest"):
            uar(tmp_path, ONE_TWO, [1, 1], [1, 1], manifest, {"names": "indices", "indices": "names"}[labels])
        scores = {"s_0": [1 - label] * 2, "s_1": [label] * 2}
        assert uar(tmp_path, ONE_TWO, [1, 1], [1, 1], **scores) == 1
        assert f"as {labels} of classes, as the scores" in score_file(ONE_TWO, path, None, "gone")["warnings"][0]
    with pytest.raises(UnknownId, match="did you mean 'names'"):
        uar(tmp_path, ONE_TWO, [1, 1], [1, 1], labels="name")


def test_the_same_labels_either_way_are_no_question(tmp_path):
    assert uar(tmp_path, card_of(("0", "1")), [0, 1], [0, 1]) == 1


def test_classes_that_differ_in_spelling_are_read_exactly_and_others_of_them_not_at_all():
    reader = LabelReader(card_of(("Wheeze", "wheeze", "fine crackle", "a+b")))
    assert [reader.named(text) for text in ("Wheeze", "wheeze", " wheeze ", "WHEEZE")] == [0, 1, 1, None]
    assert [reader.named(text) for text in ("Fine-Crackle", "FINE  CRACKLE", "b & a")] == [2, 2, 3]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_prediction_files_are_read_whatever_saved_them(tmp_path, separator):
    card = card_of(("None", "wheeze"))
    lines = ["§ by hand", "Clip_ID,Y_True,Y_Pred,S_0,S_1", "a,None,None,0#75,0#25", "b,wheeze,NONE,0#5,0#5"]
    text = "\r\n".join(lines).replace(",", separator).replace("#", ",").replace("§", "#")
    (tmp_path / "mine.csv").write_text(text, encoding="utf-16")
    assert score_file(card, tmp_path / "mine.csv", absent="gone")["scores"]["as given"]["uar"]["value"] == 0.5


def test_numbers_of_a_regression_may_have_a_comma(tmp_path):
    (tmp_path / "mine.csv").write_text("clip_id;y_true;y_pred\na;1,5;1\nb;2;2,25\n")
    report = score_file(card_of(("rate",), "regression"), tmp_path / "mine.csv", absent="gone")
    assert report["scores"]["as given"]["mae"]["value"] == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_id,y_true,y_pred\na,1,\n", "y_pred in line 2 is empty"),
        ("clip_id,y_true,y_pred\n\n,1,1\n", "clip_id in line 3 is empty"),
        ("clip_id,y_true,y_pred\na,b,1,1\n", "line 2 has 4 fields, the first line 3"),
        ("clip_id,y_true,y_pred,y_pred\na,1,1,2\n", "has the column y_pred twice"),
        ("clip_id,y_true,y_pred,s_0,s_1\na,1,1,0.5,nan\n", "s_1 in line 2 is not a finite number"),
        ("clip_id,y_true,y_pred,duration_s\na,2,2,0\n", "duration_s in line 2 is not a length"),
    ],
)
def test_what_is_missing_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        score_file(ONE_TWO, tmp_path / "mine.csv", absent="gone")


def test_clips_of_the_manifest_in_another_spelling_are_named(tmp_path):
    manifest = pd.DataFrame({"clip_id": ["A.wav"], "group": "p", "domain": "", "split": "test", "label": 0})
    (tmp_path / "mine.csv").write_text("clip_id,y_true,y_pred\na.wav,0,0\n")
    assert (
        "in another spelling: 'A.wav' and 'a.wav'"
        in score_file(ONE_TWO, tmp_path / "mine.csv", manifest)["warnings"][0]
    )


def test_the_command_takes_what_numbers_are(tmp_path, capsys):
    (tmp_path / "mine.csv").write_text("clip_id,y_true,y_pred\na,Normal,Normal\nb,1,1\n")
    command = ["score", "--task", "sprsound.events7", str(tmp_path / "mine.csv"), "--root", str(tmp_path)]
    assert main([*command, "--labels", "indices"]) == 0
    assert main([*command, "--labels", "names"]) == 1
    assert "y_true in line 3 is '1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "kind", "cells", "remedy"),
    [
        ("names", "multiclass", ["Normal", "1"], "use Normal, Crackle, or say --labels=indices, which all of the file"),
        ("names", "multiclass", ["Normal", "Rale"], "use Normal, Crackle$"),
        ("names", "multiclass", ["1", "2"], "use Normal, Crackle$"),
        ("indices", "multiclass", ["0", "7"], r"use 0…1$"),
        (None, "multiclass", ["0", "7"], r"use 0…1 or Normal, Crackle$"),
        ("names", "multilabel", ["Normal+Crackle", "3"], "joined by \\+, or say --labels=indices, which all"),
        ("indices", "multilabel", ["0", "4"], "use sums of 2\\^k over the classes Normal, Crackle$"),
        (None, "multilabel", ["0", "Rale"], "classes Normal, Crackle or names of Normal, Crackle joined by \\+$"),
        ("names", "regression", ["1", "high"], "use a number$"),
    ],
)
def test_the_remedy_offers_what_the_reading_that_was_asked_for_takes(tmp_path, labels, kind, cells, remedy):
    card = card_of(("Normal", "Crackle"), kind)
    path = saved(tmp_path, pd.DataFrame({"clip_id": ["a", "b"], "y_true": cells, "y_pred": cells}))
    with pytest.raises(BadInput, match=remedy) as error:
        score_file(card, path, None, "gone", labels)
    assert "line 3" in str(error.value) or cells[0] == "1"


def test_names_that_are_asked_for_are_named_where_numbers_are_only_names(tmp_path):
    with pytest.raises(BadInput, match="y_true in line 3 is '2'; use 0…1, or say --labels=names"):
        uar(tmp_path, ONE_TWO, [1, 2], [1, 2], labels="indices")
