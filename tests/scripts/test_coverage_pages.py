import json
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
COVERAGE = ROOT / "results" / "coverage"


@pytest.fixture(scope="module")
def pages():
    sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))
    import coverage_pages

    yield coverage_pages
    sys.path.remove(str(ROOT / "scripts" / "benchmarks"))


def test_the_published_page_is_that_of_the_published_numbers(pages):
    table, model = pd.read_csv(COVERAGE / "coverage.csv"), json.loads((COVERAGE / "model.json").read_text())
    assert pages.report(table, model["like"], model["record"]) == (COVERAGE / "coverage.md").read_text()
    table.loc[table.index[0], "coverage"] -= 0.01
    assert pages.report(table, model["like"], model["record"]) != (COVERAGE / "coverage.md").read_text()
