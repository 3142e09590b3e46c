import dataclasses
import os
import random
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench.base.errors import BadInput, RespBenchError
from bench.data import audio
from bench.data.manifest import prepare
from bench.encoders.batches import collate
from bench.finetune import fit
from bench.finetune.fitting import TRAINING_FOLDER, fit_prepared
from bench.finetune.record import CHOSEN_ON_TEST, best_epoch
from bench.finetune.training.start import prepare_run
from bench.probe import protocols
from bench.reports.agreement.verify import verify
from bench.reports.leaderboard.report import write_leaderboard
from bench.reports.leaderboard.table import cells, leaderboard
from bench.reports.names import rank_class
from bench.runs import suite
from bench.scores import records
from toy_finetune import recipe, tiny


class Killed(Exception):
    pass


def stopping(after: int):
    """Progress that ends the run after so many steps of training."""

    @contextmanager
    def progress(label, total):
        done = 0

        def tick(n):
            nonlocal done
            done += n
            if label.startswith("toy ") and done > after:
                raise Killed

        yield tick

    return progress


def weights(found):
    return {name: value.clone() for name, value in found.encoder.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stored(out):
    return {p.relative_to(out): p.read_bytes() for p in sorted(out.glob("records/*/*")) if ".run." not in p.name}


@pytest.fixture(scope="module")
def whole(task, tmp_path_factory):
    """One run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    return fit(tiny(), task, recipe(), 1, out=out), out


@pytest.mark.long
def test_a_run_that_is_killed_anywhere_goes_on_bit_by_bit(whole, task, tmp_path):
    found, out = whole
    steps = recipe().epochs * prepare_run(tiny(), task.card, prepare(task), recipe(), 1).training(None).steps_per_epoch
    for after in sorted(np.random.default_rng(0).choice(steps, 4, replace=False)):
        other = tmp_path / str(after)
        with pytest.raises(Killed):
            fit(tiny(), task, recipe(), 1, out=other, progress=stopping(int(after)))
        again = fit(tiny(), task, recipe(), 1, out=other)
        assert same(weights(again), weights(found)) and stored(other) == stored(out)
        assert not any((other / TRAINING_FOLDER).glob("*"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("average", "parts", "method"),
    [
        ("step", {"train": "all", "norm": "train", "layer_decay": 0.7}, "patchmix-cl"),
        ("none", {"train": "last"}, "scl-hybrid"),
        ("ema", {"train": "lora"}, "ce-center"),
        ("step", {"train": "none"}, "ce-center"),
    ],
)
def test_going_on_holds_for_every_way_to_average_and_train(average, parts, method, task, tmp_path):
    lora = {"rank": 2, "dropout": 0.2}
    chosen = recipe(
        averaging={"kind": average, "decay": 0.5}, encoder=parts, lora=lora, method={"name": method}, epochs=2
    )
    straight = fit(tiny(), task, chosen, 0)
    with pytest.raises(Killed):
        fit(tiny(), task, chosen, 0, out=tmp_path, progress=stopping(4))
    assert same(weights(fit(tiny(), task, chosen, 0, out=tmp_path)), weights(straight))


SCRIPT = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
import bench, toy_finetune as toy
from bench.finetune import fit

@contextmanager
def deadly(label, total):
    done = 0
    def tick(n):
        nonlocal done
        done += n
        if label.startswith("toy ") and done > 4:
            os.kill(os.getpid(), signal.SIGKILL)
    yield tick

task = bench.load_task("icbhi.cycles2", sys.argv[1])
fit(toy.tiny(), task, toy.recipe(), 1, out=Path(sys.argv[2]), progress=deadly)
"""


@pytest.mark.long
def test_a_process_that_is_killed_leaves_what_the_next_goes_on_from(whole, corpus, task, tmp_path):
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    command = [sys.executable, "-c", SCRIPT, str(corpus), str(tmp_path)]
    assert subprocess.run(command, env=environment, cwd=root).returncode == -signal.SIGKILL
    assert any((tmp_path / TRAINING_FOLDER).glob("*/state.pt"))
    assert same(weights(fit(tiny(), task, recipe(), 1, out=tmp_path)), weights(whole[0]))
    assert stored(tmp_path) == stored(whole[1])


def test_a_run_that_is_done_is_not_made_again(whole, task, tmp_path):
    found, out = whole
    again = fit(tiny(), task, recipe(), 1, out=out, progress=stopping(0))
    assert again.encoder is None and [r.key for r in again.records] == [r.key for r in found.records]
    kept = fit(tiny(), task, recipe(), 1, out=tmp_path, keep=True)
    again = fit(tiny(), task, recipe(), 1, out=tmp_path, keep=True, progress=stopping(0))
    assert same(weights(again), weights(kept)) and same(weights(kept), weights(found))


def test_a_run_that_is_done_is_found_without_decoding_a_clip(whole, task, tmp_path, monkeypatch):
    found, out = whole
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path))  # empty
    prepared = prepare(task)
    monkeypatch.setattr(audio, "decode", None)
    again = fit_prepared(tiny(), task.card, prepared, recipe(), 1, out=out)
    assert [r.key for r in again.records] == [r.key for r in found.records]


