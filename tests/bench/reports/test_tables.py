from bench.reports.tables import markdown
from bench.scores.printed import BLANK, amount, signed


def test_markdown_is_aligned_and_escapes_bars():
    text = markdown(["name", "value"], [["a|b", 1], ["long name", 22]], right=[1])
    assert text.splitlines() == [
        "| name      | value |",
        "|-----------|------:|",
        "| a\\|b      |     1 |",
        "| long name |    22 |",
    ]


def test_scores_print_in_percent_with_their_interval_and_blank_where_missing():
    assert amount({"value": 0.643, "low": 0.601, "high": 0.682}) == "64.3 [60.1, 68.2]"
    assert amount({"value": 0.643, "low": None, "high": None}) == "64.3 [no interval]"
    assert amount({"value": 0.643}, interval=False) == "64.3"
    assert amount({"value": None}) == amount(None) == BLANK
    assert signed(0.041, 0.012, 0.07) == "+4.1 [+1.2, +7.0]"
    assert signed(float("nan"), 0, 0) == BLANK


def test_what_would_break_a_table_is_spelt_out():
    text = markdown(["a\nb", "c"], [["x\ty|z", "\u2028\x1b[31m"]])
    assert len(text.splitlines()) == 3 and r"a\nb" in text and r"x\ty\|z" in text and r"\u2028\x1b[31m" in text
