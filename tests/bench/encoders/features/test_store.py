import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.manifest import load_task, prepare
from bench.encoders.batches import embed
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder


@pytest.fixture(scope="module")
def prepared(simulated):
    return prepare(load_task("icbhi.cycles4", simulated))


@pytest.mark.long
def test_features_are_those_of_embed_in_the_order_of_the_rows(prepared, simulated, tmp_path):
    encoder = load_encoder("fbank.stats")
    pooling = encoder.card.default_pooling
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    assert store.encode([(-1, pooling)]) == len(prepared.rows)
    some = [0, 7, len(prepared.rows) - 1]
    waves = []
    for row in prepared.rows.iloc[some].itertuples():
        wave, rate = audio.read(prepared.root / row.path, row.start_s, row.end_s)
        waves.append(audio.resample(wave, rate, encoder.card.sample_rate))
    np.testing.assert_allclose(store.gather((-1, pooling))[some], embed(encoder, waves, pooling), atol=1e-4, rtol=1e-4)


@pytest.mark.long
def test_a_second_call_encodes_nothing_and_a_new_pooling_does(prepared, tmp_path):
    encoder = load_encoder("random.efficientat.mn04")
    first = FeatureStore(encoder, prepared, folder=tmp_path)
    first.encode([(-1, "mean")])
    assert first.encode([(-1, "mean")]) == 0
    assert first.encode([(-1, "mean"), (-1, "freq")]) == len(prepared.rows)
    bands = first.gather((-1, "freq")).reshape(len(prepared.rows), encoder.card.grid[1], -1)
    np.testing.assert_allclose(bands.mean(axis=1), first.gather((-1, "mean")), atol=1e-5)


@pytest.mark.long
def test_tasks_that_share_clips_share_features(simulated, tmp_path):
    encoder = load_encoder("meta.duration")
    want = [(-1, encoder.card.default_pooling)]
    FeatureStore(encoder, prepare(load_task("sprsound.events2", simulated)), folder=tmp_path).encode(want)
    assert FeatureStore(encoder, prepare(load_task("sprsound.events7", simulated)), folder=tmp_path).encode(want) == 0
    to_icbhi = prepare(load_task("transfer.sprsound-icbhi", simulated))
    missing = FeatureStore(encoder, to_icbhi, folder=tmp_path).encode(want)
    assert missing == to_icbhi.rows["clip_id"].str.startswith("icbhi:").sum()


def test_a_shard_without_its_listing_does_not_exist(prepared, tmp_path):
    encoder = load_encoder("meta.duration")
    want = (-1, encoder.card.default_pooling)
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([want])
    expected = store.gather(want)
    for listing in store.folder.glob("*/*.json"):
        listing.unlink()
    assert store.encode([want]) == len(prepared.rows)
    np.testing.assert_array_equal(store.gather(want), expected)


def test_a_damaged_shard_is_made_again(prepared, tmp_path):
    encoder = load_encoder("meta.duration")
    want = (-1, encoder.card.default_pooling)
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([want])
    expected = store.gather(want)
    shard = next(store.folder.glob("*/*.npy"))
    content = bytearray(shard.read_bytes())
    content[-3] ^= 0xFF
    shard.write_bytes(content)
    assert store.encode([want]) > 0
    np.testing.assert_array_equal(store.gather(want), expected)


@pytest.mark.parametrize("units", ["fewer", "wider"])
def test_rows_that_are_not_those_of_the_clips_are_never_repeated_until_they_fit(prepared, tmp_path, units):
    encoder = load_encoder("meta.duration")
    want = (-1, encoder.card.default_pooling)
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([want])
    listing = next(path for path in sorted(store.folder.glob("*/*.json")))
    content = json.loads(listing.read_text())
    array = listing.with_suffix(".npy")
    values = np.load(array)
    if units == "fewer":  # one row each, of recordings with several clips
        content["units"] = [[key, 1] for key, _ in content["units"]]
        np.save(array, values[: len(content["units"])])
    else:
        np.save(array, np.concatenate([values, values], axis=1))
    listing.write_text(json.dumps(content | {"sha256": hashlib.sha256(array.read_bytes()).hexdigest()}))
    with pytest.raises(
        BadInput, match=r"has \d+ rows of \d features .* and should have \d+ rows of \d; remove this folder"
    ):
        store.gather(want)