@pytest.mark.long
def test_weights_are_kept_of_whole_runs_alone(whole, task, tmp_path):
    fit(tiny(), task, recipe(), 1, out=tmp_path)
    with pytest.raises(Killed):
        fit(tiny(), task, recipe(), 1, out=tmp_path, keep=True, progress=stopping(6))
    assert any((tmp_path / TRAINING_FOLDER).glob("*/chosen.pt"))
    assert any((tmp_path / TRAINING_FOLDER).glob("*/state.pt"))
    assert fit(tiny(), task, recipe(), 1, out=tmp_path, progress=stopping(0)).encoder is None
    again = fit(tiny(), task, recipe(), 1, out=tmp_path, keep=True)
    assert same(weights(again), weights(whole[0])) and stored(tmp_path) == stored(whole[1])


def test_test_labels_change_neither_weights_nor_the_chosen_epoch(whole, task):
    shuffled = task.manifest.copy()
    test = shuffled["split"] != "train"
    shuffled.loc[test, "label"] = np.random.default_rng(0).permutation(shuffled.loc[test, "label"])
    assert (shuffled["label"] != task.manifest["label"]).any()
    other = fit(tiny(), dataclasses.replace(task, manifest=shuffled), recipe(), 1)
    assert same(weights(other), weights(whole[0]))
    assert other.records[0].selection == whole[0].records[0].selection
    columns = ["clip_id", "y_pred", "s_0", "s_1"]
    assert other.records[0].predictions[columns].equals(whole[0].records[0].predictions[columns])


def test_test_clips_change_nothing_that_is_trained(whole, task):
    fewer = task.manifest[(task.manifest["split"] == "train") | (task.manifest.index % 2 == 0)]
    other = fit(tiny(), dataclasses.replace(task, manifest=fewer), recipe(), 1)
    assert same(weights(other), weights(whole[0]))
    assert other.records[0].selection == whole[0].records[0].selection


def test_one_run_gives_an_honest_record_and_one_that_peeked(whole):
    honest, peeking = whole[0].records
    for record in (honest, peeking):
        best = best_epoch([each["score"] for each in record.selection["path"]])
        assert record.selection["chosen"]["epoch"] == best + 1 and len(record.selection["path"]) == 3
        assert record.spec["kind"] == "finetune" and record.data["recipe"]["name"] == "toy"
        assert record.spec["recipe"]["method"] == {"name": "ce", "options": {}}
    assert peeking.spec["protocol"] == protocols.PEEK
    assert CHOSEN_ON_TEST in peeking.data["marks"] and CHOSEN_ON_TEST not in honest.data["marks"]
    task = honest.data["task"]
    main = [record.scores["official"][task["main_metric"]]["value"] for record in (honest, peeking)]
    assert main[1] >= main[0] and main[1] == max(each["score"] for each in peeking.selection["path"])
    assert honest.selection["losses"] == peeking.selection["losses"]
    assert {"train_s", "predict_s", "device_hours", "peak_memory_mb"} <= set(honest.run)


