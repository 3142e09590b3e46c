import numpy as np
import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.publish.figures.decisions.calibration import calibration, confidences
from bench.publish.figures.decisions.reliability import reliability
from figure_checks import problems, texts


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("facts", [toy_boards.FACTS, toy_boards.TWO])
def test_nothing_overlaps_or_is_cut_off(width, facts):
    made = [toy_boards.record(encoder=f"toy.encoder_{i}@policy", facts=facts, skill=i) for i in range(5)]
    assert not problems(reliability(made, width))
    assert not problems(reliability(made[0], width))


def test_probabilities_that_mean_what_they_say_have_a_small_error_and_bands_around_the_line():
    draw = np.random.default_rng(0)
    p = draw.uniform(size=20000)
    found = calibration(p, draw.uniform(size=len(p)) < p, np.arange(len(p)) // 20)
    assert found.ece < 0.03  # ten shares of 2000 clips: each within 0.06 with all but certainty
    assert (found.low < found.observed).all() and (found.observed < found.high).all()
    assert found.clips.tolist() == [2000] * 10
    sure = calibration(np.sqrt(p), draw.uniform(size=len(p)) < p, np.arange(len(p)) // 20)
    assert sure.ece == pytest.approx(np.mean(np.sqrt(p) - p), abs=0.03)


def test_tied_probabilities_make_fewer_bins_and_no_empty_one():
    p = np.repeat([0.2, 0.9], 50)
    found = calibration(p, np.tile([True, False], 50), np.arange(100) // 5)
    assert len(found.clips) == 2 and (found.clips == 50).all()
    assert found.ece == pytest.approx((0.3 + 0.4) / 2)


def test_a_bin_of_one_patient_has_no_interval():
    p = np.repeat([0.2, 0.9], 50)
    found = calibration(p, p > 0.5, np.repeat(["a", "b"], 50))
    assert np.isnan(found.low).all()


def test_rows_without_probabilities_are_left_out_and_named():
    figure = reliability([toy_boards.record(), toy_boards.control()])
    assert "left out: control.majority" in figure.caption
    assert sum("ECE" in text.get_text() for text in texts(figure)) == 1
    with pytest.raises(BadInput, match="same probability"):
        reliability(toy_boards.control())
    frame = toy_boards.record().predictions
    with pytest.raises(BadInput, match="no log probabilities"):
        confidences(frame.assign(s_0=frame["s_0"] + 1), 3)
