import csv
import io
import json

import pytest

from bench.publish.papers.tables.content import paper_table
from bench.publish.papers.tables.plain import csv_text, frame, json_text, markdown_text
from paper_records import record

NAME = "sprsound.events2/inter SPRSound Score (%)"


@pytest.fixture(scope="module")
def table():
    evil = record("hf.=cmd", accuracy=0.7, data={"weights_licence": "=HYPERLINK(1)"})
    return paper_table([record("ast.base"), evil, record("ast.base", "icbhi.cycles2")], columns=["licence"])


def test_the_frame_holds_numbers_in_percent_and_nan_where_missing(table):
    data = frame(table)
    score = table.parts[0].rows[0].scores["sprsound.events2/inter:sprsound.Score"]
    assert data[NAME].iloc[0] == pytest.approx(100 * score.value, abs=5e-5)
    assert data[f"{NAME} low"].iloc[0] == pytest.approx(100 * score.low, abs=5e-5)
    assert data["icbhi.cycles2/corrected ICBHI Score (%)"].isna().tolist() == [False, True]


def test_no_text_of_the_csv_is_a_formula(table):
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert [row["licence of weights"] for row in rows] == ["MIT", "'=HYPERLINK(1)"]
    assert float(rows[0][NAME]) == frame(table)[NAME].iloc[0]
    assert rows[1]["icbhi.cycles2/corrected ICBHI Score (%)"] == ""


def test_the_json_names_the_records_and_null_where_missing(table):
    body = json.loads(json_text(table))
    first, second = body["parts"][0]["rows"]
    assert first["scores"]["sprsound.events2/inter:sprsound.Score"]["record"]
    assert second["scores"]["icbhi.cycles2/corrected:icbhi.Score"] is None


def test_markdown_has_a_table_for_every_part_and_the_notes():
    made = [record("ast.base", state="subset", data={"state": "subset"}), record("control.majority", state="subset")]
    text = markdown_text(paper_table(made), decimals=0)
    assert "**Frozen encoders, protocol linear, version 3**" in text and "**Controls, not ranked**" in text
    assert "<sup>1</sup>" in text and "1. Subset of the corpus" in text
    assert "40 patients, 120 clips" in text
