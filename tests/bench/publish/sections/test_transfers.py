import json
import re

import pytest

from bench.publish.blocks import Chart, Section, Table, Text
from bench.publish.sections.transfers.section import section_of, transfer_section
from bench.reports.audit.nuisance import Revealed
from bench.reports.out_of_domain.bandwidth import under
from bench.reports.out_of_domain.contents import contents
from bench.reports.out_of_domain.transfer_table import DROP, IN, OUT, OVER_FLOOR
from bench.runs.context import TransferNotes
from planted_transfers import REVERSE, TRANSFER, majority, record

HERE, BACK = ("test_source", "test_target_inter"), ("test_source_inter", "test_target")


@pytest.fixture(scope="module")
def report():
    made = [majority(HERE), majority(BACK, REVERSE)]
    for encoder, strength in (("planted.drop", (1.2, 0.1)), ("meta.duration", (0.1, 0.0))):
        made.append(record(encoder, dict(zip(HERE, strength))))
        made.append(record(encoder, dict(zip(BACK, strength)), task=REVERSE))
        made += [
            record(encoder, {"test_source_inter": 0.6 + seed / 10}, task=REVERSE, protocol="fewshot-10", seed=seed)
            for seed in range(3)
        ]
    made.append(record("planted.drop", dict(zip(HERE, (0.8, 0.8))), clip="lowpass2k"))
    rows = [{"what": "corpus", "measure": "m", "value": 0.9, "chance": 0.5, "n": 9, "note": ""}]
    digest = made[0].spec["manifest"]
    revealed = [Revealed(TRANSFER, 1, digest, {"planted": rows}), Revealed(REVERSE, 1, "other", {"planted": rows})]
    return contents(made, TransferNotes(tasks=[TRANSFER, REVERSE], notes=["By hand."]), revealed)


@pytest.fixture(scope="module")
def section(report):
    return section_of(report)


def blocks(section, kind):
    for block in section.blocks:
        if isinstance(block, Section):
            yield from blocks(block, kind)
        elif isinstance(block, kind):
            yield block


def sections(section):
    yield section
    for block in section.blocks:
        if isinstance(block, Section):
            yield from sections(block)


def test_ids_are_unique_and_plain(section):
    ids = [each.id for each in sections(section)]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[A-Za-z0-9.-]+", id) for id in ids)


def test_differences_of_tables_have_their_sign_and_scores_none(section):
    kinds = {column.name: column.kind for table in blocks(section, Table) for column in table.columns}
    assert {kinds[name] for name in (DROP, under(DROP, "lowpass2k"), OVER_FLOOR, "difference")} == {"difference"}
    assert {kinds[name] for name in (IN, OUT, under(IN, "lowpass2k"))} == {"score"}
    assert {kinds[name] for name in ("p", "adjusted")} == {"p"}


def test_every_chart_is_described_and_carries_its_data(section):
    charts = list(blocks(section, Chart))
    titles = {chart.title for chart in charts}
    assert {"AUROC: trained on, tested on", "AUROC: in against out of domain", "AUROC: reliability"} <= titles
    assert {"AUROC: labels of the target", "Drop of AUROC under lowpass2k"} <= titles
    for chart in charts:
        text = json.dumps(chart.spec, allow_nan=False)
        assert len(chart.description) > 60 and '"url"' not in text and '"config"' not in text and "NaN" not in text
        assert "width" not in chart.spec and chart.spec["data"]["values"]


def test_points_are_the_numbers_in_percent(report, section):
    (chart, _) = (c for c in blocks(section, Chart) if c.title == "AUROC: in against out of domain")
    (point,) = (p for p in chart.spec["data"]["values"] if p["row"] == "planted.drop mean")
    row = report.numbers.query(
        "encoder == 'planted.drop' and metric == 'auroc' and what == 'in-domain' and task == @TRANSFER"
    )
    assert point["x"] == pytest.approx(100 * row["value"].item())
    floors = [p for layer in chart.spec["layer"] for p in layer.get("data", {}).get("values", ()) if "line" in p]
    assert {next(iter(p.values())) for p in floors} == {50.0}  # not the control's interval but its value


def test_few_shots_lie_between_zero_shot_and_all(section):
    chart = next(c for c in blocks(section, Chart) if c.title == "AUROC: labels of the target")
    steps = [p["step"] for p in chart.spec["data"]["values"] if p["row"] == "planted.drop mean"]
    assert steps == ["0 (zero-shot)", "10", "all"]
    (few,) = (p for p in chart.spec["data"]["values"] if p["row"] == "planted.drop mean" and p["step"] == "10")
    assert few["low"] < few["value"] < few["high"] and few["draws"] == 3


def test_sentences_are_findings_and_their_tests_stand_in_a_table(report, section):
    found = [p for text in blocks(section, Text) if text.tone == "finding" for p in text.paragraphs]
    assert any("planted.drop mean drops by" in p and "unpaired patient bootstrap" in p for p in found)
    tables = [t for t in blocks(section, Table) if any(column.name == "adjusted" for column in t.columns)]
    assert sum(len(table.rows) for table in tables) == sum(len(finding.tests) for finding in report.findings)


def test_an_audit_is_shown_where_it_is_of_the_same_data(section):
    by_id = {each.id: each for each in sections(section)}
    tables = [t for t in by_id[f"ood.{TRANSFER}"].blocks if isinstance(t, Table)]
    assert any(row.get("what") == "corpus" for table in tables for row in table.rows)
    notes = [p for text in by_id[f"ood.{REVERSE}"].blocks if isinstance(text, Text) for p in text.paragraphs]
    assert any("other data" in p for p in notes)


def test_a_folder_without_transfers_has_no_section(tmp_path):
    assert transfer_section(tmp_path) is None
