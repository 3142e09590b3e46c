"""Standings of records with made-up predictions: the arithmetic of comparisons is tested beside, the plumbing here."""

import dataclasses
import time

import numpy as np
import pandas as pd
import pytest

import bench
from bench.base.errors import BadInput
from bench.probe.protocols import BEST_TEST, FINETUNE
from bench.reports.leaderboard.standings.compute import by_rows_and_tests
from bench.reports.leaderboard.standings.cost import SPEEDS, read_speeds
from bench.reports.leaderboard.standings.samples import DRAWS, ScoredTest, contest_of_means
from bench.reports.leaderboard.table import PEEKED
from bench.scores import per_test, records
from bench.scores.schema import Record

TASK = {
    "classes": ["normal", "crackle"],
    "metrics": ["icbhi.Score"],
    "main_metric": "icbhi.Score",
    "normal": 0,
    "adventitious": [1],
    "tests": {"inter": ["test_inter"], "intra": ["test_intra"]},
    "group": "patient",
    "domain": "device",
}


def made(encoder, right, task="corpus.one", seed=0, protocol="linear", patients=40, each=6, **data):
    """A record whose predictions are right with some probability."""
    rng = np.random.default_rng([seed, sum(map(ord, encoder)), sum(map(ord, task))])
    clips = patients * each
    group = np.repeat([f"p{i:02d}" for i in range(patients)], each)
    y = np.tile(np.arange(each) % 2, patients)
    said = np.where(rng.random(clips) < right, y, 1 - y)
    table = pd.DataFrame(
        {
            "clip_id": [f"c{i:03d}" for i in range(clips)],
            "group": group,
            "domain": "d",
            "split": np.where(np.arange(clips) < clips // 2, "test_inter", "test_intra"),
            "duration_s": 1.0,
            "y_true": y,
            "y_pred": said,
            "s_0": 1.0 - said,
            "s_1": 1.0 * said,
        }
    )
    spec = dict.fromkeys(("weights", "parameters", "clip", "resampler", "dtype", "manifest", "excluded"), "x")
    spec |= {"task": task, "task_version": 1, "state": "complete", "encoder": encoder, "pooling": "mean", "layer": -1}
    spec |= {"protocol": protocol, "seed": seed, "kind": "frozen", "encoder_version": 1, "protocol_version": 1}
    facts = {"task": TASK, "marks": [], "state": "complete", "excluded": [], "groups_in_train": {"intra": 1}}
    facts |= {"params": 1_000_000} | data
    scores, domains = per_test.score_predictions(TASK, table)
    run = {"peak_memory_mb": 1500.0}
    return Record(records.key(spec), spec, scores, domains, {}, facts, table, run)


def board(tasks=("corpus.one", "corpus.two", "other.one")):
    right = {"good": 0.95, "also_good": 0.95, "bad": 0.6, "random.good": 0.5}
    return [made(encoder, share, task) for encoder, share in right.items() for task in tasks]


@pytest.fixture(scope="module")
def whole():
    return bench.standings(board())


def test_every_test_has_its_rows_best_first_and_its_resolution(whole):
    assert [(of.task, of.test, of.headline) for of in whole.tests][:2] == [
        ("corpus.one", "inter", True),
        ("corpus.one", "intra", False),
    ]
    of = whole.tests[0]
    values = [each.value for each in of.rows[:3]]
    assert values == sorted(values, reverse=True) and of.rows[-1].row.encoder == "random.good"
    assert of.rows[2].row.encoder == "bad" and of.rows[2].best is False and of.rows[2].p <= 0.05
    assert of.rows[0].best and not set(of.rows[0].letters) & set(of.rows[2].letters)
    assert 0 < of.resolution.resolved < of.resolution.found < 1 and of.resolution.pairs == 3
    assert (of.clips, of.groups) == (120, 20)


def test_controls_are_never_compared(whole):
    for control in [*(of.rows[-1] for of in whole.tests), whole.overall[-1]]:
        assert control.row.rank_class == "control"
        assert (control.best, control.p, control.letters) == (None, None, "")
    assert whole.overall[-1].rank_low is None


def test_ranks_have_intervals_that_hold_the_rank(whole):
    ranked = [each for each in whole.overall if each.rank]
    assert len(ranked) == 3
    for each in ranked:
        assert each.rank_low <= each.rank <= each.rank_high
    assert (ranked[2].row.encoder, ranked[2].rank_low, ranked[2].rank_high) == ("bad", 3, 3)
    assert whole.mean_of == ("corpus.one/inter", "corpus.two/inter", "other.one/inter")
    assert whole.critical["frozen"].tests == whole.mean_of and "few" in whole.critical["frozen"].weak


def test_a_row_without_a_test_has_no_mean_and_says_what_is_missing():
    some = [r for r in board() if (r.spec["encoder"], r.spec["task"]) != ("good", "corpus.two")]
    standings = bench.standings(some)
    (row,) = [each for each in standings.overall if each.row.encoder == "good"]
    assert (row.mean, row.rank, row.best, row.missing) == (None, None, None, ("corpus.two/inter",))
    assert [each.rank for each in standings.overall if each.row.rank_class == "frozen"] == [1, 2, None]


def test_comparisons_of_a_test_do_not_depend_on_other_tasks(whole):
    alone = bench.standings(board(("corpus.one",)))
    assert alone.tests == whole.tests[:2]


def test_it_is_the_same_every_time_and_in_any_order(whole):
    again = bench.standings(board()[::-1])
    assert again.tests == whole.tests and again.overall == whole.overall


def test_patients_of_one_corpus_are_drawn_together():
    """The same predictions as another task of the corpus: a mean of both is no surer than one of them."""
    one = [made(encoder, right, "corpus.one") for encoder, right in (("good", 0.8), ("bad", 0.7))]
    twice = one + [_as_task(record, "corpus.two") for record in one]
    apart = one + [_as_task(record, "other.one") for record in one]
    sure, together, different = (_spread(part) for part in (one, twice, apart))
    close = 3 / np.sqrt(DRAWS)  # of a deviation from so many draws
    assert together == pytest.approx(sure, rel=close) and different == pytest.approx(sure / np.sqrt(2), rel=close)


def _as_task(record, task):
    spec = dict(record.spec) | {"task": task}
    return dataclasses.replace(record, spec=spec, key=records.key(spec))


def _spread(part):
    return contest_of_means(_scored(part)).spread[0, 1]


def _scored(part):
    return [ScoredTest.of(test, rows) for (_, test), rows in by_rows_and_tests(part).items() if test == "inter"]


def test_transfers_share_the_patients_of_their_corpora():
    native, there = made("good", 0.8, "corpus.one"), made("good", 0.8, "transfer.other-corpus")
    named = there.predictions.assign(group="corpus:" + there.predictions["group"])
    part = [native, dataclasses.replace(there, predictions=named)]
    assert np.array_equal(*(each.patients for each in _scored(part)))


def test_seeds_are_one_row():
    part = [made(encoder, 0.8, seed=seed) for encoder in ("good", "bad") for seed in (0, 1, 2)]
    rows = bench.standings(part).tests[0].rows
    assert [len(each.keys) for each in rows] == [3, 3]


def test_rows_of_a_few_patients_are_compared_among_themselves():
    frozen = [made(encoder, 0.9) for encoder in ("good", "bad")]
    few = [_as_kind(made(e, s, protocol="fewshot-10"), "fewshot") for e, s in (("good", 0.95), ("bad", 0.6))]
    standings = bench.standings([*frozen, *few])
    assert [each.row.rank_class for each in standings.overall] == ["frozen"] * 2 + ["fewshot"] * 2
    assert [each.rank for each in standings.overall][2:] == [1, 2]
    assert [each.best for each in standings.tests[0].rows[2:]] == [True, False]


def _as_kind(record, kind):
    spec = dict(record.spec) | {"kind": kind}
    return dataclasses.replace(record, spec=spec, key=records.key(spec))


def test_rows_that_chose_their_epoch_on_the_test_are_neither_best_nor_ranked():
    honest = [_as_kind(made(e, s, protocol=FINETUNE), "finetune") for e, s in (("good", 0.9), ("bad", 0.6))]
    peeking = [_as_kind(made(e, s, protocol=BEST_TEST), "finetune") for e, s in (("good", 0.99), ("bad", 0.6))]
    standings = bench.standings([*honest, *peeking])
    assert [each.row.rank_class for each in standings.overall] == ["finetune"] * 2 + [PEEKED] * 2
    assert [each.rank for each in standings.overall] == [1, 2, None, None]
    for each in (*standings.tests[0].rows[2:], *standings.overall[2:]):
        assert (each.best, each.p, each.letters) == (None, None, "")
    assert standings.overall[2].mean == standings.tests[0].rows[2].value
    assert PEEKED not in standings.critical and standings.tests[0].resolution.pairs == 1


def test_one_row_alone_is_not_compared():
    of = bench.standings([made("good", 0.8)]).tests[0]
    assert of.rows[0].best is None and of.resolution is None


def test_one_patient_is_not_compared():
    of = bench.standings([made(e, s, patients=2, each=40) for e, s in (("good", 0.9), ("bad", 0.1))]).tests[0]
    assert of.groups == 1 and [each.best for each in of.rows] == [None, None]


def test_rows_on_different_clips_are_refused():
    good, bad = made("good", 0.8), made("bad", 0.8)
    moved = dataclasses.replace(bad, predictions=bad.predictions.assign(clip_id="x" + bad.predictions["clip_id"]))
    with pytest.raises(BadInput, match=r"corpus\.one/in.*differ in their clips"):
        bench.standings([good, moved])


def test_marks_and_cost_are_those_of_the_records():
    seen = made("good", 0.8, marks=["corpus seen in pretraining"], state="subset", clips_cropped_to_max_s=7)
    standings = bench.standings([seen, made("bad", 0.7, state="subset")])
    assert standings.tests[0].marks == ("subset of the corpus",)
    row = next(row for row in standings.cost if row.encoder == "good")
    assert standings.marks[row, "corpus.one", "inter"] == (
        "corpus seen in pretraining",
        "7 clips cropped",
        "subset of the corpus",
    )
    assert "1 patient in train" in standings.marks[row, "corpus.one", "intra"]
    assert (standings.cost[row].parameters, standings.cost[row].gb) == (1_000_000, 1.5)
    assert standings.cost[row].ms_per_clip is None


def test_speeds_are_those_of_the_encoder_or_its_twin(tmp_path):
    assert read_speeds(tmp_path) == {}
    path = tmp_path / SPEEDS
    path.parent.mkdir()
    path.write_text("encoder,corpus,clips_per_s\ngood,A,100\ngood,B,50\nrandom.bad,A,10\n", encoding="utf-8")
    speeds = read_speeds(tmp_path)
    part = [made("good", 0.8), made("bad", 0.7), made("random.good", 0.5), made("fine", 0.7)]
    cost = {row.encoder: cost for row, cost in bench.standings(part, ms_per_clip=speeds).cost.items()}
    taken = {encoder: each.ms_per_clip for encoder, each in cost.items()}
    assert taken == {"good": 15.0, "random.good": 15.0, "bad": 100.0, "fine": None}
    path.write_text("encoder,clips\ngood,3\n", encoding="utf-8")
    with pytest.raises(BadInput, match="table of speeds"):
        read_speeds(tmp_path)


def test_many_rows_take_no_long():
    """40 rows: comparisons are of matrices, so this is a second or two of one core where loops took minutes."""
    part = [made(f"e{i:02d}", 0.6 + i / 200, patients=40) for i in range(40)]
    began = time.process_time()
    ranked = [each for each in bench.standings(part).overall if each.rank]
    assert len(ranked) == 40 and time.process_time() - began < 30
