import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.base.parallel.shared import Shared
from bench.data.manifest import load_task, prepare
from bench.encoders.features import ahead, blocks, shards
from bench.encoders.features.encoding import BlockEncoding
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder

MEAN = (-1, "mean")


@pytest.fixture
def unit_and_blocks(simulated, tmp_path):
    """A unit of work on a store in tmp_path, and several blocks."""
    prepared = prepare(load_task("icbhi.cycles4", simulated))
    encoder = load_encoder("fbank.stats")
    store = FeatureStore(encoder, prepared, folder=tmp_path)
    unit = BlockEncoding(Shared(encoder), store.folder, prepared.root, "native", (MEAN,), 20.0)
    return unit, blocks.cut(store.units, {each.key for each in store.units}, 10.0)


@pytest.mark.long
def test_blocks_are_decoded_ahead_and_stored_as_ever(unit_and_blocks, tmp_path):
    unit, todo = unit_and_blocks
    waited = []
    assert [block for block, _ in ahead.run(unit, todo, 2, waited)] == todo and len(todo) > 4
    assert len(waited) == len(todo) and min(waited) >= 0
    plain = replace(unit, store=tmp_path / "plain")
    for block in todo:
        plain(block)
    contents = [
        [path.read_bytes() for path in sorted(shards.folder_of(store, MEAN).iterdir())]
        for store in (unit.store, plain.store)
    ]
    assert contents[0] == contents[1]


def contents(store):
    return [path.read_bytes() for path in sorted(shards.folder_of(store, MEAN).iterdir())]


@pytest.mark.long
def test_several_devices_store_the_bytes_of_one(unit_and_blocks, tmp_path, monkeypatch):
    """Each block by one process; the CPU stands for two devices."""
    unit, todo = unit_and_blocks
    several = replace(unit, store=tmp_path / "several")
    monkeypatch.setattr(ahead, "WORTH_S", 0.0)
    waited = []
    found = list(ahead.run_on_each(several, todo, ("cpu", "cpu"), 1, waited))
    assert sorted(block.name for block, _ in found) == sorted(block.name for block in todo)
    assert [clips for _, clips in found] == [block.clip_count for block, _ in found] and len(waited) == len(todo)
    list(ahead.run(unit, todo, 1, []))
    assert contents(several.store) == contents(unit.store)
    assert {clips for _, clips in ahead.run_on_each(several, todo, ("cpu", "cpu"), 1, [])} == {0}  # all is found


def test_a_process_moves_its_copy_of_the_encoder_to_its_own_device(unit_and_blocks, monkeypatch):
    """Without such devices here: which device is asked for, in the process itself."""
    moved = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: moved.append(("current", device)))
    monkeypatch.setattr(torch.nn.Module, "to", lambda module, device: moved.append(("encoder", device)))
    unit, todo = unit_and_blocks
    monkeypatch.setattr(BlockEncoding, "__call__", lambda self, block, waves: len(waves))
    process = ahead.OnDevice(unit, 1)
    assert process("cuda:1", todo[0], tuple(todo[1:3]))[0] == todo[0].clip_count
    assert moved == [("current", "cuda:1"), ("encoder", "cuda:1")]
    assert process("cuda:1", todo[1], ())[0] == todo[1].clip_count


def test_little_work_starts_no_process(unit_and_blocks, monkeypatch):
    unit, todo = unit_and_blocks
    monkeypatch.setattr(ahead.assigned, "run", None)
    assert len(list(ahead.run_on_each(unit, todo[:3], ("cpu", "cpu"), 1, []))) == 3


@pytest.mark.long
def test_the_device_s_wait_is_what_it_waited_for(unit_and_blocks, monkeypatch):
    """Recordings that take long to decode are waited for; where the network takes longer, only the first is."""
    unit, todo = unit_and_blocks
    waves = BlockEncoding.waves

    def slow(self, block):
        time.sleep(0.2)
        return waves(self, block)

    monkeypatch.setattr(BlockEncoding, "waves", slow)
    monkeypatch.setattr(BlockEncoding, "features", lambda *_: {MEAN: np.zeros((1, 1), np.float32)})
    waited = []
    list(ahead.run(unit, todo[:4], 1, waited))
    assert sum(waited) > 0.4
    monkeypatch.setattr(BlockEncoding, "features", lambda *_: time.sleep(1.0) or {MEAN: np.zeros((1, 1), np.float32)})
    waited = []
    list(ahead.run(replace(unit, store=unit.store / "other"), todo[:4], 2, waited))
    assert sum(waited[1:]) < 0.5


def test_a_recording_that_cannot_be_read_is_named(unit_and_blocks):
    unit, todo = unit_and_blocks
    gone = replace(todo[1].units[0], path="gone.wav")
    with pytest.raises(BadInput, match=r"gone\.wav: no such sound file"):
        list(ahead.run(unit, [todo[0], blocks.Block((gone,))], 2, []))
