import re

import pytest

from bench.base import registry
from bench.cli import texts
from bench.types import EncoderCard, Weights


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """Two cards in place of the registered ones; the folder of weights."""
    card = EncoderCard(
        id="family.net", version=1, year=2021, sample_rate=44100, params=86_187_264, parity="golden", frontend="",
        dims={"mean": 4, "max": 4, "freq": 8}, trained_on=("audioset", "icbhi"), citation="", licence="MIT",
        weights=(Weights(file="net.pt", licence="CC BY 4.0"), Weights(file="net", licence="CC BY 4.0")),
    )  # fmt: skip
    package = EncoderCard(
        id="package.set", version=1, sample_rate=16000, frontend="", dims={"published": 88}, citation="",
        licence="Research License",
    )  # fmt: skip
    monkeypatch.setattr(registry, "cards", lambda package_: [card, package])
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESPBENCH_DATA", raising=False)
    return tmp_path


def test_the_table_of_encoders_has_what_a_reader_chooses_by(cards):
    header, _, net, package = texts.encoder_table(texts.encoders()).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        *("id", "year", "parameters", "rate", "dim per pooling", "pretraining data", "weight licence"),
        *("weights present", "parity", "hears rounding"),
    ]
    assert [cell.strip() for cell in net.strip("|").split("|")] == [
        *("family.net", "2021", "86.2 M", "44.1 kHz", "4 (mean, max), 8 (freq)", "audioset, icbhi", "CC BY 4.0"),
        *("no", "golden", "–"),
    ]
    assert [cell.strip() for cell in package.strip("|").split("|")] == [
        *("package.set", "–", "–", "16 kHz", "88 (published)", "–", "Research License", "none needed"),
        *("unverified", "–"),
    ]


def test_weights_are_present_where_they_lie_and_unread(cards):
    (cards / "net.pt").write_bytes(b"not looked at")
    assert [row["weights_present"] for row in texts.encoders()] == ["yes", "none needed"]


def test_a_wrong_setting_leaves_the_list_readable(cards, monkeypatch):
    monkeypatch.setenv("RESPBENCH_DATA", str(cards / "gone"))
    assert [row["weights_present"] for row in texts.encoders()] == ["unknown", "none needed"]


def test_without_this_machines_weights_the_table_is_the_same_everywhere(cards):
    table = texts.encoder_table(texts.encoders(), present=False)
    assert "weights present" not in table and "golden" in table


def test_every_registered_encoder_is_listed_with_its_facts():
    rows = texts.encoders()
    assert len({row["id"] for row in rows}) == len(rows) > 20
    table = texts.encoder_table(rows)
    for row in rows:
        assert re.search(rf"^\| {re.escape(row['id'])} ", table, re.MULTILINE)
        if row["weights_present"] != "none needed":
            assert row["params"] and (row["weight_licence"] or row["from_scratch"]), row["id"]


def test_tasks_are_listed_with_what_a_reader_chooses_by():
    text = texts.task_table(texts.tasks())
    for id in registry.ids(registry.TASKS):
        assert re.search(rf"^\| {re.escape(id)} ", text, re.MULTILINE)
    assert "needs application" in text and "icbhi.cycles4@fold0" in text and "http" not in text
    assert any("opera.T1 " in note for note in registry.open_ended(registry.TASKS))


def test_suites_say_what_they_are_for_and_fit_the_terminal():
    rows = texts.suites()
    text = texts.suite_table(rows)
    assert all(row["about"] and f"{row['id']} ({len(row['tasks'])} tasks): " in text for row in rows)
    assert max(map(len, text.splitlines())) <= 120
    assert "transfer.coughvid.sex-to-coswara.sex" in text and "every task of `respbench ls tasks`" in text


def test_an_encoders_own_words_do_nothing_to_the_terminal():
    row = {"id": "hear.toy", "verdict": "violated", "weights": "", "why": "", "invariance": None, "wall_s": 0.0}
    text = texts.examined_text([row | {"problems": ["raised ValueError: \x1b[31mred\nand more"]}])
    assert text.endswith("hear.toy: raised ValueError: \\x1b[31mred\nand more")
