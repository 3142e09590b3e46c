import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.base.errors import BadInput
from bench.base.tables.reader import SEPARATORS, read_table

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
        (("1,000", "2"), "."),  # one, or a thousand
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
        ("path,label\nä,b".encode("latin-1"), "is no table in UTF-8"),
        (b"path\0,label\0", "holds zero bytes"),
        (b'path,label\na,b\n"c,d\n', r"line 3: unexpected end of data; close every quote"),
        (b'path,label\n"a" b,c\n', "line 2: .* close every quote"),
        (gzip.compress(b"path,label\n" * 99)[:-9], "cannot be read"),
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
