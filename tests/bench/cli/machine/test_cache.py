"""``respbench cache`` from list to import, on features of simulated clips."""

import json
import os

import pytest

from bench.cli.main import main
from bench.data.manifest import load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from held_locks import held

ID = "meta.duration"


@pytest.fixture
def store(simulated, tmp_path, monkeypatch):
    """A store in a cache of its own."""
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    encoder = load_encoder(ID)
    store = FeatureStore(encoder, prepare(load_task("icbhi.cycles4", simulated)))
    store.encode([(-1, encoder.card.default_pooling)])
    return store


@pytest.fixture
def said(capsys):
    """Runs a command; its exit status and what it printed."""

    def run(*words):
        capsys.readouterr()
        status = main(["cache", *map(str, words)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_ls_has_a_line_for_each_store_and_the_size_of_all(store, said):
    status, text = said("ls")
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {ID} version ")]
    assert status == 0 and store.folder.name in line and f" {len(store.prepared.rows)} " in line
    assert "| recordings " in text and "| features " in text and "| all " in text
    status, text = said("ls", "--json")
    listed = json.loads(text)
    assert [row["encoder"] for row in listed["stores"]] == [ID]
    assert listed["bytes"] == sum(listed["parts"].values()) > listed["stores"][0]["bytes"]
    (store.folder / "spec.json").unlink()
    assert "unknown: no spec.json" in said("ls")[1]


def test_verify_ends_with_1_where_something_is_damaged_until_it_is_repaired(store, said):
    assert said("verify") == (0, said("verify")[1]) and "every digest holds" in said("verify")[1]
    array = next(store.folder.glob("*,*/*.npy"))
    array.write_bytes(b"damaged")
    status, text = said("verify")
    assert status == 1 and str(array.with_suffix(".json")) in text and "--repair" in text and array.exists()
    with held(store.folder / "locks" / f"{array.stem}.lock"):
        assert said("verify", "--repair")[0] == 1
    status, text = said("verify", "--repair")
    assert status == 0 and "; removed" in text and not array.exists()
    assert said("verify")[0] == 0
    (store.folder / "spec.json").unlink()
    orphan = array.with_name("0" * 20 + ".npy")
    orphan.write_bytes(b"half")
    status, text = said("verify")
    assert status == 0 and "nameless: " in text and str(orphan) in text and "prune --unfinished" in text
    status, text = said("verify", "--json")
    assert json.loads(text)["leftovers"] == [{"path": str(orphan), "what": "an array without its listing"}]


def test_prune_says_what_would_go_and_removes_it_when_told(store, said):
    status, text = said("prune", "--encoder", ID)
    assert status == 0 and "would remove" in text and "nothing was removed" in text and store.folder.exists()
    with held(next((store.folder / "locks").glob("*.lock"))):
        status, text = said("prune", "--encoder", ID, "--yes")
    assert status == 0 and "left alone: a process is encoding into it" in text and store.folder.exists()
    assert said("prune", "--older-than", 1, "--yes") == (0, "there is nothing to remove\n") and store.folder.exists()
    status, text = said("prune", "--encoder", ID, "--yes", "--json")
    assert json.loads(text)["removed"] and json.loads(text)["bytes"] > 0 and not store.folder.exists()
    assert said("prune", "--encoder", ID)[0] == 2


@pytest.mark.parametrize("words", [["prune"], ["prune", "--encoder", "meta.durations"]])
def test_what_to_prune_must_be_said_and_there(store, said, words):
    status, text = said(*words)
    assert status == 2 and len(text.splitlines()) == 1


@pytest.mark.parametrize("words", [[], ["lss"], ["prune", "--older-than", "-1"], ["prune", "--older-than", "nan"]])
def test_a_wrong_word_is_refused_in_a_line(store, said, capsys, words):
    with pytest.raises(SystemExit) as stop:
        said(*words)
    assert stop.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1


def test_features_travel_to_another_cache(store, said, tmp_path, monkeypatch):
    file = tmp_path / "features.tar"
    status, text = said("export", file, "--encoder", ID)
    assert status == 0 and str(file) in text and "recordings never do" in text
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "laptop"))
    status, text = said("import", file)
    assert status == 0 and f"1 stores of {ID}" in text and "0 were there already" in text
    assert json.loads(said("import", file, "--json")[1])["landed"] == 0
    there = FeatureStore(store.encoder, store.prepared)
    assert there.folder != store.folder and there.encode([(-1, store.encoder.card.default_pooling)]) == 0
    file.write_bytes(file.read_bytes()[:700])
    status, text = said("import", file)
    assert status == 1 and len(text.splitlines()) == 1 and str(file) in text
    assert said("export", tmp_path)[0] == 2


def test_the_doctor_says_how_large_the_cache_is(store, capsys, monkeypatch):
    monkeypatch.setattr("bench.base.registry.cards", lambda package: [])
    assert main(["doctor"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cache_size: ")]
    assert line.endswith("B") and os.environ["RESPBENCH_CACHE"]
