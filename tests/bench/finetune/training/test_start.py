import numpy as np
import torch

from bench.data.manifest import prepare
from bench.finetune.data.audio_quality import grading
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.data.partition import statistics_rows
from bench.finetune.record import PROTOCOLS_OF_RUN, run_specs
from bench.finetune.training import start
from bench.finetune.training.start import prepare_run
from toy_finetune import recipe, tiny


def measuring():
    """The toy encoder, which counts the clips from which it takes its statistics."""
    encoder = tiny()
    encoder.needs_stats, encoder.seen = True, 0

    def fit_stats(batches):
        encoder.seen = sum(len(wave) for wave, _ in batches)

    encoder.fit_stats = fit_stats
    return encoder


def test_quality_is_measured_on_training_clips_alone(task):
    begun = prepare_run(tiny(), task.card, prepare(task), recipe(method={"name": "quality-margin"}), 0)
    quality, fit_rows = begun.data.quality, begun.data.training
    assert np.ptp(quality[fit_rows]) > 0.1 and ((quality >= 0) & (quality <= 1)).all()
    assert (np.delete(quality, fit_rows) == 0.5).all()


def test_a_method_s_own_definition_of_quality_is_measured(task):
    found = []
    for normalisation in ("training", "absolute"):
        method = {"name": "qlung", "options": {"normalisation": normalisation}}
        begun = prepare_run(tiny(), task.card, prepare(task), recipe(method=method), 0)
        found.append(begun.data.quality[begun.data.training])
        assert ((found[-1] >= 0) & (found[-1] <= 1)).all()
    assert np.abs(found[0] - found[1]).max() > 0.05


def test_runs_that_share_stores_decode_and_measure_each_clip_once(task, monkeypatch):
    prepared, stores, chosen = prepare(task), ClipStores(), recipe(method={"name": "quality-margin"})
    apart = [prepare_run(tiny(), task.card, prepared, chosen, seed) for seed in (0, 1)]
    measured, by = [], grading("structure", {})
    counted = by._replace(measure=lambda *what: (measured.append(1), by.measure(*what))[1])
    monkeypatch.setattr(start, "grading", lambda *wanted: counted)
    together = [prepare_run(tiny(), task.card, prepared, chosen, seed, stores) for seed in (0, 1)]
    assert together[0].data.clips is together[1].data.clips
    assert len(measured) == len(set(together[0].partition.training) | set(together[1].partition.training))
    for a, b in zip(apart, together, strict=True):
        assert np.array_equal(a.data.quality, b.data.quality)
        assert all(torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True))


def test_statistics_come_from_training_clips_and_are_part_of_the_specs(task):
    prepared, encoder = prepare(task), measuring()
    specs = run_specs(encoder, task.card, prepared, recipe(), 0)
    assert [spec["protocol"] for spec in specs] == list(PROTOCOLS_OF_RUN["finetune"])
    assert specs[0]["statistics"] and not run_specs(tiny(), task.card, prepared, recipe(), 0)[0]["statistics"]
    assert specs[0]["statistics"] != run_specs(encoder, task.card, prepared, recipe(), 1)[0]["statistics"]
    begun = prepare_run(encoder, task.card, prepared, recipe(), 0)
    assert begun.model.encoder.fit_stats.__closure__ and encoder.seen == len(statistics_rows(encoder, begun.partition))
