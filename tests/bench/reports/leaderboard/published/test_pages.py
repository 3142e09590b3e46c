import dataclasses
import importlib.util
from pathlib import Path

from bench.reports.leaderboard.published import pages, rows

SCRIPT = Path(__file__).parents[5] / "scripts" / "published.py"


def test_every_row_is_on_one_page_with_its_source():
    texts = pages.render_published()
    for name, trust in (("README.md", ("primary",)), ("others.md", ("secondary", "rerun", "derived"))):
        lines = [line.replace("\\", "") for line in texts[f"published/{name}"].splitlines() if line.startswith("| ")]
        assert not any(f"| {other} " in line for line in lines for other in set(rows.TRUST) - set(trust))
        for row in rows.published_rows(trust=trust):
            of_system = [line for line in lines if line.startswith(f"| {row.system.strip()} ")]
            number = f"{row.metric} {row.value}" + (f" ± {row.std}" if row.std else "")
            assert any(number in line and " ".join(row.source.split()) in line for line in of_system), row


def test_a_task_s_section_says_why_rows_cannot_be_compared():
    (title, _, table) = pages.published_section("icbhi.cycles4", "icbhi.Score", "complete")
    assert title == "## Published" and "*another split: 80/20 instead of the official one*" in table
    assert "`literature/best-test-epoch`" in table and "`linear`" not in table
    table = pages.published_section("icbhi.cycles4", "icbhi.Score", "subset")[-1]
    assert "`literature/best-test-epoch`" not in table and "*our copy of the corpus is subset*" in table


def test_nothing_is_shown_beside_simulated_data_and_of_unknown_tasks():
    assert pages.published_section("icbhi.cycles4", "icbhi.Score", "simulated") == []
    assert pages.published_section("mine.own", "auroc", "complete") == []


def test_text_of_others_is_no_markup(monkeypatch):
    row = dataclasses.replace(rows.published_rows("icbhi.cycles4")[0], system="<b>*x*</b> [a](b) |c")
    monkeypatch.setattr(pages, "published_rows", lambda task="", trust=(): [row])
    table = pages.published_section("icbhi.cycles4", row.our_metric, "complete")[-1]
    assert r"\<b\>\*x\*\</b\> \[a\](b) \|c" in table


def test_verify_finds_a_changed_page(tmp_path):
    assert pages.stale_published(tmp_path) == []
    written = pages.write_published(tmp_path)
    assert pages.stale_published(tmp_path) == []
    written[0].write_text(written[0].read_text(encoding="utf-8").replace("primary", "certain"), encoding="utf-8")
    (problem,) = pages.stale_published(tmp_path)
    assert "README.md" in problem and "scripts/published.py" in problem


def test_what_rows_are_of_is_what_the_script_says():
    spec = importlib.util.spec_from_file_location("published_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for row in rows.published_rows(trust=rows.TRUST):
        line = dataclasses.asdict(row)
        assert script.found(line) == {name: line[name] for name in script.FOUND}
