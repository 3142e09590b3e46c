"""The literature's run: all training rows, the epoch by the test that is reported, sensitive epochs alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bench.base import registry
from bench.base.errors import UnknownId
from bench.data.manifest import TRAIN, prepare
from bench.finetune import fit, record
from bench.finetune.data.partition import partition, parts_of_run
from bench.finetune.record import LEAST, NoEpochToChoose, best_epoch, reported_test, scores_by_epoch
from bench.probe.protocols import BEST_TEST, FINETUNE, PEEK
from bench.reports.finetune import recipe_rows
from bench.scores import records
from toy_finetune import recipe, tiny

SENSITIVE = {"epochs": 4, "patience": 1, "method": {"name": "ce-weighted", "options": {"weights": [0.1, 0.9]}}}


@pytest.fixture(scope="module")
def literature(task, tmp_path_factory):
    """The record, and the folder that holds every epoch's predictions."""
    out = tmp_path_factory.mktemp("literature")
    chosen = recipe(**SENSITIVE)
    return fit(tiny(), task, chosen, 1, out=out, keep=True, protocol=BEST_TEST), out


def test_all_training_rows_are_trained_on_and_nobody_validates(task, literature):
    prepared = prepare(task)
    rows = prepared.rows["split"].isin(TRAIN).to_numpy()
    parts, honest = parts_of_run(task.card, prepared, 1, BEST_TEST), partition(task.card, prepared, 1)
    assert np.array_equal(parts.training, np.flatnonzero(rows)) and not len(parts.validation)
    assert np.array_equal(parts.test, honest.test)
    assert np.array_equal(parts_of_run(task.card, prepared, 1, FINETUNE).training, honest.training)
    (made,) = literature[0].records
    assert made.data["clips_trained_on"] == rows.sum() and made.selection["validation_groups"] == []
    assert made.spec["protocol"] == BEST_TEST and made.spec["protocol_version"] == 2
    assert len(made.selection["path"]) == 4 and literature[0].encoder is None  # patience has nobody to ask


def test_its_epoch_does_best_on_the_official_test(task, literature):
    (made,), folder = literature[0].records, literature[1]
    assert reported_test(task.card) == "official"
    path = [each["score"] for each in made.selection["path"]]
    best = max(score for score in path if score is not None)
    assert made.scores["official"][task.card.main_metric]["value"] == pytest.approx(best, abs=1e-6)
    assert "`official`" in made.selection["method"] and "icbhi.Se above 5 %" in made.selection["method"]
    assert "epoch chosen on the test" in made.data["marks"]
    (again,) = fit(tiny(), task, recipe(**SENSITIVE), 1, out=folder, protocol=BEST_TEST).records
    assert again.key == made.key and records.load_all(folder)[0].key == made.key


@pytest.mark.parametrize("seed", [0, 1])
def test_a_best_epoch_never_lies_below_the_honest_one_on_the_test_that_chose_it(task, seed):
    honest, peeking = fit(tiny(), task, recipe(), seed).records
    assert peeking.spec["protocol"] == PEEK
    values = [each.scores["official"][task.card.main_metric]["value"] for each in (honest, peeking)]
    assert values[1] >= values[0]


def test_so_it_is_in_every_published_run():
    runs = {}
    for made in records.load_all(Path(__file__).parents[3] / "results" / "finetune"):
        first = made.spec["protocol"] == BEST_TEST and made.spec["protocol_version"] == 1  # was of the same run
        if made.spec["protocol"] in (FINETUNE, PEEK) or first:
            of_run = {name: value for name, value in made.spec.items() if not name.startswith("protocol")}
            runs.setdefault(str(of_run), []).append(made)
    assert runs
    for pair in runs.values():
        honest, peeking = sorted(pair, key=lambda made: made.spec["protocol"] != FINETUNE)
        card = registry.task_card(honest.spec["task"])
        values = [each.scores[reported_test(card)][card.main_metric]["value"] for each in (honest, peeking)]
        assert values[1] >= values[0], (honest.key, peeking.key)


class Predicted:
    """A run's folder whose epochs predict given classes with certainty."""

    def __init__(self, epochs, classes):
        self.scores = [np.log(np.eye(classes)[labels] * (1 - 1e-6) + 1e-6 / classes) for labels in epochs]

    def load_scores(self, epoch, side):
        return self.scores[epoch]


def test_an_epoch_that_calls_all_normal_is_not_chosen(task):
    prepared, card = prepare(task), task.card
    parts = parts_of_run(card, prepared, 0, BEST_TEST)
    label = prepared.rows["label"].to_numpy()[parts.test]
    normal = np.full_like(label, card.normal)
    first = normal.copy()
    adventitious = np.flatnonzero(np.isin(label, card.adventitious))
    found = int(LEAST * len(adventitious)) + 1
    first[adventitious[:found]] = label[adventitious[:found]]  # just above 5 %
    first[label == card.normal] = card.adventitious[0]  # and worse than an epoch without any finding
    folder = Predicted([normal, first], len(card.classes))
    given = (folder, 2, parts, card, prepared, "official")
    allowed, asked = scores_by_epoch(*given), scores_by_epoch(*given, sensitive=True)
    assert allowed[0] == 0.5 > allowed[1] and asked == [None, allowed[1]]
    assert best_epoch(allowed) == 0 and best_epoch(asked) == 1


def test_a_run_without_a_sensitive_epoch_has_no_record(task, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "LEAST", 1.0)
    with pytest.raises(NoEpochToChoose, match="no epoch of seed 0 finds more than 100 % of the adventitious clips"):
        fit(tiny(), task, recipe(epochs=1), 0, out=tmp_path, protocol=BEST_TEST)
    assert list(records.paths(tmp_path)) == []


def test_a_run_that_does_not_exist_is_refused_with_the_nearest(task):
    with pytest.raises(UnknownId, match="did you mean 'literature/best-test-epoch'"):
        fit(tiny(), task, recipe(), 0, protocol="literature/best-test-epoc")


def test_the_report_has_the_literature_s_run_beside_the_honest_one(task, literature, tmp_path):
    for made in (*literature[0].records, *fit(tiny(), task, recipe(**SENSITIVE), 1).records):
        records.write(made, tmp_path)
    row = next(row for row in recipe_rows.rows(records.load_all(tmp_path)) if row.test == "official")
    values = [made.scores["official"][task.card.main_metric]["value"] for made in literature[0].records]
    assert row.literature.by_seed == tuple(values) and row.gap.difference.value >= 0
    before = [_version_1(made) for made in records.load_all(tmp_path) if made.spec["protocol"] == PEEK]
    honest = [made for made in records.load_all(tmp_path) if made.spec["protocol"] == FINETUNE]
    (old,) = (row for row in recipe_rows.rows([*honest, *before]) if row.test == "official")
    assert old.literature is None and old.peeking.by_seed == row.peeking.by_seed
    elsewhere = [_on_another_task(made) for made in (*honest, *before)]  # beside earlier records of another task
    both = [made for made in recipe_rows.rows([*records.load_all(tmp_path), *elsewhere]) if made.test == "official"]
    assert [made.recipe for made in both] == [row.recipe] * 2
    assert [made.literature and made.literature.by_seed for made in both] == [tuple(values), None]


def _on_another_task(made):
    spec = made.spec | {"task": "z.task"}
    return dataclasses.replace(made, spec=spec, key=records.key(spec))


def _version_1(made):
    """The record as it was before the literature had a run of its own."""
    spec = made.spec | {"protocol": BEST_TEST, "protocol_version": 1}
    return dataclasses.replace(made, spec=spec, key=records.key(spec))
