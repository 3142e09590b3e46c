import numpy as np
import pandas as pd

from bench.data.recordings import Recording
from bench.reports.audit.report import reported_annotations
from bench.runs.audit.checks import annotations
from bench.runs.audit.sounds import analyse
from bench.types import Finding

ODD = (
    ("a", 0.0, 1.0),
    ("a", 0.5, 2.0),
    ("a", 0.5, 2.0),
    ("a", 2.5, 2.6),
    ("b", 0.0, 12.0),
    ("c", 1.0, float("nan")),
)


def frame(spans=ODD):
    rows = [{"clip_id": f"{p}#{i}", "path": p, "start_s": a, "end_s": b} for i, (p, a, b) in enumerate(spans)]
    return pd.DataFrame(rows).assign(split="train")


def recording(seconds):
    return Recording("digest", 100, 1, round(100 * seconds))


def test_counts_of_what_is_odd():
    facts = annotations.irregularities(frame(), {"a": recording(5.0), "b": recording(12.0)}, {}, [])
    assert (facts["clips"], facts["with_end"]) == (6, 5)
    assert facts["short"] == {"count": 1, "splits": {"train": 1}, "examples": ["a#3"]}
    assert facts["long"]["examples"] == ["b#4"]
    assert facts["overlaps"]["examples"] == ["a#1"] and facts["overlaps"]["most_s"] == 1.5
    assert facts["same_span"]["examples"] == ["a#2"]
    assert facts["gaps"]["count"] == 1 and facts["gaps"]["seconds"]["max"] == 0.5
    assert facts["coverage"]["min"] == 0.42 and facts["coverage"]["max"] == 1.0
    told = {finding.code for finding in annotations.findings(facts, segments=True)}
    assert told == {"overlapping", "same-span", "short-clips", "long-clips"}
    assert "long-clips" not in {finding.code for finding in annotations.findings(facts, segments=False)}


def test_rounded_neighbours_are_neither_gaps_nor_overlaps():
    facts = annotations.irregularities(frame([("a", 0.0, 0.2), ("a", 0.201, 0.4), ("a", 0.399, 0.6)]), {}, {}, [])
    assert facts["gaps"]["count"] == 0 and facts["overlaps"]["count"] == 0
    assert facts["short"]["examples"] == ["a#1"]


def test_what_the_loader_and_the_audio_found_is_counted():
    found = [Finding("error", "past-end", "a", "ends late", "", ("a#1", "a#2")), Finding("note", "unsorted", "b", "x")]
    reported = annotations.irregularities(frame(), {}, {}, found)["reported"]
    assert reported["past-end"]["clips"] == 2 and reported["unsorted"]["findings"] == 1
    told = reported_annotations({"reported": reported}).splitlines()
    assert told[1:] == ["- `unsorted`: b: x", "- `past-end`: a: ends late (2 clips)"]
    two = annotations.irregularities(frame(), {}, {}, [*found, found[0]])["reported"]
    assert reported_annotations({"reported": two}).endswith("a: ends late (the first of 2 findings, 4 clips)")


def test_signals_that_stand_still_or_are_driven_too_hard():
    noise = np.random.default_rng(0).normal(0, 0.1, (800, 1)).astype(np.float32)
    still = np.concatenate([noise, np.zeros_like(noise), np.ones_like(noise)])
    facts = annotations.irregularities(
        frame([("a", 0.0, 1.0), ("a", 1.0, 2.0), ("a", 1.9, 3.0)]), {}, {"a": analyse(still, 800)}, []
    )
    assert facts["silent"]["examples"] == ["a#1"] and facts["stuck"]["examples"] == ["a#2"]
    assert facts["clipped"]["examples"] == ["a"]
    assert {"silent-clips", "stuck-clips", "clipped"} <= {f.code for f in annotations.findings(facts, True)}


def test_a_table_without_lengths_has_nothing_odd():
    facts = annotations.irregularities(frame([("a", 0.0, float("nan"))]), {}, {}, [])
    assert facts["duration_s"] == {} and facts["coverage"] == {} and annotations.findings(facts, False) == []
