import pytest

from bench.drawing import labels


@pytest.mark.parametrize("text", ["whisper.base@short, mean_valid", "x" * 60, "a b", "", "transfer.icbhi-to-sprsound"])
def test_a_name_is_broken_to_fit_and_nothing_of_it_is_lost(text):
    broken = labels.broken(text, 0.5)
    assert all(labels.text_width(line) <= 0.5 for line in broken.split("\n"))
    assert broken.replace("\n", "").replace(" ", "") == text.replace(" ", "")


def test_a_name_is_broken_where_it_reads_best():
    assert labels.broken("one.two three_four", 0.6) == "one.two\nthree_four"
