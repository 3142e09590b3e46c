import sys

import pytest

from bench.base.errors import BadInput
from bench.publish.papers.tables.content import paper_table
from bench.publish.papers.tables.excel import write_excel
from bench.publish.papers.tables.plain import frame
from paper_records import record


@pytest.fixture(scope="module")
def table():
    evil = record("hf.x", data={"weights_licence": "=HYPERLINK(1)\x01"})
    return paper_table(
        [evil, record("fbank.stats", "icbhi.cycles2"), record("fbank.stats", accuracy=0.9)], columns=["licence"]
    )


def test_numbers_are_numbers_and_text_is_text(table, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.load_workbook(write_excel(table, tmp_path / "new" / "t.xlsx"))["table"]
    lines = list(sheet.iter_rows(min_row=2))
    assert [cell.value for cell in sheet[1]] == list(frame(table).columns)
    licence = lines[1][2]
    assert licence.value == "=HYPERLINK(1) " and licence.data_type == "s" and licence.quotePrefix
    assert lines[0][4].data_type == "n" and lines[1][4].value is None


def test_without_openpyxl_the_error_says_what_to_install(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(BadInput, match=r"respbench\[excel\]"):
        write_excel(table, tmp_path / "t.xlsx")
    assert not (tmp_path / "t.xlsx").exists()