def test_an_encoder_that_was_trained_after_loading_is_another_one(prepared):
    encoder = load_encoder("random.efficientat.mn04")
    before = FeatureStore(encoder, prepared).digest
    with torch.no_grad():
        next(encoder.parameters()).add_(1e-3)
    assert FeatureStore(encoder, prepared).digest != before


def test_statistics_of_no_training_clips_are_refused(prepared, tmp_path):
    tests = replace(prepared, rows=prepared.rows[prepared.rows["split"] != "train"].reset_index(drop=True))
    for id in ("random.efficientat.mn04", "scratch.ast"):
        encoder = load_encoder(id)
        encoder.card = replace(encoder.card, from_scratch=False)
        with pytest.raises(BadInput, match="measures statistics of the training clips first, and none of them"):
            FeatureStore(encoder, tests, folder=tmp_path)
    FeatureStore(load_encoder("fbank.stats"), tests, folder=tmp_path)


def test_export_writes_the_same_array(prepared, tmp_path):
    encoder = load_encoder("meta.duration")
    want = (-1, encoder.card.default_pooling)
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    store.encode([want])
    assert store.export(want, tmp_path / "out.npy") == (len(prepared.rows), 1)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), store.gather(want))


def test_the_store_is_another_one_for_other_weights_policy_or_training_clips(prepared, simulated):
    twin = load_encoder("random.efficientat.mn04")
    other = prepare(load_task("sprsound.events2", simulated))
    assert FeatureStore(twin, prepared).digest != FeatureStore(twin, other).digest  # statistics are fitted on train
    plain = load_encoder("fbank.stats")
    assert FeatureStore(plain, prepared).digest == FeatureStore(plain, other).digest
    plain.weights_digest = "0" * 64
    assert FeatureStore(plain, prepared).digest != FeatureStore(load_encoder("fbank.stats"), prepared).digest


def killed_once(command, environment, folder, pattern):
    """Starts the command and sends kill -9 as soon as a file of that pattern appears; whether it was still running."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while process.poll() is None and not any(folder.glob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.long
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(simulated, tmp_path):
    """kill -9 while encoding and again while probing, then start anew: every byte is what one run gives."""
    command = [sys.executable, "-m", "bench.cli.main", "run", "--task", "icbhi.cycles2", "--root", str(simulated)]
    command += ["--encoder", "random.efficientat.mn04:mean", "fbank.stats", "--out"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    once, twice = (os.environ | {"RESPBENCH_CACHE": str(tmp_path / name)} for name in ("cache1", "cache2"))
    subprocess.run([*command, str(whole)], env=once, check=True, capture_output=True)
    assert killed_once([*command, str(broken)], twice, tmp_path / "cache2", "features/*/*/*.json")
    assert killed_once([*command, str(broken)], twice, broken, "records/*/*.csv.gz")
    subprocess.run([*command, str(broken)], env=twice, check=True, capture_output=True)
    # times and machine differ, and the overview and the page name the command with its --out
    varying = ("*.run.json", "board.json", "leaderboard.md", "index.html")
    names = [p.relative_to(whole) for p in whole.rglob("*") if p.is_file() and not any(map(p.match, varying))]
    assert len(names) == 2 * 5 + 2  # five records of two files, the task page and the table
    for name in names:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    again = subprocess.run([*command, str(broken)], env=twice, check=True, capture_output=True, text=True)
    assert "0 records made" in again.stderr


@pytest.mark.long
def test_a_reader_gathers_in_another_process_and_a_trial_keeps_nothing(prepared, tmp_path):
    store = FeatureStore(load_encoder("fbank.stats"), prepared, folder=tmp_path)
    want = (-1, "mean")
    seconds, taken = store.measure_speed([want], seconds=1.0)
    assert seconds > 0 and taken > 0 and not list(tmp_path.iterdir())
    assert store.width(want) is None and len(store.missing([want])) == len(store.units)
    store.encode([want])
    reader = pickle.loads(pickle.dumps(store.reader()))
    assert not hasattr(reader, "encoder") and reader.width(want) == 128 and not reader.missing([want])
    np.testing.assert_array_equal(reader.gather(want), store.gather(want))
