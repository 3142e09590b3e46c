import pytest

from bench.errors import BadInput
from bench.manifest import load_task, prepare
from tests.tasks import _corpora


def both(root):
    _corpora.icbhi(root, simulated=True)
    _corpora.sprsound(root)
    return root


def test_source_and_target_tests_stand_side_by_side(tmp_path):
    task = load_task("transfer.icbhi-sprsound", both(tmp_path))
    frame = task.manifest
    assert list(task.card.tests) == ["inter", "intra", "source_corrected", "source_official"]
    assert set(frame.loc[frame["split"] == "train", "group"]) == {"icbhi:107", "icbhi:156"}
    assert set(frame.loc[frame["split"] == "test_target_inter", "domain"]) == {"sprsound/Yunting II"}
    assert set(frame.loc[frame["split"] == "test_source_overlap", "group"]) == {"icbhi:156"}
    assert len(prepare(task).rows) == 20 + 6
    assert not any(finding.level == "error" for finding in task.findings)


def test_the_other_way_round(tmp_path):
    task = load_task("transfer.sprsound-icbhi", both(tmp_path))
    assert list(task.card.tests) == ["corrected", "official", "source_inter", "source_intra"]
    assert set(task.manifest["split"]) == {
        "train",
        "test_source_inter",
        "test_source_intra",
        "test_target",
        "test_target_overlap",
    }
    assert not any(finding.level == "error" for finding in task.findings)


def test_published_counts(real_data):
    for id, clips in (("transfer.icbhi-sprsound", 6898 + 2433), ("transfer.sprsound-icbhi", 9089 + 2756)):
        task = load_task(id, real_data)
        assert len(task.manifest) == clips and not any(finding.level == "error" for finding in task.findings)


def test_a_bad_clip_of_a_member_can_be_excluded(tmp_path):
    folder = _corpora.icbhi(both(tmp_path), simulated=True)
    (folder / "101_1b1_Al_sc_Meditron.wav").write_bytes(b"not a sound")
    task = load_task("transfer.icbhi-sprsound", tmp_path)
    with pytest.raises(BadInput, match=r"101_1b1_Al_sc_Meditron.wav"):
        prepare(task)
    prepared = prepare(task, "exclude")
    assert len(prepared.rows) == 26 - 4 and prepared.excluded[0].clips[0] == "icbhi:101_1b1_Al_sc#c000"


def test_a_missing_corpus_is_named(tmp_path):
    _corpora.icbhi(tmp_path)
    with pytest.raises(BadInput, match=r"sprsound.events2.*SPRSound"):
        load_task("transfer.icbhi-sprsound", tmp_path)
