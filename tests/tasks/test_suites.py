from bench import registry
from tasks._suites import SUITES


def test_suites_name_registered_tasks_once():
    for members in SUITES.values():
        assert len(set(members)) == len(members) and set(members) <= set(registry.ids(registry.TASKS))


def test_all_is_every_task():
    assert set(SUITES["all"]) == set(registry.ids(registry.TASKS))


def test_core_is_what_results_are_published_on():
    assert SUITES["core"] == (
        "icbhi.cycles4",
        "icbhi.cycles2",
        "sprsound.events2",
        "sprsound.events7",
        "sprsound.records3",
        "sprsound.records5",
        "transfer.icbhi-sprsound",
        "transfer.sprsound-icbhi",
    )


def test_opera_is_its_tasks_that_need_no_application():
    numbers = (1, 2, 5, 6, 7, 8, 9, 10, 11)
    assert SUITES["opera"] == tuple(registry.task_card(f"opera.T{number}").id for number in numbers)
    assert {registry.task_card(id).access for id in SUITES["opera"]} == {"open"}
