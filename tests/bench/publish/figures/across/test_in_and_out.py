import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.publish.figures.across.in_and_out import in_and_out
from figure_checks import problems, texts

TRANSFERS = {
    "transfer.icbhi-sprsound": {"inter": ["test"], "source_corrected": ["test_source"]},
    "transfer.sprsound-icbhi": {"corrected": ["test"], "source_inter": ["test_source"]},
    "transfer.covid19_cough.call_centre-to-covid19_cough.messaging_app": {
        "demonstration": ["test"],
        "source_demonstration": ["test_source"],
    },
}


@pytest.fixture(scope="module")
def made():
    out = []
    for task, tests in TRANSFERS.items():
        facts = {**toy_boards.TWO, "tests": tests, "headline": next(iter(tests))}
        out += toy_boards.board([task], ["toy.bands", "toy.waves"], facts=facts, clips=80)
        out.append(toy_boards.record(task, "meta.duration", "published", 0.3, facts=facts, clips=80))
    return out


@pytest.mark.parametrize("width", [1, 2])
def test_a_panel_for_each_transfer_and_nothing_overlaps(made, width):
    figure = in_and_out(made, width)
    assert sum(axis.axison for axis in figure.axes) == 3
    assert not problems(figure)
    shown = [text.get_text() for text in texts(figure)]
    assert {"toy.bands, mean", "meta.duration", "control.majority"} <= set(shown)
    assert "floor" in figure.caption and "length alone" in figure.caption


def test_clips_of_controlled_bandwidth_and_few_shots_are_no_points(made):
    plain = [r for r in made if r.spec["task"] == "transfer.icbhi-sprsound"]
    facts = plain[0].data["task"]
    more = [
        toy_boards.record("transfer.icbhi-sprsound", "toy.bands", "mean", 1, 80, facts, clip="lowpass2k"),
        toy_boards.record("transfer.icbhi-sprsound", "toy.bands", "mean", 1, 80, facts, protocol="fewshot-10"),
    ]
    lines = [len(in_and_out(records).axes[0].get_lines()) for records in (plain, [*plain, *more])]
    assert lines[0] == lines[1]


def test_without_transfers_it_says_how_to_make_some():
    with pytest.raises(BadInput, match="respbench ood"):
        in_and_out(toy_boards.board())
