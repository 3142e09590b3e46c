import pytest

import toy_boards
from bench.base.errors import BadInput
from bench.publish.figures.decisions.confusion import confusion
from bench.scores import metrics
from figure_checks import problems, texts

SEVEN = ["Normal", "Rhonchi", "Wheeze", "Stridor", "Coarse Crackle", "Fine Crackle", "Wheeze+Crackle"]


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("classes", [["normal", "abnormal"], SEVEN, ["$a$", "pneumonoultramicroscopic", "<b>"]])
def test_nothing_overlaps_or_is_cut_off(width, classes):
    facts = {**toy_boards.FACTS, "classes": classes, "adventitious": list(range(1, len(classes)))}
    made = [toy_boards.record(encoder=f"toy.encoder_{i}@policy", facts=facts, clips=2000) for i in range(3)]
    assert not problems(confusion(made, width))
    assert not problems(confusion(made[0], width))


def test_counts_shares_and_totals_are_those_of_the_predictions():
    record = toy_boards.record()
    y, p = (record.predictions[name].to_numpy() for name in ("y_true", "y_pred"))
    counts = metrics.confusion(y, p, 3)
    shown = [text.get_text() for text in texts(confusion(record))]
    for i in range(3):
        assert any(f"n = {counts[i].sum():.0f}" in text for text in shown)
        for j in range(3):
            share = 100 * counts[i, j] / counts[i].sum()
            assert (f"{counts[i, j]:.0f}\n{share:.0f} %" if counts[i, j] else "0") in shown


def test_a_class_without_clips_has_blank_cells():
    record = toy_boards.record()
    frame = record.predictions[record.predictions["y_true"] < 2].reset_index(drop=True)
    shown = [text.get_text() for text in texts(confusion(toy_boards.record(predictions=frame)))]
    assert any("n = 0" in text for text in shown) and not any("nan" in text for text in shown)


def test_what_has_no_confusion_matrix_is_refused():
    with pytest.raises(BadInput, match="not one class"):
        confusion(toy_boards.record(facts={**toy_boards.FACTS, "kind": "regression", "metrics": [], "classes": ["x"]}))
    with pytest.raises(BadInput, match="one task, not 2"):
        confusion(toy_boards.board())
    with pytest.raises(BadInput, match="take one of: test"):
        confusion(toy_boards.record(), test="other")
