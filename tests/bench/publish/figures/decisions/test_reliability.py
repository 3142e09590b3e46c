import numpy as np
import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.publish.figures.decisions.reliability import reliability
from bench.reports.out_of_domain.measures.calibration import calibration
from bench.reports.out_of_domain.measures.resampled import OWN, Draws
from figure_checks import problems, texts


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("facts", [toy_boards.FACTS, toy_boards.TWO])
def test_nothing_overlaps_or_is_cut_off(width, facts):
    made = [toy_boards.record(encoder=f"toy.encoder_{i}@policy", facts=facts, skill=i) for i in range(5)]
    assert not problems(reliability(made, width))
    assert not problems(reliability(made[0], width))


def test_the_curve_and_the_error_are_those_of_the_transfer_report():
    record = toy_boards.record()
    found = calibration(Draws(), record, "test", None, OWN)
    figure = reliability(record)
    drawn = [line.get_xydata() for line in figure.axes[0].get_lines()]
    curve = 100 * found.curve[["probability", "outcome"]].to_numpy()
    assert any(line.shape == curve.shape and np.allclose(line, curve) for line in drawn)
    assert any(f"ECE {100 * found.error.value:.1f} [" in text.get_text() for text in texts(figure))


def test_rows_without_probabilities_are_left_out_and_named():
    figure = reliability([toy_boards.record(), toy_boards.control()])
    assert "left out: control.majority" in figure.caption
    assert sum("ECE" in text.get_text() for text in texts(figure)) == 1
    with pytest.raises(BadInput, match="same probability"):
        reliability(toy_boards.control())
