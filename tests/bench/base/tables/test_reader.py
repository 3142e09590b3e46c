import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.base.errors import BadInput
from bench.base.tables.reader import SEPARATORS, is_one_line, read_table

NAMES = ("path", "label", "start")
ROWS = (("a b.wav", "None", "0.25"), ("c,d;e.wav", 'say "x"', "1e-3"), ("é\n.wav", "NA", ""))


def read(folder, content, **how):
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(**how))
    return read_table(path, NAMES, lambda name: name == "start")


def written(separator=",", end="\n", rows=ROWS, names=NAMES):
    return end.join(separator.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in (names, *rows))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_reads_alike_however_it_is_saved(tmp_path, separator, end, coding):
    table = read(tmp_path, written(separator, end), encoding=coding)
    assert table.names == NAMES and tuple(cells for _, cells in table.rows) == ROWS


@pytest.mark.parametrize("before", ["\n", "sep=;\r\n", "# made in 2024, by hand\n\n", "#\nsep=;\n", '"sep=;"\n'])
def test_what_stands_before_the_names_is_passed_over_and_lines_keep_their_numbers(tmp_path, before):
    table = read(tmp_path, before + "path;label;start\n\na;None;0,5\n")
    first = before.count("\n") + 3
    assert table.names == NAMES and table.rows == ((first, ("a", "None", "0,5")),) and table.number("0,5") == 0.5


def test_the_separator_is_the_one_that_gives_the_columns(tmp_path):
    assert read(tmp_path, "path;label;start;a, b, c, d, e\nx;y;1;z").names == (*NAMES, "a, b, c, d, e")
    assert read(tmp_path, "path,label,start,a;b;c;d;e\nx,y,1,z").names == (*NAMES, "a;b;c;d;e")
    assert read(tmp_path, "'path';'label';'start'\n'x;y';'z';'1'").rows[0][1] == ("x;y", "z", "1")
    assert read(tmp_path, gzip.compress(b"path,Label , START\nx,y,1")).names == NAMES


def test_columns_without_name_and_content_are_left_out_and_others_kept(tmp_path):
    assert read(tmp_path, "path,label,start,,\na,b,1,,\n,,,,\nc,d,2\n").rows == (
        (2, ("a", "b", "1")),
        (4, ("c", "d", "2")),
    )
    assert read(tmp_path, ",path,label,start\n0,a,b,1\n").names == ("", *NAMES)
    assert read(tmp_path, "path,label,start\na,b,1,\nc,d,0,5\n").rows == (
        (2, ("a", "b", "1", "")),  # perhaps a separator within a field: no cell may move
        (3, ("c", "d", "0", "5")),
    )


@pytest.mark.parametrize(
    ("cells", "decimal"),
    [
        (("0,25", "1"), ","),
        (("0,250", "1,000"), ","),
        (("1,5e-1", ""), ","),
        ((",5", "-1,5"), ","),
        (("1,000", "2"), ","),  # of cells between semicolons
        (("1,000", "2.5"), "."),
        (("1,5", "0.5"), "."),
        (("nan", "0,5"), ","),
        (("1,000,000", "0.5"), "."),
        (("2", "3"), "."),
    ],
)
def test_the_decimal_mark_is_found_once_for_the_whole_table(tmp_path, cells, decimal):
    rows = [("x", "1,5 or 0.5", cell) for cell in cells]
    assert read(tmp_path, written(";", rows=rows)).decimal == decimal


def test_numbers_are_finite_and_have_the_table_s_mark(tmp_path):
    comma, point = (read(tmp_path, f"path;label;start\na;b;{cell}") for cell in ("0,5", "0.5"))
    assert (comma.number("1,5"), comma.number("2"), comma.number("1.5"), comma.number("1.000,5")) == (1.5, 2, 1.5, None)
    assert (point.number("1,5"), point.number("2.5e-1"), point.number(" .5 "), point.number("-3.")) == (
        None,
        0.25,
        0.5,
        -3,
    )
    for text in ("", "nan", "inf", "1e999", "0x1", "1_0", "00:01", "١"):
        assert point.number(text) is comma.number(text) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04 and so on", "is a workbook or a zip archive, no text table; save it as CSV in UTF-8"),
        ("path,label\nä,b".encode("latin-1"), "line 2 is not in UTF-8"),
        (b"path\0,label\0", "line 1 holds a zero byte"),
        (b'path,label\na,b\n"c,d\n', r"line that begins in line 3 .*unexpected end of data.*; close every quote"),
        (b'path,label\n"a" b,c\n', "line that begins in line 2 .* close every quote"),
        (gzip.compress(b"path,label\n" * 99, mtime=0)[:-9], "cannot be read"),
    ],
)
def test_what_is_no_table_is_told_with_a_remedy(tmp_path, content, problem):
    with pytest.raises(BadInput, match=problem):
        read(tmp_path, content)
    with pytest.raises(BadInput, match=r"absent\.csv: cannot be read"):
        read_table(tmp_path / "absent.csv", NAMES, bool)


