import dataclasses

import numpy as np
import pytest

import bench
from bench.base import registry
from bench.data.manifest import prepare
from bench.reports.leaderboard.table import cells, twin_differences
from bench.runs import evaluate
from bench.scores import per_test, records


@pytest.fixture(scope="module")
def made(simulated):
    out = []
    encoders = [bench.load_encoder(id) for id in ("fbank.stats", "meta.duration", "random.efficientat.mn04")]
    for name in ("icbhi.cycles2", "sprsound.events2"):
        task = bench.load_task(name, simulated)
        # the twin is slow to encode, and one task shows all there is to see of it
        chosen = [e for e in encoders if name == "icbhi.cycles2" or not e.card.id.startswith("random.")]
        out += [bench.evaluate(encoder, task)[0] for encoder in chosen]
        out.append(evaluate.control_record("control.majority", task.card, prepare(task)))
    return out


def renamed(record, **spec):
    spec = record.spec | spec
    return dataclasses.replace(record, spec=spec, key=records.key(spec))


@pytest.mark.long
def test_one_row_per_encoder_one_column_per_test_and_a_named_mean(made):
    wide = bench.leaderboard(made)
    assert next(iter(wide["encoder"])) == "fbank.stats" and wide["rank"].iloc[0] == 1
    assert wide.attrs["mean_of"] == ["icbhi.cycles2/corrected", "sprsound.events2/inter"]
    row = wide.set_index("encoder").loc["fbank.stats"]
    assert row["mean"] == pytest.approx((row["icbhi.cycles2/corrected"] + row["sprsound.events2/inter"]) / 2)
    assert {"icbhi.cycles2/official", "sprsound.events2/intra"} <= set(wide.columns)


def test_the_headline_is_the_card_s_first_test_whatever_its_name(made, tmp_path):
    """A stored record's tests are in alphabetical order: a transfer's ``source_test`` comes before its ``test``."""
    card = registry.task_card("transfer.coughvid.sex-to-coswara.sex")
    assert next(iter(card.tests)) == "test"
    first = made[1]
    scores = {"source_test": first.scores["corrected"], "test": first.scores["official"]}
    task = first.data["task"] | {"tests": {"test": ["test"], "source_test": ["test_source"]}, "headline": "test"}
    stored = dataclasses.replace(first, scores=scores, data=first.data | {"task": task})
    read = records.read(records.write(stored, tmp_path))
    assert list(read.data["task"]["tests"]) == ["source_test", "test"]
    assert bench.leaderboard([read]).attrs["mean_of"] == ["icbhi.cycles2/test"]


def test_a_missing_cell_leaves_the_mean_blank(made):
    wide = bench.leaderboard(
        [r for r in made if (r.spec["encoder"], r.spec["task"]) != ("fbank.stats", "icbhi.cycles2")]
    )
    row = wide.set_index("encoder").loc["fbank.stats"]
    assert np.isnan(row["icbhi.cycles2/corrected"]) and np.isnan(row["mean"]) and np.isnan(row["rank"])


def test_controls_finetuning_and_literature_protocols_are_ranked_apart(made):
    wide = bench.leaderboard([*made, renamed(made[0], protocol="literature/opera")])
    assert set(wide["class"]) == {"frozen", "control", "literature"}
    assert (wide.groupby("class")["rank"].min().dropna() == 1).all()


def test_seed_spread_and_patient_interval_stay_apart(made):
    record = made[0]
    shifted = renamed(record, seed=1)
    scores = {t: {m: s | {"value": s["value"] - 0.02} for m, s in table.items()} for t, table in record.scores.items()}
    both = cells([record, dataclasses.replace(shifted, scores=scores)]).set_index("test").loc["corrected"]
    score = record.scores["corrected"][record.data["task"]["main_metric"]]
    assert both["value"] == pytest.approx(score["value"] - 0.01)
    assert both["seed_sd"] == pytest.approx(0.01)
    assert (both["low"], both["high"], both["seeds"]) == (score["low"], score["high"], 2)
    turned = shifted.predictions.assign(y_pred=shifted.predictions["y_true"])
    both = cells([record, dataclasses.replace(shifted, predictions=turned)]).set_index("test").loc["corrected"]
    whole = per_test.mean_over_seeds([record], "corrected", record.data["task"]["main_metric"])
    assert both["low"] == pytest.approx((1 + whole.low) / 2, abs=1e-6)  # perfect at the other seed


def test_the_difference_to_the_twin_is_paired_with_the_same_settings_only(made):
    twin = next(r for r in made if r.spec["encoder"].startswith("random."))
    pretrained = renamed(twin, encoder="efficientat.mn04")
    differences = twin_differences([twin, pretrained])
    assert {test for key, test in differences} == set(twin.scores)
    assert all(d.value == 0 and key == pretrained.key for (key, _), d in differences.items())
    assert not twin_differences([twin, renamed(twin, encoder="efficientat.mn04", pooling="freq")])
