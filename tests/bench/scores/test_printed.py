import pytest

from bench.scores.printed import p_number, p_phrase, p_text, size


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (99_950, "100 kB"), (999_499, "999 kB"),
     (999_500, "1.0 MB"), (1_234_567_890, "1.2 GB"), (5 * 10**15, "5000 TB")],
)  # fmt: skip
def test_sizes_have_two_or_three_digits(count, said):
    assert size(count) == said


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (None, "–"),
        (0.0, "< 0.001"),
        (1e-9, "< 0.001"),
        (0.001, "0.001"),
        (0.0432, "0.043"),
        (0.0994, "0.099"),
        (0.0996, "0.10"),
        (0.172, "0.17"),
        (1, "1.00"),
    ],
)
def test_a_p_value_is_never_zero(p, said):
    assert p_text(p) == said
    assert p_text(p_number(p)) == said


def test_a_p_value_in_a_sentence():
    assert [p_phrase(p) for p in (0.0, 0.0432, 0.172)] == ["p < 0.001", "p = 0.043", "p = 0.17"]
