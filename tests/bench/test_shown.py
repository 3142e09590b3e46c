import dataclasses

import pandas as pd
import pytest

import bench
from bench.base import registry
from bench.base.errors import BadInput
from bench.scores import records
from bench.scores.printed import record_facts
from bench.shown import Shown


class Odd(Shown):
    def shown(self):
        return "a <b>", {"x": "<script>alert(1)</script>", "none": None, "empty": (), "long": "y" * 1000, "n": 0}


def test_every_text_is_escaped_and_cut():
    shown = Odd()._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "a &lt;b&gt;" in shown
    assert "none" not in shown and "empty" not in shown and "<td" in shown
    assert len(shown) < 1000 and len(repr(Odd())) < 200
    assert repr(Odd()).startswith("<Odd a <b>: x ")


@pytest.mark.parametrize("package", [registry.ENCODERS, registry.TASKS])
def test_every_card_is_short(package):
    for card in registry.cards(package):
        assert card.id in repr(card) and len(repr(card)) < 500 and "\n" not in repr(card)
        assert card.id in card._repr_html_() and len(card._repr_html_()) < 5000


def test_an_encoder_and_a_task_show_what_they_are(simulated):
    encoder, task = bench.load_encoder("fbank.stats"), bench.load_task("icbhi.cycles4", simulated)
    assert repr(encoder).startswith("<FrameStatistics fbank.stats: weights none")
    assert "sample_rate" in encoder._repr_html_()
    assert "simulated" in repr(task) and "crackle" in task._repr_html_() and len(repr(task)) < 500


@pytest.fixture(scope="module")
def found(simulated):
    encoder, task = bench.load_encoder("meta.duration"), bench.load_task("icbhi.cycles4", simulated)
    return bench.evaluate(encoder, task)


def test_a_record_shows_its_scores(found):
    (record,) = found
    value = 100 * record.scores["corrected"]["icbhi.Score"]["value"]
    assert f"icbhi.Score corrected {value:.1f} [" in repr(record) and record.key in repr(record)
    assert f"{value:.1f} [" in record._repr_html_()
    assert dataclasses.replace(record) == record


def test_a_fraction_of_a_regression_is_shown_in_percent():
    score = {"value": 0.123, "low": 0.1, "high": 0.2}
    spec = dict.fromkeys(("task", "encoder", "pooling", "protocol", "layer", "seed", "state"), "x")
    shown = {name: record_facts(spec, {"test": {name: score}}, {"main_metric": name}) for name in ("mape", "mae")}
    assert shown["mape"]["mape test"] == "12.3 [10.0, 20.0]" and shown["mae"]["mae test"] == "0.12 [0.10, 0.20]"


def test_a_leaderboard_is_read_from_a_folder_and_styled(found, tmp_path):
    for record in found:
        records.write(record, tmp_path)
    spec = found[0].spec | {"encoder": "<img src=x>"}
    records.write(dataclasses.replace(found[0], spec=spec, key=records.key(spec)), tmp_path)
    table = bench.leaderboard(str(tmp_path))
    assert table.equals(bench.leaderboard(records.load_all(tmp_path)))
    assert table.attrs["metrics"] == dict.fromkeys(["icbhi.cycles4/corrected", "icbhi.cycles4/official"], "icbhi.Score")
    shown = bench.styled(table).to_html()
    assert "<img" not in shown and "&lt;img" in shown and "font-weight: bold" in shown
    value = 100 * found[0].scores["corrected"]["icbhi.Score"]["value"]
    assert f">{value:.1f}<" in shown and "–" in shown  # a control has no rank
    with pytest.raises(BadInput, match="no leaderboard"):
        bench.styled(pd.DataFrame({"a": [1]}))
