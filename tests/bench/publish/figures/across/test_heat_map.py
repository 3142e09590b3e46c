import dataclasses

import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.probe.protocols import BEST_TEST, FINETUNE
from bench.publish.figures.across.heat_map import heat_map
from bench.reports.leaderboard.table import PEEKED
from figure_checks import problems, texts


def said(figure):
    return [text.get_text() for text in texts(figure)]


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
def test_every_value_stands_in_the_figure_with_its_interval_and_nothing_overlaps(width):
    made = toy_boards.board(tasks=[f"toy.with_a_long_name{i}" for i in range(9)], clips=40)
    figure = heat_map(made, width)
    assert not problems(figure)
    shown = said(figure)
    for record in made:
        score = record.scores["test"]["icbhi.Score"]
        assert f"{100 * score['value']:.1f}" in shown
        assert f"{100 * score['low']:.1f}–{100 * score['high']:.1f}" in shown


def test_a_missing_cell_is_hatched_and_said():
    made = toy_boards.board()
    assert "Hatched" not in heat_map(made).caption
    assert "Hatched" in heat_map(made[1:]).caption


def test_classes_of_rows_are_never_in_one_figure():
    frozen = toy_boards.board()
    tuned = toy_boards.record(encoder="toy.tuned", kind="finetune", protocol="finetune")
    assert not any("toy.tuned" in text for text in said(heat_map([*frozen, tuned])))
    assert any("toy.tuned" in text for text in said(heat_map([*frozen, tuned], of="finetune")))
    with pytest.raises(BadInput, match="no record is of class literature"):
        heat_map(frozen, of="literature")
    with pytest.raises(BadInput, match="no records but controls"):
        heat_map([toy_boards.control()])


def test_a_control_of_several_protocols_is_a_row_of_each():
    made = [toy_boards.record(encoder="meta.toy", protocol=name) for name in ("linear", "knn")]
    shown = said(heat_map([toy_boards.record(), *made]))
    assert sum("meta.toy" in text for text in shown) == 2
    assert [any(name in text for text in shown) for name in ("linear", "knn")] == [True, True]


def test_the_caption_says_clips_patients_interval_protocol_and_subset():
    made = [toy_boards.record(state="subset"), toy_boards.control(state="subset")]
    caption = heat_map(made).caption
    groups = made[0].predictions["group"].nunique()
    for part in (
        f"toy.cycles3, test test: 120 clips of {groups} patients",
        "Protocol linear (version 3)",
        "patient bootstrap, 2000 draws",
        "subset of the corpus's recordings: toy.cycles3",
        "Not a medical device",
    ):
        assert part in caption


def test_dollar_signs_and_markup_in_names_are_shown_as_they_are():
    record = toy_boards.record(encoder=r"toy.$\frac{1}{0}$_<b>")
    figure = heat_map([record, dataclasses.replace(toy_boards.control())])
    assert any(r"$\frac{1}{0}$" in text.replace("\n", "") for text in said(figure))
    assert not problems(figure)


def test_nothing_is_best_among_rows_that_chose_their_epoch_on_the_test():
    facts = {"kind": "finetune", "recipe": {"epochs": 3}, "device": "cpu"}
    made = [toy_boards.record(encoder="toy.tuned", protocol=name, **facts) for name in (FINETUNE, BEST_TEST)]
    bold = [[t for t in texts(heat_map(made, of=of)) if t.get_weight() == "bold"] for of in ("finetune", PEEKED)]
    assert len(bold[0]) == 1 and not bold[1]
    assert "chosen on the test: no result" in heat_map(made, of=PEEKED).caption
