import dataclasses

import pytest

from bench.base import registry
from bench.base.errors import BadInput
from bench.probe.protocols import BEST_TEST, PROTOCOLS
from bench.reports.leaderboard.published.rows import TRUST, comparable, published_rows
from bench.scores import metrics

EVERY = published_rows(trust=TRUST)


def _one(**what):
    return next(row for row in EVERY if all(getattr(row, name) == value for name, value in what.items()))


def test_primary_rows_come_unless_others_are_asked_for():
    assert {row.trust for row in published_rows()} == {"primary"}
    assert {row.trust for row in published_rows(trust=("rerun", "derived"))} == {"rerun", "derived"}
    assert {row.trust for row in EVERY} == set(TRUST) and len(EVERY) > len(published_rows())
    with pytest.raises(BadInput, match="hearsay"):
        published_rows(trust=("hearsay",))


def test_every_row_has_a_source():
    assert all(row.source and row.value and row.system for row in EVERY)


def test_what_rows_are_said_to_be_of_is_there():
    for row in EVERY:
        if row.our_task:
            card = registry.task_card(row.our_task)
            assert not row.our_test or row.our_test in card.tests, row
            assert not row.our_metric or (row.our_metric in card.metrics and metrics.get(row.our_metric)), row
        assert not row.our_protocol or row.our_protocol in PROTOCOLS
        assert row.differs or not row.our_task or (row.our_test and row.our_metric and row.our_protocol), row


def test_a_row_is_comparable_with_the_same_split_test_and_protocol_alone():
    row = _one(our_task="kauh.obstructive@literature/opera", our_protocol="literature/opera", differs="")
    same = (row.our_task, row.our_test, row.our_protocol)
    assert comparable(row, *same) == (True, "")
    for changed, why in (
        (("kauh.obstructive", *same[1:]), "another split"),
        ((same[0], "other", same[2]), "another test"),
        ((*same[:2], "linear"), "another protocol"),
        (("ssbpr.position", *same[1:]), "of kauh.obstructive"),
    ):
        fits, reason = comparable(row, *changed)
        assert not fits and why in reason
    fits, reason = comparable(row, *same, state="subset")
    assert not fits and "subset" in reason


def test_rows_whose_epoch_was_chosen_on_the_test_are_ranked_with_such_alone():
    row = _one(our_task="icbhi.cycles4", our_protocol=BEST_TEST)
    assert comparable(row, "icbhi.cycles4", "official", BEST_TEST)[0]
    assert not comparable(row, "icbhi.cycles4", "official", "finetune")[0]
    assert not comparable(row, "icbhi.cycles4", "corrected", BEST_TEST)[0]


@pytest.mark.parametrize("words", ["random file split", "80/20", "OUTLIER", "25% of official"])
def test_other_splits_are_comparable_with_nothing(words):
    rows = [row for row in EVERY if words in row.protocol]
    assert rows
    for row in rows:
        for protocol in PROTOCOLS:
            assert not comparable(row, row.our_task, row.our_test, protocol)[0]


def test_scores_of_means_over_classes_are_no_challenge_scores():
    rows = [row for row in EVERY if "(macro)" in row.metric]
    assert rows and all("not pooled" in row.differs for row in rows)


def test_what_differs_is_said_before_the_state_of_our_copy():
    row = _one(our_task="icbhi.cycles4", our_test="official", our_protocol="")
    told = comparable(dataclasses.replace(row, differs="a reason"), "icbhi.cycles4", "official", "finetune", "subset")
    assert told == (False, "a reason")
