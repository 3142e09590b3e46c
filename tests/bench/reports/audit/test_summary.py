import json

import pytest

from bench.base.errors import BadInput
from bench.reports.audit.summary import read_audit_summaries

FACTS = {"task": "@x/t", "version": 1, "digest": "ab", "marks": {"test": ["3 patients in train"]}, "splits": {}}


def written(folder, name, text):
    (folder / "audit").mkdir(exist_ok=True)
    (folder / "audit" / f"{name}.json").write_text(text)


def test_the_audits_that_are_there_are_read_by_task(tmp_path):
    assert read_audit_summaries(tmp_path, ["@x/t"]) == {}
    written(tmp_path, "@x%2Ft", json.dumps(FACTS))
    found = read_audit_summaries(tmp_path, ["@x/t", "other"])
    assert list(found) == ["@x/t"]
    assert found["@x/t"].report == "audit/@x%252Ft.md" and found["@x/t"].marks == {"test": ("3 patients in train",)}


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "not a readable audit"), ('{"task": "@x/t"}', "not a readable audit"), ("[]", "not a readable audit")],
)
def test_what_is_no_audit_is_refused(tmp_path, text, told):
    written(tmp_path, "@x%2Ft", text)
    with pytest.raises(BadInput, match=told):
        read_audit_summaries(tmp_path, ["@x/t"])


def test_an_audit_under_another_name_is_refused(tmp_path):
    written(tmp_path, "x.t", json.dumps(FACTS))
    with pytest.raises(BadInput, match="an audit of @x/t"):
        read_audit_summaries(tmp_path, ["x.t"])