def test_an_empty_file_has_no_columns(tmp_path):
    assert read(tmp_path, "").names == read(tmp_path, "\n\n").names == ()


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)


@given(
    st.lists(st.tuples(CELLS.filter(str.strip), CELLS, CELLS), min_size=1, max_size=4),
    st.sampled_from(SEPARATORS),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_quoted_cells_come_back_as_they_are(tmp_path_factory, rows, separator, end):
    table = read(tmp_path_factory.mktemp("table"), written(separator, end, rows))
    assert [cells for _, cells in table.rows] == rows


STATED = ["sep=;", '"sep=;"', "SEP=;", "sep=;;;", "sep=;,,", '"sep=;",,', "sep=,;;", "sep=|", "sep=:", r"sep=\t"]


@pytest.mark.parametrize("stated", STATED)
@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_line_that_states_the_separator_may_be_filled_up_or_left_from_before(tmp_path, stated, separator):
    table = read(tmp_path, f"{stated}\r\n" + written(separator, "\r\n"))
    assert table.names == NAMES and tuple(cells for _, cells in table.rows) == ROWS


def test_a_stated_separator_of_ones_own_is_taken(tmp_path):
    assert read(tmp_path, "sep=:\npath:label:start\na:b,c:1\n").rows == ((3, ("a", "b,c", "1")),)


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_thousand_or_three_decimals_is_told_by_semicolons_alone(tmp_path, separator):
    table = read(tmp_path, written(separator, rows=(("a", "b", "1,000"), ("c", "d", "12,500"))))
    if separator == ";":
        assert (table.number("1,000"), table.number("12,500"), table.doubt("1,000")) == (1.0, 12.5, "")
    else:
        assert table.number("1,000") is None and "may be a thousand or a number with three" in table.doubt(" 1,000 ")
    assert table.doubt("x") == table.doubt("1,5") == ""
    mixed = read(tmp_path, written(separator, rows=(("a", "b", "1,000"), ("c", "d", "0.5"))))
    assert mixed.number("1,000") is None and mixed.number("0.5") == 0.5


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_utf_16_needs_no_mark(tmp_path, coding):
    assert read(tmp_path, written(), encoding=coding).names == NAMES


def test_ends_of_lines_may_be_mixed_and_lines_are_counted_where_they_begin(tmp_path):
    text = 'path,label,start\r\na,b,1\nc,"d\ne",2\r\rf,g,3\n'
    assert read(tmp_path, text).rows == ((2, ("a", "b", "1")), (3, ("c", "d\ne", "2")), (6, ("f", "g", "3")))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path,label,start\nä,b,1\né,b,1\n".encode("latin-1"), "line 2 is not in UTF-8"),
        (b"path,label,start\na,b,1\nc,d\0,1\n", "line 3 holds a zero byte"),
        (b'path,label,start\na,b,1\nc,"d,1\ne,f,1\n', "line that begins in line 3 cannot be read"),
        (b'# by hand\npath,label,start\na,"b" c,1\n', "line that begins in line 3 cannot be read"),
    ],
)
def test_the_line_of_a_fault_is_named(tmp_path, content, told):
    with pytest.raises(BadInput, match=f"table.csv: .*{told}"):
        read(tmp_path, content)


@pytest.mark.parametrize("sign", ["\n", "\r", "\t", "\x1b", "\x85", "\u2028", "\u2029", "\x7f"])
def test_what_is_not_shown_in_one_line_is_known(sign):
    assert not is_one_line(f"a{sign}b") and is_one_line("a b é 正常 – 😀")
