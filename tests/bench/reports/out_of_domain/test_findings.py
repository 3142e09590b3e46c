import numpy as np
import pytest

from bench.reports.out_of_domain.contents import contents
from bench.reports.out_of_domain.findings import BANDWIDTH_KINDS, count, findings
from bench.reports.out_of_domain.report import render_transfer_report
from bench.reports.out_of_domain.transfer_table import DROP, GAP, OVER_DURATION, OVER_FLOOR
from bench.runs.context import TransferNotes
from planted_transfers import REVERSE, TRANSFER, majority, record

SPLITS = ("test_source", "test_target_inter")
STRENGTHS = {"planted.drop": (1.2, 0.1), "planted.none": (0.6, 0.6), "planted.reverse": (0.2, 1.2)}


def folder_of(strengths, below=None):
    """Records of encoders with these strengths in and out of domain; ``below``: those under ``lowpass2k``."""
    made = [majority(SPLITS), record("meta.duration", dict(zip(SPLITS, (0.1, 0.0))))]
    for encoder, strength in strengths.items():
        made.append(record(encoder, dict(zip(SPLITS, strength))))
        made.append(record(encoder, {"test_source_inter": 1.2}, task=REVERSE))
    for encoder, strength in (below or {}).items():
        made.append(record(encoder, dict(zip(SPLITS, strength)), clip="lowpass2k"))
    return made


@pytest.fixture(scope="module")
def report():
    return contents(folder_of(STRENGTHS), TransferNotes(tasks=[TRANSFER]))


def said(report, what):
    """{encoder: (whether its sentence says more or less, the sentence)}."""
    own = [finding for finding in report.findings if finding.what == what]
    return {test.row.split()[0]: (f.supported, f.sentence) for f in own for test in f.tests}


def test_a_planted_drop_is_said_and_none_is_not(report):
    sentences = said(report, DROP)
    assert sentences["planted.drop"][0] and "planted.drop mean drops by " in sentences["planted.drop"][1]
    assert sentences["planted.reverse"][0]
    assert "planted.reverse mean is better out of domain than in-domain, by " in sentences["planted.reverse"][1]
    assert sentences["planted.none"] == (False, sentences["planted.none"][1])
    assert sentences["planted.none"][1].startswith("Not told apart from no drop: planted.none mean ")


def test_what_is_left_is_held_against_the_floor_and_the_length_alone(report):
    assert said(report, OVER_FLOOR)["planted.reverse"][0] and not said(report, OVER_FLOOR)["planted.drop"][0]
    assert said(report, OVER_DURATION)["planted.none"][0]
    assert "A probe of the target's own patients is better" in said(report, GAP)["planted.drop"][1]


def test_every_number_of_a_sentence_is_that_of_the_table(report):
    table = report.numbers.query("metric == 'auroc' and what == @DROP").set_index("encoder")
    (finding,) = (f for f in report.findings if f.what == DROP and "planted.drop" in f.sentence)
    value, low, high = (100 * table.loc["planted.drop", name] for name in ("value", "low", "high"))
    assert f"drops by {value:.1f} points [{low:.1f}, {high:.1f}] out of domain." in finding.sentence
    assert finding.test.startswith("unpaired patient bootstrap, 80 patients, p ")


def test_the_amount_of_a_reverse_is_positive_and_its_interval_rises(report):
    (finding,) = (f for f in report.findings if f.what == DROP and "planted.reverse" in f.sentence)
    number, low, high = (
        float(t.strip("[],. ")) for t in finding.sentence.partition("by ")[2].replace("points", "").split()
    )
    assert 0 < low < number < high


def test_holm_allows_for_all_tests_of_the_page(report):
    tests = [test for finding in report.findings for test in finding.tests]
    assert count(report.findings) == len(tests) == 3 * 4  # three encoders, four kinds; controls are not tested
    p, adjusted = (np.array([getattr(test, name) for test in tests]) for name in ("p", "adjusted"))
    assert adjusted[p.argmin()] == pytest.approx(min(1.0, len(tests) * p.min()))
    assert (adjusted >= p).all() and adjusted.max() <= 1


@pytest.mark.long
def test_control_of_bandwidth_is_said_to_narrow_a_drop_that_it_narrows():
    """One drop was of bandwidth alone, one was not."""
    planted = {"planted.bandwidth": (1.2, 0.1), "planted.physiology": (1.2, 0.1)}
    below = {"planted.bandwidth": (0.8, 0.8), "planted.physiology": (1.2, 0.1)}
    report = contents(folder_of(planted, below), TransferNotes(tasks=[TRANSFER]))
    change, still = "drop, lowpass2k, change", "drop, lowpass2k"
    assert {change, still} <= set(BANDWIDTH_KINDS)
    assert "lowpass2k narrows the drop of planted.bandwidth mean, by " in said(report, change)["planted.bandwidth"][1]
    assert not said(report, change)["planted.physiology"][0]
    assert "still drops by" in said(report, still)["planted.physiology"][1]
    assert not said(report, still)["planted.bandwidth"][0]
    text = render_transfer_report(report)["ood.md"]
    paragraph = text.partition("### What control of bandwidth changes")[2].partition("## At a glance")[0]
    assert "narrows the drop of planted.bandwidth" in paragraph


def test_demonstrations_and_controls_are_not_tested(report):
    task = report.firsts[TRANSFER].data["task"]
    assert findings(report.numbers, report.plans, {TRANSFER: {**task, "demonstration": True}}) == []


def test_the_page_has_the_sentences_and_a_matrix_only_of_several_transfers(report):
    text = render_transfer_report(report)["ood.md"]
    assert "for all 12 tests of this page" in text and "planted.drop mean drops by" in text
    assert "Source against target" not in text
    both = contents([*folder_of(STRENGTHS), *_back()], TransferNotes(tasks=[TRANSFER, REVERSE]))
    page = render_transfer_report(both)["ood.md"].partition("## Source against target")[2]
    assert "| AUROC, trained on | icbhi.cycles4" in " ".join(page.split())


def _back():
    splits = ("test_source_inter", "test_target")
    return [majority(splits, REVERSE), record("planted.back", dict(zip(splits, (1.0, 0.5))), task=REVERSE)]
