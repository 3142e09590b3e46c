import base64

import numpy as np
import pytest

import toy_records
from bench.publish.page import pairs
from bench.publish.page.compact import bits_needed, packed, packed_size, packed_words, prefixed
from bench.scores import intervals, per_test
from bench.scores.printed import p_number


def unpacked(text, bits, n):
    every = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), bitorder="little")[: n * bits]
    return (every.reshape(n, bits) << np.arange(bits)).sum(axis=1)


@pytest.mark.parametrize("bits", [1, 2, 3, 7])
def test_packed_numbers_come_back(bits):
    values = np.random.default_rng(0).integers(0, 2**bits, 101)
    text = packed(values, bits)
    assert (unpacked(text, bits, 101) == values).all()
    assert len(text) == packed_size(101, bits)


def test_a_number_of_classes_needs_the_bits_of_its_last_index():
    assert [bits_needed(k - 1) for k in (1, 2, 3, 4, 5, 7, 8, 9)] == [1, 1, 2, 2, 3, 3, 3, 4]


def test_words_keep_their_sign_and_what_is_missing():
    words = np.frombuffer(base64.b64decode(packed_words(np.array([1.0, -2.0, np.nan]))), "<i2")
    assert list(words) == [1, -2, -32768]
    with pytest.raises(OverflowError):
        packed_words(np.array([40_000.0]))


def test_names_share_beginnings():
    assert prefixed(["ab1", "ab2", "b"]) == [0, "ab1", 2, "2", 0, "b"]


@pytest.fixture(scope="module", params=["multiclass", "regression", "multilabel"])
def task(request):
    facts = {
        "multiclass": {},
        "multilabel": {"kind": "multilabel", "main_metric": "auroc.bits", "metrics": ["auroc.bits"]},
        "regression": {"kind": "regression", "main_metric": "mae", "metrics": ["mae"], "classes": ["years"]},
    }[request.param]
    return toy_records.task_facts(**facts)


def stated(task, rows, test="corrected"):
    found = pairs.differences(rows, test)
    words = np.frombuffer(base64.b64decode(found["words"]), "<i2").astype(float) if "words" in found else found["list"]
    return np.asarray(words, float).reshape(-1, 3), found


def printed(difference, scale):
    return [
        float(f"{scale * difference.low:.0f}"),
        float(f"{scale * difference.high:.0f}"),
        round(1000 * p_number(difference.p)),
    ]


def test_differences_are_those_of_paired_difference_to_the_printed_digit(task):
    table = toy_records.clips(task, n=200, groups=15)
    rows = {9 - i: [toy_records.record("t", f"e.{i}", task, table, skill=i / 2)] for i in range(4)}
    words, found = stated(task, rows)
    assert found["rows"] == [9, 8, 7, 6]
    arguments = per_test.comparison_arguments(rows[9][0])
    expected = []
    for i, a in enumerate(rows.values()):
        for b in list(rows.values())[i + 1 :]:
            tables = [per_test.tested(each[0], "corrected") for each in (a, b)]
            expected.append(
                printed(intervals.paired_difference(*tables, task["main_metric"], **arguments), found["scale"])
            )
    assert words.tolist() == expected


def test_of_several_seeds_it_is_the_difference_of_the_means():
    task = toy_records.task_facts()
    table = toy_records.clips(task, n=200, groups=15)
    rows = {i: [toy_records.record("t", f"e.{i}", task, table, skill=i, seed=s) for s in range(3)] for i in range(2)}
    words, found = stated(task, rows)
    sides = [[per_test.tested(record, "corrected") for record in own] for own in rows.values()]
    arguments = per_test.comparison_arguments(rows[0][0])
    expected = intervals.mean_difference(*sides, task["main_metric"], **arguments)
    assert words.tolist() == [printed(expected, found["scale"])]


def test_one_patient_gives_no_interval():
    task = toy_records.task_facts(tests={"corrected": ["test"]})
    table = toy_records.clips(task, n=20, groups=1)
    words, _ = stated(task, {i: [toy_records.record("t", f"e.{i}", task, table)] for i in range(2)})
    assert words.tolist() == [[-32768] * 3]


def test_as_many_rows_as_fit():
    assert pairs.most_rows([10, 4]) == 10
    most = pairs.most_rows([100] * 40, budget=packed_size(40 * 50 * 49 // 2, 48))
    assert most == 50
    assert pairs.most_rows([]) == 1
