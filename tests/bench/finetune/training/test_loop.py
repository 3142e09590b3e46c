import copy
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import bench
from bench.base.errors import BadInput
from bench.data.manifest import prepare
from bench.finetune import TrainingDiverged, fit
from bench.finetune.data.augment import mix_styles
from bench.finetune.data.vtlp import perturb_tracts
from bench.finetune.methods import METHODS
from bench.finetune.methods.ce import CrossEntropy
from bench.finetune.model import fine_tuned
from bench.finetune.recipe import Spectrogram
from bench.finetune.training import loop
from bench.finetune.training.checkpoints import STATE, RunFolder
from bench.finetune.training.loop import Epoch
from bench.finetune.training.start import prepare_run
from toy_finetune import recipe, tiny

PLAIN = {"waveform": {}, "spectrogram": {}, "averaging": {}}


def started(task, tmp_path, encoder=None, seed=0, **changes):
    start = prepare_run(encoder or tiny(norm=False), task.card, prepare(task), recipe(**changes), seed)
    return start.training(RunFolder(tmp_path, "test"))


class Broken(CrossEntropy):
    """A loss that is not finite for one clip of one epoch."""

    def __init__(self, facts):
        super().__init__(facts)
        self.calls = 0

    def loss(self, model, batch):
        self.calls += 1
        loss = super().loss(model, batch)
        return loss * float("nan") if self.calls == 4 else loss


class Steep(CrossEntropy):
    """A finite loss of infinite slope."""

    def loss(self, model, batch):
        return super().loss(model, batch) + (0 * model.features(batch)).clamp_min(0).sum().sqrt()


@pytest.mark.parametrize("kind, problem", [(Broken, "loss is nan"), (Steep, "gradient's norm is nan")])
def test_what_is_not_finite_stops_the_run_and_saves_its_batch(kind, problem, task, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "ce", kind)
    with pytest.raises(TrainingDiverged, match=problem) as caught:
        fit(tiny(), task, recipe(), 0, out=tmp_path)
    (path,) = tmp_path.glob("training/*/diverged.pt")
    assert str(path) in str(caught.value)
    saved = torch.load(path, weights_only=True)
    rows = task.manifest.set_index("clip_id").loc[saved["clip_id"]]
    assert (rows["split"] == "train").all() and list(rows["label"]) == saved["label"].tolist()
    assert saved["step"][-1] == saved["clip_id"] and len(saved["step"]) == (1 if kind is Broken else 2)
    assert saved["wave"].shape == (8, int(saved["length"][0])) and saved["wave"].isfinite().all()


def test_a_diverged_batch_outlives_a_run_without_a_folder(task, monkeypatch):
    monkeypatch.setitem(METHODS, "ce", Broken)
    with pytest.raises(TrainingDiverged) as caught:
        fit(tiny(), task, recipe(), 0)
    path = str(caught.value).partition("that batch is in ")[2].partition(" (")[0]
    assert torch.load(path, weights_only=True)["micro_batch"] == 3


class Overflowing(CrossEntropy):
    """Finite in training, not at prediction."""

    def scores(self, model, features, row):
        return super().scores(model, features, row) / torch.where(torch.arange(len(features)) == 0, 0.0, 1.0)[:, None]


def test_predictions_that_are_not_finite_stop_the_run_and_are_no_class(task, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "ce", Overflowing)
    with pytest.raises(TrainingDiverged, match=r"predictions of \d+ clips after epoch 1 are not finite, those of \d+_"):
        fit(tiny(), task, recipe(), 0, out=tmp_path)


def test_patience_ends_a_run_and_ties_go_to_the_earlier(task, tmp_path):
    training = started(task, tmp_path, patience=2, epochs=9)
    training.history = [Epoch(0.0, score, 0.0, 0.0) for score in (None, 0.5, 0.7, 0.7)]
    assert training.best_epoch() == 2 and not training.patience_exhausted()
    training.history.append(Epoch(0.0, None, 0.0, 0.0))
    assert training.patience_exhausted()
    training.history = [Epoch(0.0, None, 0.0, 0.0)] * 2
    assert training.best_epoch() is None and training.patience_exhausted()
    found = fit(tiny(), task, recipe(patience=1, epochs=9, optimiser={"lr": 1e-12}, averaging={}), 0)
    assert len(found.records[0].selection["path"]) == 2 and found.records[0].selection["chosen"]["epoch"] == 1


