import csv
import io
import re
from html import unescape

import pytest

from bench.publish.papers import escape


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a_b & 5% #1 {x}", r"a\_b \& 5\% \#1 \{x\}"),
        ("~ ^ \\ $", r"{\textasciitilde} {\textasciicircum} {\textbackslash} \$"),
        ("Müller", r"M\"uller"),
        ("a → b – c", r"a \ensuremath{\rightarrow} b {\textendash} c"),
        ("a|b", r"a\textbar{}b"),
        ("肺", r"\ensuremath{\langle}\texttt{U+80BA}\ensuremath{\rangle}"),
        ("two\nlines\t", "two lines "),
        ("\\input{/etc/passwd}", r"{\textbackslash}input\{/etc/passwd\}"),
    ],
)
def test_latex_prints_the_text_and_obeys_none_of_it(text, printed):
    assert escape.latex(text) == printed
    assert escape.latex(text).isascii()


def test_lines_may_break_between_the_parts_of_a_name():
    assert escape.breakable("random.ast.base@short").split(r"\allowbreak{}") == ["random.", "ast.", "base@", "short"]
    assert escape.breakable("mean_valid") == r"mean\_\allowbreak{}valid"


@pytest.mark.parametrize("text", ["*a*", "_a_", "`a`", "[a](b)", "<script>", "&amp;", "a\\", "$x$", "~~a~~", "a\nb"])
def test_markdown_shows_the_signs_themselves(text):
    markdown = pytest.importorskip("markdown")
    html = markdown.markdown(f"x {escape.markdown(text)} y")
    assert not any(tag in html for tag in ("<em>", "<strong>", "<code>", "<a ", "<script>"))
    assert unescape(re.sub("<.*?>", "", html)) == f"x {text.replace(chr(10), ' ')} y"


def test_names_stay_readable_in_markdown():
    assert escape.markdown("mean_valid, efficientat.mn04@short") == "mean_valid, efficientat.mn04@short"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_csv_begins_as_a_formula_does(text):
    out = io.StringIO()
    csv.writer(out).writerow([escape.cell(text)])
    (read,) = next(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert read == f"'{text}"
    assert escape.cell("a=1") == "a=1"
