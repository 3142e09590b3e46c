import json

import pytest

import published_tables
import tiny_corpora
from bench.base.errors import BadInput, UnknownId
from bench.base.registry import task_card
from bench.data.manifest import load_task, prepare
from tasks import transfer

LUNG = [f"transfer.{pair}{space}" for pair in ("icbhi-sprsound", "sprsound-icbhi") for space in ("", ".4", ".bits")]
CALLS = "transfer.covid19_cough.call_centre-to-covid19_cough.messaging_app"


def errors(task):
    return [finding for finding in task.findings if finding.level == "error"]


def both(root):
    tiny_corpora.icbhi(root, simulated=True)
    tiny_corpora.sprsound(root)
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


@pytest.mark.long
def test_published_counts(real_data):
    """The cards' counts are asserted by the manifest's validation: a copy without error has them all."""
    every = {"": (6898 + 2433, 9089 + 2756), "left out": (6898 + 2433 - 16, 9089 + 2756 - 70)}
    rules = {"": "", "@drop_rhonchi_stridor": "left out", ".4": "left out", ".4@cas_to_wheeze": "", ".bits": "left out"}
    for i, pair in enumerate(("transfer.icbhi-sprsound", "transfer.sprsound-icbhi")):
        for space, kept in rules.items():
            task = load_task(pair + space, real_data)
            assert len(task.manifest) == every[kept][i] and not errors(task), task.card.id


def test_the_counts_are_those_that_were_counted(real_data):
    facts = json.loads(published_tables.beside(real_data, "specs/counts.json").read_text(encoding="utf-8"))[
        "sprsound2022"
    ]
    cas = next(part for name, part in facts.items() if name.startswith("shared4_cas_to_wheeze"))
    names = {"train": "train", "inter": "test_source_inter", "intra": "test_source_intra"}
    for variant, published in (
        ("", facts["shared4_drop_rhonchi_stridor"]),
        ("@drop_rhonchi_stridor", facts["shared4_drop_rhonchi_stridor"]),
        ("@cas_to_wheeze", cas),
    ):
        four = task_card(f"transfer.sprsound-icbhi.4{variant}").counts
        bits = task_card(f"transfer.sprsound-icbhi.bits{variant}").counts
        for name, split in names.items():
            told = {k: published[name][k] for k in ("normal", "crackle", "wheeze", "both")}
            assert {k: four[split][k] for k in told} == told
            for bit in ("crackle", "wheeze"):
                assert bits[split][bit] == told[bit] + told["both"]
    # RSC-Toolkit's question, wheeze or not, is the wheeze bit
    inter = task_card("transfer.icbhi-sprsound.bits").counts["test_target_inter"]
    rsc = facts["rsc_toolkit_wheeze_vs_others_inter"]
    assert (inter["wheeze"], 1429 - inter["wheeze"]) == (rsc["wheeze"], rsc["others"])
    total = facts["shared4_cas_to_wheeze (QLung/BTS-CARD/Lungmix rule)"]["train+inter (equals QLung totals)"]
    assert total == {k: cas["train"][k] + cas["inter"][k] for k in total}


def test_rhonchi_and_stridor_by_rule(tmp_path):
    tiny_corpora.icbhi(tmp_path, simulated=True)
    events = [("0", "300", "Normal"), ("400", "700", "Rhonchi"), ("800", "1200", "Stridor"), ("1300", "1700", "Wheeze")]
    corpus = tiny_corpora.sprsound(tmp_path)
    for path in corpus.rglob("*.json"):
        if path.name != "SIMULATED.json":
            tiny_corpora.sprsound_json(path, events)
    expected = {"": [0, 1, 1, 1], "@drop_rhonchi_stridor": [0, 1]}
    four = {"": [0, 2], "@drop_rhonchi_stridor": [0, 2], "@cas_to_wheeze": [0, 2, 2, 2]}
    for base, rules in (("", expected), (".4", four), (".bits", four)):
        for variant, labels in rules.items():
            frame = load_task(f"transfer.icbhi-sprsound{base}{variant}", tmp_path).manifest
            inter = frame[frame["split"] == "test_target_inter"].sort_values("start_s")
            assert inter["label"].tolist() == labels, (base, variant)
    with pytest.raises(UnknownId, match="drop_rhonchi_stridor"):
        task_card("transfer.icbhi-sprsound@cas_to_wheeze")


