import dataclasses
import re
import subprocess
import sys

import pytest

from bench.base import registry
from bench.base.errors import BadInput, UnknownId


def test_every_card_is_found_by_its_own_id_and_lives_in_the_family_it_is_named_after():
    for card in registry.cards(registry.ENCODERS):
        assert registry.encoder_card(card.id) == card
    for card in registry.cards(registry.TASKS):
        assert registry.task_card(card.id) == card
    ids = registry.ids(registry.ENCODERS) + registry.ids(registry.TASKS)
    assert len(ids) == len(set(ids))


def test_a_corpus_has_one_spelling_on_all_cards():
    """What an encoder was trained on is held against a task's corpora by name."""
    spelled = {}
    for package in (registry.ENCODERS, registry.TASKS):
        for card in registry.cards(package):
            for corpus in card.trained_on if package == registry.ENCODERS else card.corpora:
                spelled.setdefault(re.sub(r"[^a-z0-9]", "", corpus.casefold()), set()).add(corpus)
    assert not [names for names in spelled.values() if len(names) > 1]


@pytest.mark.parametrize("wrong", ["efficientat.mn40", "eficientat.mn04", "nothing", "", "random.fbank.stats"])
def test_a_wrong_encoder_id_is_refused(wrong):
    with pytest.raises(UnknownId):
        registry.encoder_card(wrong)


def test_a_near_miss_gets_a_suggestion():
    with pytest.raises(UnknownId, match=r"did you mean 'icbhi\.cycles4'"):
        registry.task_card("icbhi.cycle4")


def test_the_policy_is_part_of_the_id_unless_it_is_the_default():
    assert registry.encoder_card("whisper.base@short").policy == "short"
    assert registry.encoder_card("whisper.base@upstream").id == "whisper.base"
    with pytest.raises(UnknownId, match="policy"):
        registry.encoder_card("whisper.base@shorter")


def test_listing_imports_neither_torch_nor_pandas():
    code = (
        "import sys; from bench.cli.main import main; main(['ls']); "
        "print([m for m in ('torch', 'pandas', 'sklearn', 'transformers') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]")


@pytest.mark.parametrize("listed", [registry.cards, registry.ids, registry.open_ended])
def test_a_family_that_cannot_be_imported_is_named_and_no_list_lacks_it_silently(listed, monkeypatch):
    monkeypatch.setattr(registry, "families", lambda package: {"toy": "no_such_package.toy"})
    with pytest.raises(
        BadInput, match=r"encoder family no_such_package\.toy: cannot be imported \(ModuleNotFoundError"
    ):
        listed(registry.ENCODERS)


def test_a_policy_has_a_parity_of_its_own(monkeypatch):
    from model_zoo import whisper

    card = dataclasses.replace(whisper.CARDS[0], policies=("upstream", "a", "b"), policy_parity={"a": "golden"})
    monkeypatch.setattr(whisper, "CARDS", (card,))
    assert registry.encoder_card("whisper.base").parity == card.parity
    assert registry.encoder_card("whisper.base@a").parity == "golden"
    assert registry.encoder_card("whisper.base@b").parity == "self-consistent"