def test_accumulated_batches_give_the_gradient_of_one_large_batch(task, tmp_path):
    """Without dropout, BatchNorm and crops, on clips of one length."""
    encoder = tiny(norm=False)
    for layer in encoder.layers:
        layer.dropout.p = 0.0
    grads = []
    for size, accumulate in ((4, 2), (8, 1)):
        changes = {"batches": {"size": size, "accumulate": accumulate, "crop_s": 0.1}, **PLAIN}
        training = started(task, tmp_path, copy.deepcopy(encoder), optimiser={"clip_norm": 0}, **changes)
        rows = training.partition.training[:8]
        training.optimiser.zero_grad()
        for part in rows.reshape(accumulate, size):
            batch = training.make_batch(part, 0, 0, 0.0, torch.Generator())
            start = torch.stack([torch.from_numpy(training.data.clips[row][:400]) for row in part])
            training.backward(batch._replace(wave=start), part, (0, 0), accumulate)
        grads.append([p.grad.clone() for p in training.model.parameters() if p.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_a_view_is_itself_when_asked_for_again_and_no_other(task, tmp_path):
    training = started(task, tmp_path)
    batch = training.make_batch(training.partition.training[:8], 1, 2, 0.0, torch.Generator())
    views = [training.model.features(batch, view=v) for v in (0, 0, 1)]
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])
    training.model.position = (1, 3)
    assert not torch.equal(training.model.features(batch), views[0])
    mixed = training.model.features(batch, mix=lambda tokens: tokens.flip(0))
    assert not torch.equal(mixed, training.model.features(batch)) and training.model.encoder.taps == {}


