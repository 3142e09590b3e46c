import numpy as np

from bench.data import clips
from bench.data.manifest import prepare
from bench.finetune.data.clip_store import ClipStore
from toy_finetune import RATE


def test_clips_are_decoded_once_and_are_those_of_the_clips(task, monkeypatch):
    prepared = prepare(task)
    first = ClipStore(prepared, RATE, "native")
    expected = {}
    for unit in clips.units(prepared.rows, prepared.recordings):
        expected |= dict(zip(unit.rows, clips.waves(unit, prepared.root, RATE), strict=True))
    assert all(np.array_equal(first[row], expected[row]) for row in range(len(prepared.rows)))
    assert [len(expected[row]) for row in range(len(prepared.rows))] == list(first.sizes)
    monkeypatch.setattr(clips, "waves", None)
    assert np.array_equal(ClipStore(prepared, RATE, "native")[3], first[3])
