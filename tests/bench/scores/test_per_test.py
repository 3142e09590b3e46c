import pandas as pd

from bench.base import registry
from bench.scores import per_test
from bench.scores.schema import Record


def test_the_headline_is_the_card_s_first_test_whatever_its_name():
    card = registry.task_card("transfer.coughvid.sex-to-coswara.sex")
    assert per_test.task_facts(card)["headline"] == per_test.headline(per_test.task_facts(card)) == "test"


def test_a_mean_over_seeds_of_perfect_answers_is_1_without_doubt():
    facts = per_test.task_facts(registry.task_card("icbhi.cycles2"))
    truth = [0, 1, 1, 0] * 5
    answers = pd.DataFrame({"clip_id": [f"c{i:02d}" for i in range(20)], "y_true": truth, "y_pred": truth})
    answers = answers.assign(split="test", group=[f"p{i // 2}" for i in range(20)], domain="d", duration_s=1.0)
    records = [Record("", {"seed": seed}, {}, {}, {}, {"task": facts}, answers) for seed in (0, 1)]
    score = per_test.mean_over_seeds(records, "corrected", "icbhi.Score")
    assert score.value == score.low == score.high == 1 and score.groups == 10