@pytest.mark.parametrize("method", ["ce", "supcon"])  # one view, and two
def test_batches_that_are_prepared_ahead_change_no_number(method, task, tmp_path, monkeypatch):
    """By a thread, as for an accelerator: the order of clips, crops, shifts, noise, levels and masks."""
    changes = {
        "method": {"name": method, "options": {}},
        "batches": {"size": 4, "accumulate": 2, "crop_s": 0.2},
        "waveform": {"gain_db": 3.0, "noise_snr_db": [10, 20], "shift_s": 0.05},
        "spectrogram": {"band_mask": 4, "frame_mask": 4},
        "epochs": 2,
    }
    states, threads, collect = [], [], loop.host_batch

    def noted(*given):
        threads.append(threading.current_thread())
        return collect(*given)

    monkeypatch.setattr(loop, "host_batch", noted)
    for most in (0, 3):
        monkeypatch.setattr(loop, "batches_ahead", lambda device, most=most: most)
        monkeypatch.setattr(fine_tuned, "batches_ahead", lambda device, most=most: most)
        training = started(task, tmp_path / str(most), **changes)
        threads.clear()
        training.run()
        scores = [training.folder.load_scores(epoch, side) for epoch in (0, 1) for side in ("validation", "test")]
        state = [*training.model.state_dict().values(), *training.method.state_dict().values()]
        states.append(([each.loss for each in training.history], scores, state))
        assert {thread is threading.main_thread() for thread in threads} == {most == 0}
    inline, fed = states
    assert inline[0] == fed[0] and all(np.array_equal(a, b) for a, b in zip(inline[1], fed[1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(inline[2], fed[2], strict=True))


def test_a_view_that_was_drawn_ahead_is_the_view_that_is_drawn_when_asked_for(task, tmp_path):
    training = started(task, tmp_path)
    model, rows = training.model, training.partition.training[:8]
    first = training.make_batch(rows, 0, 0, 0.0, torch.Generator())
    assert model.drawn == {}  # nobody has asked for a view yet
    views = [model.features(first, view=v) for v in (0, 1)]
    again = training.make_batch(rows, 0, 0, 0.0, torch.Generator())
    assert sorted(model.drawn) == [(0, 0, 0), (0, 0, 1)] and torch.equal(first.wave, again.wave)
    assert all(torch.equal(model.features(again, view=v), views[v]) for v in (0, 1))


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"encoder": {"checkpointing": True}},
        {"encoder": {"train": "none"}},
        {"head": {"kind": "attentive", "queries": 2}},
        {"head": {"kind": "transformer", "heads": 2, "dropout": 0.1}, "optimiser": {"name": "adam", "clip_norm": 0}},
        {"head": {"kind": "mlp", "norm": "batch", "pooling": "max"}, "batches": {"sampling": "balanced", "size": 5}},
    ],
)
def test_every_way_to_train_learns_and_repeats_itself(changes, task):
    found = [fit(tiny(norm=False), task, recipe(**({"epochs": 2} | changes)), 0) for _ in range(2)]
    state = [each.encoder.state_dict() for each in found]
    assert all(torch.equal(a, b) for a, b in zip(*(each.values() for each in state), strict=True))
    start = tiny(norm=False).state_dict()
    assert torch.equal(state[0]["patches.weight"], start["patches.weight"]) == ("none" in str(changes))
    losses = found[0].records[0].selection["losses"]
    assert np.isfinite(losses).all() and found[0].records[0].key == found[1].records[0].key


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_trains(name, task, corpus):
    task = bench.load_task("icbhi.cycles4", corpus) if name == "pc-mcl-style" else task
    given = {"aam": {}, "dat": {"column": "device"}, "supcon-dat": {"column": "device"}}.get(name, {})
    found = fit(tiny(), task, recipe(method={"name": name, "options": given}, epochs=1), 0)
    assert np.isfinite(found.records[0].selection["losses"]).all()
    assert set(given.items()) <= set(found.records[0].spec["recipe"]["method"]["options"].items())


@pytest.mark.long
def test_only_what_is_trained_moves(task):
    found = fit(tiny(), task, recipe(encoder={"train": "last", "last": 1}, epochs=1), 0)
    start, end = tiny().state_dict(), found.encoder.state_dict()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved and all(name.startswith("layers.2.") for name in moved)
    assert not any("running" in name for name in moved)  # statistics are frozen
    found = fit(tiny(), task, recipe(encoder={"norm": "train"}, epochs=1), 0)
    assert not torch.equal(found.encoder.layers[0].norm.running_mean, start["layers.0.norm.running_mean"])


def test_a_damaged_or_strange_checkpoint_is_refused(tmp_path):
    folder = RunFolder(tmp_path, "mine")
    assert folder.load(STATE) is None
    folder.save(STATE, {"history": []})
    assert folder.load(STATE)["history"] == [] and not list(tmp_path.glob("*.part*"))
    with pytest.raises(BadInput, match="another run"):
        RunFolder(tmp_path, "yours").load(STATE)
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:-100])
    with pytest.raises(BadInput, match="not a readable checkpoint"):
        folder.load(STATE)
    torch.save({"format": 1, "key": "mine", "evil": RunFolder(tmp_path, "x")}, tmp_path / STATE)
    with pytest.raises(BadInput, match="not a readable checkpoint"):
        folder.load(STATE)


@pytest.mark.parametrize("carried", [False, True])
def test_a_later_view_carries_the_masks_of_the_first_where_asked(task, tmp_path, carried):
    masks = {"band_mask": 6, "frame_mask": 0, "bands": 1, "fill": "zero", "carried": carried}
    silent = {"gain_db": 0.0, "shift_s": 0.0, "noise_snr_db": None}
    training = started(task, tmp_path, spectrogram=masks, waveform=silent)
    model, seen = training.model, {}
    batch = training.make_batch(training.partition.training[:8], 0, 0, 0.0, torch.Generator())
    for view in (0, 1):
        with _recorded(model, seen, view):
            model.features(batch, view=view)
    hidden = {view: (spectrogram == 0).all(1) for view, spectrogram in seen.items()}
    first, second = hidden[0], hidden[1]
    assert first.any() and not torch.equal(first, second)
    assert bool((second | ~first).all()) == carried  # all that the first view hides, the second hides too


