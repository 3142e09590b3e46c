import io

import numpy as np
import pytest
import soundfile

import bench
import toy_records
from bench.base.errors import BadInput
from bench.publish.blocks import Section, Sound, Text
from bench.publish.page import folder
from bench.publish.sections import listening
from bench.scores import records


def test_the_surest_errors_come_first():
    task = toy_records.task_facts()
    record = toy_records.record("corpus.task", "e.one", task, toy_records.clips(task), skill=0.5)
    found = listening.surest_errors(record, most=5)
    assert (found["y_true"] != found["y_pred"]).all()
    assert (np.diff(found["probability"]) <= 0).all() and found["probability"].between(0.5, 1).all()
    assert set(found["split"]) == {"test"}  # of the headline test


@pytest.mark.long
def test_errors_can_be_heard_with_the_licence_of_the_recordings(simulated):
    task = bench.load_task("icbhi.cycles2", simulated)
    record = bench.evaluate(bench.load_encoder("fbank.stats"), task)[0]
    section = listening.listening_section([record], simulated)
    (part,) = [block for block in section.blocks if isinstance(block, Section)]
    assert task.card.licence in next(block for block in part.blocks if isinstance(block, Text)).paragraphs[0]
    sounds = [block for block in part.blocks if isinstance(block, Sound)]
    assert 1 <= len(sounds) <= listening.EACH
    for sound in sounds:
        wave, rate = soundfile.read(io.BytesIO(sound.wav))
        assert rate == 8000 and 0 < len(wave) <= 5 * rate and 0.89 < np.abs(wave).max() < 0.91
        assert sound.image.startswith(b"\x89PNG")


def test_without_recordings_it_says_so(tmp_path):
    task = toy_records.task_facts()
    record = toy_records.record("icbhi.cycles2", "e.one", task, toy_records.clips(task), skill=0.5)
    with pytest.raises(BadInput, match=r"--with-audio: no recordings to hear: .*nothing.*RESPBENCH_DATA"):
        listening.listening_section([record], tmp_path / "nothing")


def test_a_page_to_be_heard_without_recordings_fails_before_anything_else_is_made(tmp_path, monkeypatch):
    task = toy_records.task_facts()
    records.write(toy_records.record("icbhi.cycles2", "e.one", task, toy_records.clips(task), skill=0.5), tmp_path)
    monkeypatch.setattr(folder, "sections_of", lambda folders: pytest.fail("made before"))
    with pytest.raises(BadInput, match="--with-audio"):
        folder.write_page(tmp_path, audio=True, root=tmp_path / "nothing")
    assert not (tmp_path / folder.AUDIO_PAGE).exists()