@pytest.mark.long
def test_records_verify_and_are_never_ranked_with_frozen_ones(whole, task, tmp_path):
    frozen = bench.evaluate(bench.load_encoder("fbank.stats"), task)[0]
    other = fit(tiny(), task, recipe(method={"name": "focal"}, name="toy focal"), 1, out=tmp_path)
    for record in (*whole[0].records, frozen):
        records.write(record, tmp_path)
    found = records.load_all(tmp_path)
    ranked = leaderboard(found).set_index(["encoder", "protocol"])
    assert dict(ranked["class"].groupby(level="protocol").first()) == {
        "finetune": "finetune",
        "linear": "frozen",
        protocols.PEEK: "literature finetune",
    }
    assert ranked.loc["fbank.stats", "rank"].item() == 1
    assert set(ranked.loc[(slice(None), "finetune"), "rank"]) <= {1.0, 1.5, 2.0}
    assert {"test.tiny · toy", "test.tiny · toy focal"} < set(cells(found)["encoder"])
    assert rank_class(other.records[1].spec | {"encoder": "random.x.y"}) == "control"
    write_leaderboard(found, tmp_path)
    assert f"Rows of {protocols.PEEK} chose their epoch on the test" in (tmp_path / "leaderboard.md").read_text()
    assert verify(tmp_path) == (5, [])


@pytest.mark.long
def test_a_trained_encoder_is_an_encoder(whole, task):
    encoder = whole[0].encoder
    assert not any(module.training for module in encoder.modules()) and encoder.taps == {}
    before, after = (bench.evaluate(e, task)[0] for e in (tiny(), encoder))
    assert before.data["marks"] == [] and after.data["marks"] == ["icbhi seen in pretraining"]
    assert before.key != after.key and encoder.weights_digest == after.spec["weights"] != tiny().weights_digest


def test_the_encoder_that_is_handed_in_stays_as_it_was(task):
    encoder = tiny()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    fit(encoder, task, recipe(epochs=1), 0)
    assert same(before, encoder.state_dict()) and torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1]) and states[2] == random.getstate()
    assert not any(module.training for module in encoder.modules())


def test_predictions_are_those_of_each_clip_alone(task):
    start = prepare_run(tiny(), task.card, prepare(task), recipe(), 0)
    rows = start.partition.test
    together = start.model.predict(start.method, start.data.clips, rows)
    alone = np.concatenate([start.model.predict(start.method, start.data.clips, rows[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(together[:9], alone, atol=1e-5)
    wave, length = collate(start.model.encoder, [start.data.clips[rows[0]]])
    with torch.no_grad():
        features = start.model.readout(start.model.encoder(wave, length))
        np.testing.assert_allclose(together[0], start.model.logits(features)[0].numpy(), atol=1e-5)


def test_what_an_encoder_does_not_offer_is_refused_by_name(task):
    deaf = tiny()
    deaf.offers = frozenset()
    with pytest.raises(BadInput, match="no tap 'spectrogram'"):
        fit(deaf, task, recipe(), 0)
    with pytest.raises(BadInput, match="method patchmix mixes patches"):
        fit(deaf, task, recipe(spectrogram={}, method={"name": "patchmix"}), 0)
    with pytest.raises(BadInput, match="float16"):
        fit(tiny(), task, recipe(precision="float16"), 0)
    with pytest.raises(RespBenchError, match="respbench finetune"):
        suite.run_suite(["icbhi.cycles2"], [], Path("nowhere"), protocol_names=[protocols.FINETUNE])
