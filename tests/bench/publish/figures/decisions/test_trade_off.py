import numpy as np
import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.publish.figures.decisions.trade_off import COMPARABLE, OTHER, trade_off
from figure_checks import problems, texts

METRICS = {"metrics": ["icbhi.Score", "icbhi.Sp", "icbhi.Se"]}
FACTS = {**toy_boards.FACTS, **METRICS, "tests": {"official": ["test"]}}
SPRSOUND = {**FACTS, "main_metric": "sprsound.Score", "metrics": ["sprsound.Score", "sprsound.SP", "sprsound.SE"]}


def shown(figure):
    return [text.get_text() for text in texts(figure)]


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("facts", [FACTS, SPRSOUND])
def test_nothing_overlaps_or_is_cut_off(width, facts):
    board = toy_boards.board(["icbhi.cycles4"], ("toy.bands", "toy.a_rather_long_name@policy"), facts=facts)
    figure = trade_off(board, width)
    assert not problems(figure)
    assert {"toy.bands, mean", "control.majority"} <= set(shown(figure))


def test_a_point_lies_at_specificity_and_sensitivity_on_its_line_of_score():
    record = toy_boards.record("icbhi.cycles4", facts=FACTS)
    scores = record.scores["official"]
    axis = trade_off([record], published=False).axes[0]
    at = 100 * scores["icbhi.Sp"]["value"], 100 * scores["icbhi.Se"]["value"]
    drawn = [(*line.get_xdata(), *line.get_ydata()) for line in axis.get_lines()]
    assert any(len(place) == 2 and np.allclose(place, at) for place in drawn)


def test_published_systems_of_another_protocol_are_hollow_and_never_beside_simulated_recordings():
    record = toy_boards.record("icbhi.cycles4", facts=FACTS)
    figure = trade_off([record])
    assert OTHER in shown(figure) and COMPARABLE not in shown(figure)
    assert "cannot be compared" in figure.caption
    simulated = toy_boards.record("icbhi.cycles4", facts=FACTS, state="simulated")
    assert OTHER not in shown(trade_off([simulated]))
    assert OTHER not in shown(trade_off([record], published=False))
    assert OTHER not in shown(trade_off([toy_boards.record("toy.cycles3", facts=FACTS)]))


def test_what_has_no_trade_off_is_refused():
    with pytest.raises(BadInput, match="not made of specificity"):
        trade_off([toy_boards.record(facts={**FACTS, "main_metric": "uar", "metrics": ["uar"]})])
    with pytest.raises(BadInput, match="take one of: official"):
        trade_off([toy_boards.record(facts=FACTS)], test="corrected")
    with pytest.raises(BadInput, match="one task, not 2"):
        trade_off(toy_boards.board(facts=FACTS))
