import importlib

from bench.base import registry
from bench.data.manifest import load_task
from tasks import opera
from tasks._shared import table

NOT_OPEN = {3, 4, *range(12, 20)}


def families():
    """(number, canonical id, its family's cards by id) of every task whose family is at hand."""
    for alias, id in opera.ALIASES.items():
        module = importlib.import_module(f"tasks.{id.partition('.')[0]}")
        yield int(alias.removeprefix("opera.T")), id, {card.id: card for card in module.CARDS}


def test_every_number_has_a_task():
    assert list(opera.ALIASES) == [f"opera.T{number}" for number in range(1, 20)]
    assert len(set(opera.ALIASES.values())) == 19
    assert all(id in cards for _, id, cards in families())


def test_aliases_and_their_variants_resolve():
    for alias, id in opera.ALIASES.items():
        assert registry.task_card(alias).id == id
        assert registry.task_card(f"{alias}@{table.LITERATURE}").id == f"{id}@{table.LITERATURE}"


def test_cards_say_whether_the_data_is_open():
    for number, id, cards in families():
        card = cards[id]
        assert (card.access != "open") == (number in NOT_OPEN), id
        assert (card.kind == "regression") == (number > 12) == card.leave_one_out
        assert table.LITERATURE in card.variants


def test_an_alias_loads_its_task(tmp_path):
    assert load_task("opera.T10", tmp_path).card.id == "kauh.obstructive"
