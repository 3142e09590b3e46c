from pathlib import Path

from bench.base import registry

RESULTS = Path(__file__).parents[3] / "results"


def test_suites_name_registered_tasks_once():
    for members in (suite.tasks for suite in registry.suites().values()):
        assert len(set(members)) == len(members)
        assert [registry.task_card(member).id for member in members] == list(members)


def test_all_is_every_task():
    assert set(registry.suite("all").tasks) == set(registry.ids(registry.TASKS))


def test_core_is_what_results_are_published_on():
    assert set(registry.suite("core").tasks) == {path.name for path in (RESULTS / "records").iterdir()}


def test_opera_is_its_tasks_that_need_no_application():
    numbers = (1, 2, 5, 6, 7, 8, 9, 10, 11)
    assert registry.suite("opera").tasks == tuple(registry.task_card(f"opera.T{number}").id for number in numbers)
    assert {registry.task_card(id).access for id in registry.suite("opera").tasks} == {"open"}


def test_ood_holds_both_directions_every_device_and_opera_s_two_transfers():
    devices = {f"icbhi.cycles4@{name}" for name in registry.task_card("icbhi.cycles4").variants if "lodo-" in name}
    assert len(devices) == 4 and devices <= set(registry.suite("ood").tasks)
    assert {"transfer.icbhi-sprsound", "transfer.sprsound-icbhi"} <= set(registry.suite("ood").tasks)
    for source, target in ((6, 9), (7, 10)):
        pair = (registry.task_card(f"opera.T{number}").id for number in (source, target))
        assert "transfer." + "-to-".join(pair) in registry.suite("ood").tasks
    assert "transfer.covid19_cough.call_centre-to-covid19_cough.messaging_app" in registry.suite("ood").tasks
