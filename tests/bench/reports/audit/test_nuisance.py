import json

import pytest

from bench.base.errors import BadInput
from bench.reports.audit.nuisance import read_revealed, revealed_table
from planted_transfers import TRANSFER, majority

ROW = {"what": "corpus", "measure": "balanced accuracy", "value": 0.9975, "chance": 0.5, "n": 4079, "note": ""}
BLANK = {"what": "person", "measure": "nearest recording", "value": None, "chance": None, "n": 0, "note": "no ids"}


def keep(folder, **other):
    facts = {"task": TRANSFER, "version": 1, "digest": "m", "nuisance": {"an.encoder": [ROW, BLANK]}} | other
    path = folder / "audit" / f"{TRANSFER}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(facts))


def test_what_an_audit_found_is_read_and_shown(tmp_path):
    keep(tmp_path)
    (found,) = read_revealed(tmp_path, [TRANSFER, "icbhi.cycles4"])
    table = " ".join(revealed_table(found).split())
    assert "| an.encoder | corpus | balanced accuracy | 99.8 | 50.0 | 4079 |" in table
    assert "| person | nearest recording | – | – | – | no ids |" in table


def test_an_audit_of_other_data_is_stale(tmp_path):
    keep(tmp_path, digest="other")
    (found,) = read_revealed(tmp_path, [TRANSFER])
    assert found.stale(majority(["test_source"]))


@pytest.mark.parametrize("broken", [{"nuisance": [1]}, {"version": "x"}, {"nuisance": {"an.encoder": [{}]}}])
def test_an_audit_that_cannot_be_read_is_named(broken, tmp_path):
    keep(tmp_path, **broken)
    with pytest.raises(BadInput, match="not a readable audit"):
        read_revealed(tmp_path, [TRANSFER])