def test_a_spectrogram_is_stretched_clip_by_clip_and_the_same_for_the_same_view(task, tmp_path):
    plain, stretch = {"band_mask": 0, "frame_mask": 0}, {"vtlp": 0.3, "vtlp_hz": 1500.0}
    silent = {"gain_db": 0.0, "shift_s": 0.0, "noise_snr_db": None}
    training = started(task, tmp_path, spectrogram=plain | stretch, waveform=silent)
    model, seen = training.model, {}
    batch = training.make_batch(training.partition.training[:8], 0, 0, 0.0, torch.Generator())
    for name, view in (("first", 0), ("again", 0), ("other", 1)):
        with _recorded(model, seen, name):
            model.features(batch, view=view)
    assert torch.equal(seen["first"], seen["again"]) and not torch.equal(seen["first"], seen["other"])
    model.eval()
    model.encoder.taps["spectrogram"] = lambda x: seen.setdefault("heard", x)
    model.encoder(batch.wave, batch.length)
    drawn = model.draw((0, 0), 0, batch.wave.shape).generator()
    expected = perturb_tracts(seen["heard"], model.encoder.band_hz, Spectrogram(**stretch), 2000.0, drawn)
    assert torch.equal(seen["first"], expected)
    assert not any(torch.equal(a, b) for a, b in zip(seen["first"], seen["heard"], strict=True))


@pytest.mark.parametrize("carried", [False, True])
def test_a_later_view_is_stretched_and_mixed_once_by_its_own_draw(task, tmp_path, carried):
    changes = {"vtlp": 0.3, "vtlp_hz": 1500.0, "mixstyle": 1.0, "carried": carried}
    silent = {"gain_db": 0.0, "shift_s": 0.0, "noise_snr_db": None}
    training = started(task, tmp_path, spectrogram={"band_mask": 0, "frame_mask": 0} | changes, waveform=silent)
    model, seen = training.model, {}
    batch = training.make_batch(training.partition.training[:8], 0, 0, 0.0, torch.Generator())
    with _recorded(model, seen, "second"):
        model.features(batch, view=1)
    model.eval()
    model.encoder.taps["spectrogram"] = lambda x: seen.setdefault("heard", x)
    model.encoder(batch.wave, batch.length)
    settings, drawn = Spectrogram(**changes), model.draw((0, 0), 1, batch.wave.shape).generator()
    stretched = perturb_tracts(seen["heard"], model.encoder.band_hz, settings, 2000.0, drawn)
    assert torch.equal(seen["second"], mix_styles(stretched, settings, drawn))


def test_carried_masks_lie_where_the_first_view_has_them_though_each_view_is_stretched(task, tmp_path):
    masks = {"band_mask": 6, "frame_mask": 0, "bands": 1, "fill": "zero", "carried": True}
    stretch = {"vtlp": 0.3, "vtlp_hz": 1500.0, "mixstyle": 0.5}
    training = started(task, tmp_path, spectrogram=masks | stretch)
    model, seen = training.model, {}
    batch = training.make_batch(training.partition.training[:8], 0, 0, 0.0, torch.Generator())
    for view in (0, 1):
        with _recorded(model, seen, view):
            model.features(batch, view=view)
    first, second = ((seen[view] == 0).all(1) for view in (0, 1))
    assert first.any() and bool((second | ~first).all())


@contextmanager
def _recorded(model, seen, view):
    """Notes the spectrogram that the encoder goes on with."""
    before = type(model.encoder).tap

    def tap(self, name, x):
        out = before(self, name, x)
        if name == "spectrogram":
            seen[view] = out
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.encoder), "tap", tap)
        yield
