import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.base.tables import spellings

SAME = [
    ("007", "7", "7.0", "07.", " 7 "),
    ("P1", "p1", "P 01", "p\u00a01", "Ｐ１", "p\u200b1"),
    ("Crépitant", unicodedata.normalize("NFD", "crépitant")),
    ("ward-3", "WARD\u201103", "ward–3", "ward\u00ad-3"),
    ("Straße 4", "STRASSE 4"),
    ("0", "00", "0.0"),
]
DIFFERENT = [
    ("1", "-1", "+1", "1.5", "10", "1.01", "1.1"),
    ("12", "1 2"),
    ("P1", "P-1", "P1a", "P10", "PP1"),
    ("e", "é"),
]


@pytest.mark.parametrize("names", SAME)
def test_spellings_of_one_id_have_one_key(names):
    assert len({spellings.key(name) for name in names}) == 1
    assert spellings.alike([*names, "another"]) == [tuple(sorted(set(names)))]
    assert set(spellings.unified(names).values()) == {min(names)}


def test_spellings_on_two_sides_are_paired():
    assert spellings.between(["007", "07", "P1", "a"], ["7", "a", "p 1", "b"]) == [("007", "7"), ("P1", "p 1")]


@pytest.mark.parametrize("names", DIFFERENT)
def test_other_ids_stay_apart(names):
    assert spellings.alike(names) == [] and spellings.unified(names) == dict(zip(names, names))


@given(st.text(max_size=12))
def test_a_key_is_its_own_key_and_ignores_case_and_form(name):
    key = spellings.key(name)
    assert spellings.key(f" {unicodedata.normalize('NFD', name)}\n") == key
    assert spellings.key(name.casefold()) == key


@pytest.mark.parametrize(
    "names",
    [
        ("Wheeze", "wheeze", "WHEEZE "),
        ("fine crackle", "Fine-Crackle", "fine_crackle", "finecrackle"),
        ("COVID-19", "COVID\u201119", "covid 19"),
        ("Wheeze+Crackle", "crackle & wheeze"),
        ("1", "01", "1.0"),
    ],
)
def test_spellings_of_one_class_are_alike(names):
    assert spellings.alike(names, spellings.label_key) == [tuple(sorted(names))]


def test_the_sign_of_a_number_is_no_hyphen():
    assert spellings.alike(["1", "-1", "+1", "1-2", "12"], spellings.label_key) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("wheeze", "wheze"),
        ("Wheezes", "wheeze"),
        ("wheaze", "WHEEZE"),
        ("fine crackle", "fine cracle"),
        ("ronchi", "rnochi"),
    ],
)
def test_one_letter_of_a_longer_word_is_a_slip(one, other):
    assert spellings.slips([one, other]) == [tuple(sorted((one, other)))]


@pytest.mark.parametrize(
    "names",
    [
        ("typical", "atypical"),
        ("grade 1", "grade 2"),
        ("ward_a", "ward_b"),
        ("stage II", "stage III"),
        ("left", "lift"),
        ("covid18", "covid19"),
        ("normal", "abnormal"),
        ("wheeze", "crackle"),
        ("stridor", "strodir"),
    ],
)
def test_names_that_differ_by_meaning_are_no_slips(names):
    assert spellings.slips(names) == []


def test_pairs_are_shown_so_that_they_can_be_told_apart():
    assert spellings.shown([("007", "7"), ("P1", "p1")]) == "'007' and '7', 'P1' and 'p1'"
    text = spellings.shown([("COVID-19", "COVID\u201119"), ("é", "e\u0301")])
    assert text == r"'COVID-19' and 'COVID\u201119', 'é' and 'e\u0301'"
    assert spellings.shown([("a", "A")] * 7).endswith("and 2 more")
