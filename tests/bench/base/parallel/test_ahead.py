import threading
import time

import pytest
import torch

from bench.base.parallel.ahead import batches_ahead, made_ahead


def test_items_come_in_order_with_what_was_made_of_them():
    def make(i):
        time.sleep(0.02 * (i % 3 == 0))
        return i * i

    for threads, most in ((1, 0), (1, 1), (1, 3), (3, 5), (2, 50)):
        assert list(made_ahead(make, range(9), threads, most)) == [(i, i * i) for i in range(9)]


def test_without_any_ahead_nothing_is_made_before_its_turn_and_by_no_other_thread():
    made = []
    items = made_ahead(lambda i: made.append(threading.current_thread()), range(3), 1, 0)
    assert made == []
    next(items)
    assert made == [threading.current_thread()]


def test_one_thread_makes_item_after_item_and_no_more_than_asked_for():
    made = []
    items = made_ahead(made.append, range(20), 1, 2)
    assert next(items)[0] == 0
    for _ in range(100):
        if len(made) == 3:
            break
        time.sleep(0.02)
    time.sleep(0.1)
    assert made == [0, 1, 2]  # the first one, and two ahead
    assert [item for item, _ in items] == list(range(1, 20)) and made == list(range(20))


def test_an_error_comes_at_its_turn_and_the_rest_is_given_up():
    made = []

    def make(i):
        made.append(i)
        if i == 2:
            raise ValueError("no such item")
        return i

    seen = []
    with pytest.raises(ValueError, match="no such item"):
        seen += [item for item, _ in made_ahead(lambda i: seen.append(i) or make(i), range(1000), 1, 3)]
    assert len(made) < 10


def test_who_stops_leaves_no_thread():
    before = threading.active_count()
    items = made_ahead(lambda i: i, range(1000), 2, 4)
    next(items)
    items.close()
    assert threading.active_count() == before


def test_waiting_is_measured():
    waited = []
    list(made_ahead(lambda i: time.sleep(0.1), range(3), 1, 2, waited))
    assert len(waited) == 3 and sum(waited) >= 0.25


def test_batches_are_made_ahead_for_accelerators_alone():
    assert batches_ahead(torch.device("cpu")) == 0
    assert batches_ahead(torch.device("cuda:1")) > 0