@pytest.mark.long
def test_the_reverse_holds_the_same_target_clips(tmp_path):
    both(tmp_path)
    for id in (*LUNG, "transfer.icbhi-sprsound.bits@cas_to_wheeze"):
        there, back = load_task(id, tmp_path), load_task(transfer.reverse(id), tmp_path)
        assert transfer.reverse(back.card.id) == there.card.id
        columns = ["clip_id", "group", "label", "domain"]
        for test, splits in there.card.tests.items():
            if not test.startswith("source_"):
                mirrored = back.card.tests[f"source_{test}"]
                ours = there.manifest.loc[there.manifest["split"].isin(splits), columns].reset_index(drop=True)
                theirs = back.manifest.loc[back.manifest["split"].isin(mirrored), columns].reset_index(drop=True)
                assert len(ours) and ours.equals(theirs)


def test_operas_transfers_from_their_tables_alone(tmp_path):
    task = load_task("transfer.opera.T6-to-opera.T9", tmp_path)
    assert task.card.id == "transfer.coughvid.sex-to-coswara.sex" and not errors(task)
    assert not task.manifest["available"].any() and len(task.manifest) == 2154 + 1064 + 717 + 373 + 2955 + 500
    assert (task.card.group, task.card.main_metric) == ("recording or participant", "auroc")
    assert set(task.manifest["group"].str.partition(":")[0]) == {"coughvid", "coswara"}
    card = task_card("transfer.icbhi.disease2-to-kauh.obstructive")
    assert card.classes == ("healthy", "obstructive") and card.counts["test_target"]["obstructive"] == 36
    assert card.counts["train"] == {"recordings": 462, "patients": 51, "healthy": 18, "obstructive": 444}
    assert list(card.tests) == ["test", "source_corrected", "source_official"]
    assert transfer.reverse(card.id) == "transfer.kauh.obstructive-to-icbhi.disease2"


def test_channels_of_coughs(real_data):
    task = load_task(CALLS, real_data)
    assert not errors(task) and task.state == "complete"
    assert task.manifest.groupby("split").size().to_dict() == {"test_source": 94, "test_target": 78, "train": 94}
    assert list(task.card.tests) == ["demonstration", "source_demonstration"] and "never a headline" in task.card.notes
    domains = task.manifest.groupby("split")["domain"].agg(set)
    assert domains["test_target"] == {"covid19_cough/messaging_app"}


def test_any_two_tasks_that_share_a_label_space():
    assert task_card("transfer.coughvid.covid-to-covid19_cough.messaging_app").classes == ("healthy", "COVID-19")
    records = task_card("transfer.sprsound.records3-to-icbhi.cycles2")
    assert records.classes == ("normal", "abnormal") and "train" not in records.counts  # poor quality has no place
    assert transfer.pair("icbhi.cycles4", "sprsound.events7") == "transfer.icbhi-sprsound"
    assert task_card("transfer.icbhi.cycles4-to-sprsound.events7").id == "transfer.icbhi-sprsound"


@pytest.mark.parametrize(
    "pair, problem",
    [
        ("coughvid.sex-to-icbhi.cycles4", "share no label space"),
        ("icbhi.bits-to-icbhi.cycles4", "share no label space"),
        ("icbhi.cycles2-to-icbhi.cycles2", "no training split apart"),
        ("nosemic.rate-to-icbhi.cycles2", "no training split apart"),
    ],
)
def test_pairs_that_make_no_transfer(pair, problem):
    with pytest.raises(BadInput, match=problem):
        task_card(f"transfer.{pair}")


def test_an_unknown_member_is_named():
    with pytest.raises(UnknownId, match=r"icbhi\.cycle4"):
        task_card("transfer.icbhi.cycle4-to-sprsound.events7")
    with pytest.raises(UnknownId, match=r"transfer\.icbhi-sprsound"):
        task_card("transfer.icbhi-sprsuond")


def test_a_bad_clip_of_a_member_can_be_excluded(tmp_path):
    folder = tiny_corpora.icbhi(both(tmp_path), simulated=True)
    (folder / "101_1b1_Al_sc_Meditron.wav").write_bytes(b"not a sound")
    task = load_task("transfer.icbhi-sprsound", tmp_path)
    with pytest.raises(BadInput, match=r"101_1b1_Al_sc_Meditron.wav"):
        prepare(task)
    prepared = prepare(task, "exclude")
    assert len(prepared.rows) == 26 - 4 and prepared.excluded[0].clips[0] == "icbhi:101_1b1_Al_sc#c000"


def test_a_missing_corpus_is_named(tmp_path):
    tiny_corpora.icbhi(tmp_path)
    with pytest.raises(BadInput, match=r"sprsound.events7.*SPRSound"):
        load_task("transfer.icbhi-sprsound", tmp_path)
