"""Every published count of SPRSound 2022, on a whole copy."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import soundfile

import published_tables
from bench.data.manifest import load_task
from bench.scores import metrics
from tasks._shared.labels import BINARY, CAS_TO_WHEEZE, EVENTS7, ICBHI4, RECORDS5, SHARED4, TO_BINARY, LabelMap, relabel

SPLITS = {"train": "train", "inter": "test_inter", "intra": "test_intra"}
CONTINUOUS = {"Rhonchi", "Wheeze", "Stridor", "Wheeze+Crackle"}
DISCONTINUOUS = {"Coarse Crackle", "Fine Crackle", "Wheeze+Crackle"}


@pytest.fixture
def published(real_data) -> dict:
    return json.loads(published_tables.beside(real_data, "specs/counts.json").read_text(encoding="utf-8"))[
        "sprsound2022"
    ]


@pytest.fixture
def events(real_data) -> pd.DataFrame:
    return load_task("sprsound.events7", real_data).manifest


@pytest.fixture
def records(real_data) -> pd.DataFrame:
    return load_task("sprsound.records5", real_data).manifest


@pytest.fixture
def annotations(real_data, records) -> dict[str, dict]:
    """{recording: its JSON file as it is}."""
    files = {path.stem: path for path in (real_data / "SPRSound").rglob("*.json")}
    return {name: json.loads(files[name].read_text(encoding="utf-8")) for name in records["clip_id"]}


def named(part: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, int]:
    """{class: clips} of the classes that occur."""
    return {classes[k]: n for k, n in part["label"].value_counts().items()}


def in_space(part: pd.DataFrame, to: LabelMap, classes: tuple[str, ...]) -> dict[str, int]:
    labels = part["label"].map(relabel(EVENTS7, to))
    return {name: int((labels == k).sum()) for k, name in enumerate(classes)} | {"dropped": int(labels.isna().sum())}


def of(frame: pd.DataFrame, split: str) -> pd.DataFrame:
    return frame[frame["split"] == SPLITS[split]]


@pytest.mark.long
def test_splits(events, records, published):
    for split, expected in published["splits"].items():
        heard, kept = of(events, split), of(records, split)
        assert {name: value for name, value in expected.items() if name != "hours"} == {
            "recordings": len(kept),
            "patients": kept["group"].nunique(),
            "events": len(heard),
            "event_types": named(heard, EVENTS7),
            "record_types": named(kept, RECORDS5),
            "files_without_events": len(kept) - heard["path"].nunique(),
            "event_bearing_patients": heard["group"].nunique(),
        }
    assert published["total"] == {
        "recordings": len(records),
        "patients": records["group"].nunique(),
        "events": len(events),
        "event_types": named(events, EVENTS7),
        "record_types": named(records, RECORDS5),
        "files_without_events": len(records) - events["path"].nunique(),
    }
    patients = {split: set(of(records, split)["group"]) for split in SPLITS}
    pairs = (("train", "inter"), ("train", "intra"), ("inter", "intra"))
    assert published["patient_overlap"] == {f"{a}_{b}": len(patients[a] & patients[b]) for a, b in pairs}
    assert set(published["splits"]) == set(SPLITS)


@pytest.mark.long
def test_audio(real_data, records, published):
    expected = published["audio"]
    found = [soundfile.info(real_data / path) for path in records["path"]]
    assert {(info.samplerate, info.channels, info.subtype) for info in found} == {
        (expected["sample_rate"], expected["channels"], f"PCM_{expected['bits']}")
    }
    length = pd.Series([info.frames / info.samplerate for info in found], index=records.index)
    assert expected["hours"] == pytest.approx(length.sum() / 3600, abs=1e-4)
    for split in SPLITS:
        hours = length[records["split"] == SPLITS[split]].sum() / 3600
        assert published["splits"][split]["hours"] == pytest.approx(hours, abs=1e-4)
    quantiles = {"min": length.min(), "median": length.median(), "max": length.max()}
    assert expected["duration_s"] == pytest.approx(quantiles, abs=1e-3)


@pytest.mark.long
def test_annotations_as_written(real_data, annotations, published):
    unsorted = overlapping = 0
    empty_is_poor = label_is_union = True
    for content in annotations.values():
        spans = [(int(event["start"]), int(event["end"])) for event in content["event_annotation"]]
        unsorted += spans != sorted(spans)
        overlapping += sum(b < a for (_, a), (b, _) in pairwise(sorted(spans)))
        types = {event["type"] for event in content["event_annotation"]}
        kinds = [name for name, own in (("CAS", CONTINUOUS), ("DAS", DISCONTINUOUS)) if types & own]
        poor = content["record_annotation"] == "Poor Quality"
        empty_is_poor &= poor == (not spans)
        label_is_union &= poor or content["record_annotation"] == (" & ".join(kinds) or "Normal")
    assert published["recordings_with_unsorted_events"] == unsorted
    (note,) = [finding for finding in load_task("sprsound.events7", real_data).findings if finding.code == "unsorted"]
    assert note.problem.startswith(f"{unsorted} of {len(annotations)} files")
    assert published["overlapping_events"] == overlapping
    assert published["files_without_events_iff_poor_quality"] == empty_is_poor
    assert published["record_label_equals_union_of_event_labels"] == label_is_union


def test_event_ids(events, published):
    ids = of(events, "inter")["clip_id"].str.replace("#e", ":event_")
    listed = "".join(f"{id}\n" for id in sorted("inter:" + ids))
    assert published["inter_event_id_sha256"] == hashlib.sha256(listed.encode()).hexdigest()


def test_shared_spaces(events, published):
    literature = "shared4_cas_to_wheeze (QLung/BTS-CARD/Lungmix rule)"
    for split in SPLITS:
        part = of(events, split)
        assert published["shared4_drop_rhonchi_stridor"][split] == in_space(part, SHARED4, ICBHI4)
        assert published[literature][split] | {"dropped": 0} == in_space(part, CAS_TO_WHEEZE, ICBHI4)
        two = in_space(part, TO_BINARY, BINARY)
        assert published["binary_task11"][split] == {"normal": two["normal"], "adventitious": two["abnormal"]}
    both = events[events["split"] != "test_intra"]
    assert published[literature]["train+inter (equals QLung totals)"] | {"dropped": 0} == in_space(
        both, CAS_TO_WHEEZE, ICBHI4
    )
    wheeze = {name: int(name in ("Wheeze", "Wheeze+Crackle")) for name in EVENTS7}
    wheeze_or_not = in_space(of(events, "inter"), {**wheeze, "Rhonchi": None, "Stridor": None}, ("others", "wheeze"))
    assert published["rsc_toolkit_wheeze_vs_others_inter"] | {"dropped": 0} == wheeze_or_not


def test_reference_scores(events, published):
    truth = (of(events, "inter")["label"] > 0).astype(int)
    answers = metrics.confusion(truth, np.zeros(len(truth), int), 2)
    scores = {
        name: 100 * float(metrics.get(f"sprsound.{name}").fn(answers, metrics.Roles(0, (1,))))
        for name in ("SE", "SP", "AS", "HS", "Score")
    }
    assert published["reference_scores_task11_inter"] == {"all_normal": scores}


def test_nothing_published_goes_unasserted(published):
    assert set(published) == {
        *("splits", "total", "patient_overlap", "audio", "recordings_with_unsorted_events", "overlapping_events"),
        *("files_without_events_iff_poor_quality", "record_label_equals_union_of_event_labels"),
        *("inter_event_id_sha256", "binary_task11", "shared4_drop_rhonchi_stridor"),
        *("shared4_cas_to_wheeze (QLung/BTS-CARD/Lungmix rule)", "rsc_toolkit_wheeze_vs_others_inter"),
        "reference_scores_task11_inter",
    }
