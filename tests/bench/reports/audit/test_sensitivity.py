import dataclasses
import json

import pytest

import bench
from bench.base.errors import BadInput
from bench.reports.audit.sensitivity import (
    marks,
    read_sensitivities,
    sensitive_rows,
    sensitivity_sections,
    stored_sensitivities,
    under_dither,
)
from bench.reports.leaderboard.report import stale_leaderboard, write_leaderboard

TASK = "icbhi.cycles4"


@pytest.fixture(scope="module")
def record(simulated):
    return bench.evaluate(bench.load_encoder("meta.duration"), bench.load_task(TASK, simulated))[0]


def stored(record, change=0.05, **other):
    """What an audit would have found of the record's encoder: on the headline test the score moves by ``change``."""
    spec, score = record.spec, {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9, "groups": 4, "method": "none"}
    moved = {"value": 0.5 + change, "change": change, "of_interval": abs(change) / 0.2}
    change = {"name": "dither16", "clips": 20, "shift": 13.25, "median_shift": 0.5, "constant": 2, "tested": 9}
    some = {**change, "name": "another code path", "clips": 5, "constant": 0, "decisions": 0}
    names = ("encoder", "encoder_version", "weights", "parameters", "resampler", "layer", "pooling")
    names += ("protocol", "protocol_version")
    return {
        "task": spec["task"],
        "version": spec["task_version"],
        "digest": spec["manifest"],
        **{name: spec[name] for name in names},
        "metric": "icbhi.Score",
        "clips": 20,
        "chosen": [{"C": "1.0"}],
        "tests": dict.fromkeys(record.scores, score),
        "changes": [
            {
                **change,
                "decisions": 3,
                "tests": dict.fromkeys(record.scores, moved),
                "chosen": [{"C": "10.0"}],
                "other_candidates": 0.25,
            },
            {**some, "tests": None, "chosen": None, "other_candidates": None},
        ],
        **other,
    }


def keep(folder, facts, name="meta.duration.published.json"):
    path = folder / "audit" / "sensitivity" / TASK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))


def test_the_section_says_what_each_change_does(record):
    heading, about, of, table, still = sensitivity_sections([stored(record)])
    assert (heading[:3], of) == ("## ", "### meta.duration, published")
    assert "10% of its interval's width, or more than 50% of its probe" in about and still.endswith(
        "and that move: dither16 2."
    )
    dither = next(line for line in table.splitlines() if line.startswith("| dither16"))
    expected = ["20", "13", "0.5", "3 of 9", "25%", "C 10.0", "55.0 (+5.0, 25% of its interval)"]
    assert [cell.strip() for cell in dither.split("|")[2:9]] == expected
    assert table.count("another code path") == 1 and sensitivity_sections([]) == []
    two = [stored(record), stored(record, pooling="mean")]
    assert [part for part in sensitivity_sections(two) if part[0] == "#"] == [heading, of, "### meta.duration, mean"]


def test_each_encoder_and_pooling_has_a_file(record):
    whole = {"task": TASK, "version": 1, "digest": "d"}
    found = [stored(record), stored(record, encoder="a.b@c", pooling="[mean,max]")]
    files = stored_sensitivities(whole | {"sensitivity": found})
    names = ["meta.duration.published.json", "a.b@c.%5Bmean,max%5D.json"]
    assert list(files) == [f"sensitivity/{TASK}/{name}" for name in names]
    assert stored_sensitivities(whole) == {}
    with pytest.raises(ValueError, match="make it again"):
        stored_sensitivities(whole | {"sensitivity": stored(record)})


def test_rows_are_found_by_what_they_are_not_by_the_name_of_their_file(record, tmp_path):
    keep(tmp_path, stored(record))
    keep(tmp_path, stored(record, pooling="mean", change=0.01), "other.json")
    assert read_sensitivities(tmp_path, [record])[record.key]["pooling"] == "published"
    mean = dataclasses.replace(record, spec=record.spec | {"pooling": "mean"}, key="another")
    assert [found["pooling"] for found in read_sensitivities(tmp_path, [record, mean]).values()] == [
        "published",
        "mean",
    ]
    (row,) = sensitive_rows(tmp_path / "audit")  # the other one moves little
    assert row.items() <= record.spec.items() and not row.items() <= mean.spec.items()
    with pytest.raises(BadInput, match="holds no sensitivity"):
        sensitive_rows(tmp_path)


def test_what_was_found_under_a_revision_of_a_model_s_own_code_is_said_of_that_alone(record, tmp_path):
    first, second = (
        dataclasses.replace(record, spec=record.spec | {"settings": "s", "code": digit * 40}, key=digit)
        for digit in "ab"
    )
    keep(tmp_path, stored(record, settings="s", code="a" * 40))
    assert list(read_sensitivities(tmp_path, [record, first, second])) == ["a"]
    (row,) = sensitive_rows(tmp_path / "audit")
    assert [row.items() <= each.spec.items() for each in (record, first, second)] == [False, True, False]
    assert "### meta.duration [own code aaaaaaaa], published" in sensitivity_sections([stored(record, code="a" * 40)])


def test_a_board_shows_the_column_and_marks_the_row(record, tmp_path):
    write_leaderboard([record], tmp_path)
    assert "dither" not in (tmp_path / "leaderboard.md").read_text()
    keep(tmp_path, stored(record))
    assert stale_leaderboard([record], tmp_path) != []
    write_leaderboard([record], tmp_path)
    page, overview = (tmp_path / name for name in (f"tasks/{TASK}.md", "leaderboard.md"))
    said = "**sensitive to rounding**: dither16 moves the score by 25% of its interval"
    assert "under dither of one 16-bit step" in page.read_text() and "+5.0" in page.read_text()
    assert said in page.read_text()
    assert f"meta.duration published linear: {said.replace('**', '')} ({TASK}/" in overview.read_text()
    keep(tmp_path, stored(record, change=0.01))
    write_leaderboard([record], tmp_path)
    assert said not in page.read_text() and "+1.0" in page.read_text()
    assert "None of them is moved far." in overview.read_text()


@pytest.mark.parametrize(
    "other",
    [{"digest": "0" * 64}, {"weights": "f" * 64}, {"protocol_version": 99}, {"layer": -7}, {"code": "a" * 40}],
)
def test_what_was_found_of_other_data_or_weights_is_not_shown(record, tmp_path, other):
    keep(tmp_path, stored(record))
    assert list(read_sensitivities(tmp_path, [record])) == [record.key]
    keep(tmp_path, stored(record, **other))
    assert read_sensitivities(tmp_path, [record]) == {}
    tiled = dataclasses.replace(record, spec=record.spec | {"clip": "tile8"})
    keep(tmp_path, stored(record))
    assert read_sensitivities(tmp_path, [tiled]) == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"task": 1}'])
def test_an_unreadable_file_is_named(record, tmp_path, text):
    keep(tmp_path, text)
    with pytest.raises(BadInput, match=r"meta\.duration\.published\.json.*make it again"):
        read_sensitivities(tmp_path, [record])


def test_a_row_that_was_not_tried_is_blank():
    assert marks(None, "official") == [] and under_dither(None, "official", "%") == "–"
