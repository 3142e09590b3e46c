import numpy as np
import pytest

import toy_boards
from bench.base.errors import BadInput, UnknownId
from bench.probe.protocols import BEST_TEST
from bench.publish.figures.across.ranks import compared, ranks
from figure_checks import problems, texts

LONG = ("toy.bands", "toy.waves", "toy.an_encoder_with_a_long_name@and_a_policy", "toy.four", "toy.five")


@pytest.fixture(scope="module")
def board():
    return toy_boards.board([f"toy.task{i}" for i in range(6)], LONG, clips=40)


@pytest.mark.long
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("by", ["nemenyi", "wilcoxon"])
def test_every_row_stands_once_with_its_mean_rank_and_nothing_overlaps(board, width, by):
    figure = ranks(board, width, by=by)
    assert not problems(figure)
    found, lost = compared(board)
    assert not lost and len(found.rows) == 10
    shown = [text.get_text().replace("\n", " ") for text in texts(figure)]
    for row, mean in zip(found.rows, found.mean_ranks):
        last = f"{row.pooling} {mean:.2f}"
        assert sum(text.replace(" ", "").startswith(row.encoder) and text.endswith(last) for text in shown) == 1


def test_mean_ranks_are_those_of_the_values_and_the_caption_warns_of_few_tasks(board):
    found, _ = compared(board)
    own = [r for r in board if (r.spec["encoder"], r.spec["pooling"]) == ("toy.five", "freq")]
    rank = [1 + sum(_value(other) > _value(r) for other in board if other.spec["task"] == r.spec["task"]) for r in own]
    at = next(i for i, row in enumerate(found.rows) if (row.encoder, row.pooling) == ("toy.five", "freq"))
    assert found.mean_ranks[at] == pytest.approx(np.mean(rank), abs=0.5)  # ties share their ranks
    caption = ranks(board).caption
    assert "6 tests are few" in caption and "tasks are the sample" in caption


def _value(record):
    return record.scores["test"]["icbhi.Score"]["value"]


def test_rows_that_lack_a_task_are_left_out_and_named(board):
    figure = ranks(board[1:])  # without toy.bands, mean on the first task
    assert "Left out, for a task is missing: toy.bands, mean" in figure.caption


def test_too_little_to_rank_is_refused(board):
    with pytest.raises(BadInput, match="two rows and two tasks"):
        ranks([r for r in board if r.spec["task"] == "toy.task0"])
    peeking = {"protocol": BEST_TEST, "kind": "finetune", "recipe": {}, "device": "cpu"}
    with pytest.raises(BadInput, match="chose their epoch on the test"):
        ranks([toy_boards.record(f"toy.task{i}", encoder, **peeking) for i in (0, 1) for encoder in LONG[:2]])
    with pytest.raises(UnknownId, match="nemenyi"):
        ranks(board, by="nemeny")
