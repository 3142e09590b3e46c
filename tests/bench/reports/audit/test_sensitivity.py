import dataclasses
import json

import pytest

import bench
from bench.base.errors import BadInput
from bench.reports.audit.sensitivity import marks, read_sensitivities, sensitivity_section, under_dither
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
            {**change, "decisions": 3, "tests": dict.fromkeys(record.scores, moved), "chosen": [{"C": "1.0"}]},
            {**some, "tests": None, "chosen": None},
        ],
        **other,
    }


def keep(folder, facts):
    path = folder / "audit" / "sensitivity" / TASK / "meta.duration.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))


def test_the_section_says_what_each_change_does(record):
    _, about, table, still = sensitivity_section(stored(record))
    assert "10% of its interval's width" in about and still.endswith("and move: dither16 2.")
    dither = next(line for line in table.splitlines() if line.startswith("| dither16"))
    expected = ["20", "13", "0.5", "3 of 9", "the same", "55.0 (+5.0, 25% of its interval)"]
    assert [cell.strip() for cell in dither.split("|")[2:8]] == expected
    assert sensitivity_section({}) == []


def test_a_board_shows_the_column_and_marks_the_row(record, tmp_path):
    write_leaderboard([record], tmp_path)
    assert "dither" not in (tmp_path / "leaderboard.md").read_text()
    keep(tmp_path, stored(record))
    assert stale_leaderboard([record], tmp_path) != []
    write_leaderboard([record], tmp_path)
    page, overview = (tmp_path / name for name in (f"tasks/{TASK}.md", "leaderboard.md"))
    said = "**sensitive to rounding**: dither16 moves the score by 25% of its interval"
    assert "under dither of one 16-bit step" in page.read_text() and "+5.0" in page.read_text()
    assert said in page.read_text() and f"- meta.duration published, {TASK}/" in overview.read_text()
    keep(tmp_path, stored(record, change=0.01))
    write_leaderboard([record], tmp_path)
    assert said not in page.read_text() and "+1.0" in page.read_text()
    assert "None of them is moved far." in overview.read_text()


@pytest.mark.parametrize(
    "other", [{"digest": "0" * 64}, {"weights": "f" * 64}, {"protocol_version": 99}, {"layer": -7}]
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
    with pytest.raises(BadInput, match=r"meta\.duration\.json"):
        read_sensitivities(tmp_path, [record])


def test_a_row_that_was_not_tried_is_blank():
    assert marks(None, "official") == [] and under_dither(None, "official", "%") == "–"
