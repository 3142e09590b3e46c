"""The table of every encoder's speed: what is measured of some stands among what is written of the others."""

import importlib
import sys
from pathlib import Path

import pytest

from bench.base import registry
from bench.data.manifest import load_task, prepare
from bench.encoders.load import load_encoder, needs_statistics

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def speed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts" / "benchmarks"), *sys.path])
    module = importlib.import_module("encoders")
    monkeypatch.setattr(module, "PAGE", tmp_path / "encoders.md")
    rows = dict.fromkeys(("random.ast.base", "fbank.stats"), "1 | 99 % | spectrograms |")
    module.write(rows, {id: [f"{id},ICBHI,1"] for id in rows}, ["opensmile.compare", "s3prl.fbank"])
    return module


def test_naming_none_changes_nothing(speed):
    before = speed.PAGE.read_text(), speed.PAGE.with_suffix(".csv").read_text()
    speed.write(*speed.beside_others({}, {}, []))
    assert (speed.PAGE.read_text(), speed.PAGE.with_suffix(".csv").read_text()) == before


def test_a_measured_encoder_takes_its_place_by_the_cards_and_that_of_its_twin(speed):
    rows = dict.fromkeys(("s3prl.fbank", "ast.base", "byola.v1"), "new |")
    found = speed.beside_others(dict(rows), {id: [f"{id},ICBHI,2"] for id in rows}, ["opensmile.emobase"])
    assert list(found[0]) == ["ast.base", "byola.v1", "fbank.stats", "s3prl.fbank"] == list(found[1])
    assert found[1]["fbank.stats"] == ["fbank.stats,ICBHI,1"] and found[1]["ast.base"] == ["ast.base,ICBHI,2"]
    assert found[2] == ["opensmile.compare", "opensmile.emobase"]


def test_parameters_are_those_of_the_card(speed):
    page = speed.PAGE.read_text()
    assert "| `random.ast.base` | 86.2 M | 1 | 99 % |" in page and "| `fbank.stats` | – | 1 | 99 % |" in page


def test_a_network_is_timed_without_the_statistics_that_it_takes_while_untrained(speed, simulated):
    data = prepare(load_task("icbhi.cycles2", simulated))
    for id in ("scratch.ast", "random.efficientat.mn04", "random.hubert.base"):
        network = speed.ready(load_encoder(id), data)
        assert not needs_statistics(network) and network.card.id == registry.original_id(id)
        assert not network.card.from_scratch
