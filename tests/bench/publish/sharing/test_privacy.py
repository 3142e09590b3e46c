import pytest

from bench.publish.sharing.privacy import cleaned, cleaned_all, paths_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--out /home/ann/runs/x --json", "--out …/x --json"),
        ("--root=/data/icbhi", "--root=…/icbhi"),
        ("mn04=/mnt/d/w.pt", "mn04=…/w.pt"),
        ("~/data/x", "…/x"),
        ("~ann/y", "…/y"),
        ("'C:\\Users\\Ann\\w.pt'", "'…/w.pt'"),
        ("D:/x/y", "…/y"),
        ("\\\\server\\share\\x", "…/x"),
        ("file:///x/y", "…/y"),
        ("/home/ann", "…"),
        ("/Users/ann/", "…"),
        ("csv./home/ann/x.csv", "csv.…/x.csv"),
        ("csv.%2Fhome%2Fann%2Fx.csv", "csv.…"),
    ],
)
def test_an_absolute_path_is_found_and_cut_to_its_last_part(text, shown):
    assert paths_in(text) and cleaned(text) == shown
    assert cleaned(shown) == shown


@pytest.mark.parametrize(
    "text", ["runs/mine", "./a/b/c ../x/y", "3/4 of km/h", "https://example.org/a/b", "icbhi.disease2@literature/opera"]
)
def test_what_is_no_absolute_path_stays(text):
    assert not paths_in(text) and cleaned(text) == text


def test_names_are_removed_as_whole_words():
    assert cleaned("ann ran it on ann-box, Anna not", ("ann", "ann-box")) == "… ran it on …, Anna not"


def test_where_something_was_removed_is_told():
    value = {"a": {"b": "/x/y/z"}, "c": ["ok", "/x/y"], "d": 1}
    clean, where = cleaned_all(value, cleaned)
    assert clean == {"a": {"b": "…/z"}, "c": ["ok", "…/y"], "d": 1} and where == ["a.b", "c"]
