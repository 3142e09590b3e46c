import subprocess
import sys

import matplotlib
import pytest

from bench.base.errors import BadInput, UnknownId
from bench.drawing import canvas
from figure_checks import problems, texts


@canvas.drawn
def plain(text="x", width=1, height=1.0):
    figure = canvas.blank(width, height)
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1])
    axis.set_title(text)
    figure.caption = "Some → caption."
    return figure


@pytest.mark.parametrize("width, mm", [(1, 85), (2, 178)])
@pytest.mark.parametrize("format", canvas.FORMATS)
def test_a_figure_has_its_printed_width_and_the_same_bytes_every_time(width, mm, format):
    first, again = (canvas.file_bytes(plain(width=width), format) for _ in range(2))
    assert first == again
    assert plain(width=width).get_figwidth() * 25.4 == pytest.approx(mm, abs=0.3)


def test_the_bytes_of_another_process_are_the_same(tmp_path):
    code = "import sys; from test_canvas import plain; from bench.drawing import canvas\n"
    code += "sys.stdout.buffer.write(canvas.file_bytes(plain('Ünïcode label $5'), 'pdf'))"
    made = {}
    for seed in ("1", "2"):
        import os
        from pathlib import Path

        here = [str(Path(__file__).parent), *sys.path]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(here), "PYTHONHASHSEED": seed}
        made[seed] = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        ).stdout
    assert made["1"] == made["2"] and made["1"].startswith(b"%PDF")


def test_fonts_are_embedded_as_truetype_and_nothing_tells_the_time():
    content = canvas.file_bytes(plain(), "pdf")
    assert b"/FontFile2" in content and b"/Type3" not in content
    assert b"CreationDate" not in content and b"Matplotlib" not in content
    assert b"Matplotlib" not in canvas.file_bytes(plain(), "png")


def test_settings_of_the_user_change_nothing_and_stay_as_they_are():
    usual = canvas.file_bytes(plain(), "png")
    with matplotlib.rc_context({"font.size": 30, "axes.linewidth": 9, "pdf.fonttype": 3}):
        assert canvas.file_bytes(plain(), "png") == usual
        assert matplotlib.rcParams["font.size"] == 30


def test_no_figure_stays_open():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    canvas.file_bytes(plain(), "png")
    assert pyplot.get_fignums() == before


def test_names_are_no_formulas():
    figure = plain(r"cost $x_1$ \frac{a} $5 ^_{}")
    title = figure.axes[0].get_title(loc="left") or figure.axes[0].get_title()
    assert title == r"cost $x_1$ \frac{a} $5 ^_{}"
    assert not any(text.get_parse_math() for text in texts(figure))
    canvas.file_bytes(figure, "pdf")


def test_what_is_wrong_is_found():
    figure = plain()
    figure.text(0.99, 0.5, "cut off", fontsize=5)
    figure.text(0.5, 0.5, "on top")
    figure.text(0.5, 0.5, "of each other")
    found = "\n".join(problems(figure))
    assert "5.0 pt" in found and "cut off at" in found and "overlap" in found
    assert not problems(plain())


def test_files_that_would_be_the_same_stay_untouched(tmp_path):
    paths = canvas.write(plain(), tmp_path / "a.b", ("pdf", "png"))
    assert [path.name for path in paths] == ["a.b.pdf", "a.b.png"]
    before = [path.stat().st_mtime_ns for path in paths]
    canvas.write(plain(), tmp_path / "a.b", ("pdf", "png"))
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_widths_and_formats_that_do_not_exist_are_refused():
    with pytest.raises(BadInput, match="85 mm"):
        canvas.inches(3)
    with pytest.raises(UnknownId, match="pdf"):
        canvas.file_bytes(plain(), "pdff")
