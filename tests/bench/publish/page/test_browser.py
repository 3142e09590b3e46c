"""The page in a real browser, built of records whose every text is hostile markup."""

import json
import shutil
import time
from pathlib import Path

import pytest

import toy_records
from bench.publish.blocks import Chart, Column, Score, Section, Sound, Table, Text
from bench.publish.page.folder import page_model
from bench.publish.page.html import page_html
from bench.runs.context import BoardNotes
from bench.scores import intervals, per_test
from bench.scores.printed import signed

pytestmark = pytest.mark.long
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
HOSTILE = "<b onclick=alert(1)>x</b></script><img src=x onerror=alert(1)>"
AXE = Path(__file__).parent / "axe" / "axe.min.js"
SERIOUS = ("serious", "critical")


def _records():
    multi = toy_records.task_facts((f"normal {HOSTILE}", "wheeze", "crackle"))
    multi["headline"] = "corrected"
    two = toy_records.task_facts(main_metric="auroc", tests={"test": ["test"]})
    tasks = {f"corpus.{HOSTILE}": multi, "other.task2": two}
    out = []
    for place, (id, task) in enumerate(tasks.items()):
        table = toy_records.clips(task, n=160, groups=20, seed=place, name=f"{HOSTILE}_")
        subset = {"state": "subset"} if place else {}
        about = {"marks": [f"{HOSTILE} seen in pretraining"], "citation": HOSTILE, "licence": HOSTILE}
        make = {"id": id, "task": task, "table": table, **subset}
        out += [toy_records.record(encoder="good.one", skill=2.0, data=about, **make)]
        out += [toy_records.record(encoder=f"bad.{HOSTILE}", skill=0.6, seed=s, **make) for s in (0, 1)]
        out += [toy_records.record(encoder="random.good.one", skill=0.1, **make)]
        out += [toy_records.record(encoder="good.one", skill=1.5, protocol="knn", **make)]
        out += [toy_records.record(encoder="good.one", skill=2.2, protocol="literature/opera", **make)]
        peeked = {"protocol": "literature/best-test-epoch", "kind": "finetune", "recipe": {"epochs": 3}}
        more = {"data": {"recipe": {"name": "ce", "source": "", "about": HOSTILE}}, "device": "cpu"}
        out += [toy_records.record(encoder="good.one", skill=2.5, **make, **peeked, **more)]
        control = {"protocol": "control", "kind": "control", "pooling": "none", "clip": "none", "dtype": "none"}
        out += [toy_records.record(encoder="control.majority", skill=0.0, **make, **control)]
    return out


def _section(record):
    columns = (
        Column("who", HOSTILE, help=HOSTILE),
        Column("score", "score", "score", "%", group="scores"),
        Column("change", "change", "difference", "%", group="scores"),
        Column("n", "n", "number"),
    )
    rows = [
        {
            "who": f"{HOSTILE} {i}",
            "score": Score(0.5 + i / 10, 0.4, 0.9, record, i == 2),
            "change": Score(-0.01, -0.2, 0.1),
            "n": i,
        }
        for i in range(7)
    ]
    points = [{"x": i, "y": HOSTILE} for i in range(3)]
    spec = {"data": {"values": points}, "mark": "bar", "encoding": {"x": {"field": "x"}, "y": {"field": "y"}}}
    sound = Sound(HOSTILE, b"RIFF", b"no picture", ((HOSTILE, HOSTILE),))
    inner = Section("inner", HOSTILE, (Text((HOSTILE,), "warning"), sound))
    return Section(
        "extra",
        f"Extra {HOSTILE}",
        (Text((HOSTILE,)), Table(columns, tuple(rows), HOSTILE), Chart(spec, HOSTILE, HOSTILE), inner),
    )


def _others():
    """Sections with the ids of every kind of report, of five parts each."""
    ids = ("ood", "sweep", "finetuning", "audits", "listening")
    parts = {id: [Section(f"{id}.{i}", f"Part {i}", (Text((HOSTILE,)),)) for i in range(5)] for id in ids}
    return [Section(id, id, tuple(own)) for id, own in parts.items()]


@pytest.fixture(scope="module")
def records():
    return _records()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install respbench[test]")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=120_000)
        yield started
        started.close()


@pytest.fixture(scope="module")
def page(browser, records, tmp_path_factory):
    """The page opened from a file; ``page.said`` gathers errors of the console, ``page.asked`` requests."""
    path = tmp_path_factory.mktemp("page") / f"index {HOSTILE.replace('/', '')}.html"
    notes = BoardNotes(
        title=f"Board {HOSTILE}", notes=[HOSTILE], absent={HOSTILE: HOSTILE}, commands=[f"respbench {HOSTILE}"]
    )
    path.write_text(page_html(page_model(records, notes, [_section(records[0].key), *_others()])), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme="light")
    opened.set_default_timeout(60_000)
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: message.type == "error" and opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(path.as_uri())
    opened.wait_for_selector(".tabulator-row .tabulator-cell")
    yield opened
    opened.close()


def until(page, expression, seconds=60):
    """Waits for an expression to hold; the page's policy forbids the browser to evaluate one again and again."""
    ends = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < ends, expression
        page.wait_for_timeout(20)


def shown(page, address):
    """Shows a view; waits until its tables stand."""
    page.evaluate("address => { location.hash = address; }", address)
    until(page, f"document.querySelector('main').dataset.view === {json.dumps(address.strip('#').split('?')[0])}")
    grids = "[...document.querySelectorAll('.grid')].filter(each => each.offsetParent)"
    until(page, f"{grids}.every(each => each.querySelector('.tabulator-table'))")


def texts(page, selector):
    return page.eval_on_selector_all(selector, "all => all.map(each => each.innerText)")


def values(page, field):
    return [float(t) for t in texts(page, f'.tabulator-row [tabulator-field="{field}"] .value') if t]


def test_rows_stand_class_by_class_and_controls_apart(page):
    shown(page, "#overview")
    titles = texts(page, ".tabulator-group .class")
    assert [t.split(" ")[0] for t in titles] == ["Frozen", "Protocols", "Epoch", "Control"]
    assert "subset" in page.inner_text(".tabulator-header")
    assert page.locator(".muted-row").count() == 1


def test_a_heading_sorts_by_mouse_and_by_keys(page):
    shown(page, "#overview")
    column = page.locator('.tabulator-col[tabulator-field="mean"]')
    column.click()
    assert column.get_attribute("aria-sort") == "descending"
    column.focus()
    page.keyboard.press("Enter")
    assert column.get_attribute("aria-sort") == "ascending"
    frozen = page.evaluate("document.querySelectorAll('.tabulator-row [tabulator-field=mean] .value').length")
    assert frozen >= 4


def test_words_filter_rows(page):
    shown(page, "#overview")
    page.fill("main input[type=search]", "knn good")
    until(page, "document.querySelectorAll('main .tabulator-row:not(.tabulator-group)').length === 1")
    until(page, "document.querySelector('main .count').innerText.startsWith('1 of')")
    page.fill("main input[type=search]", "")


def test_protocol_tests_and_score_are_chosen(page):
    shown(page, "#overview")
    page.get_by_label("Protocol").select_option("knn")
    until(page, "location.hash.includes('protocol=knn')")
    shown(page, "#overview?protocol=knn")
    rows = texts(page, "main .tabulator-row:not(.tabulator-group) .row-name")
    assert sum("knn" in row for row in rows) == 1 and not any("linear" in row for row in rows)
    page.get_by_label("Tests").focus()
    page.get_by_label("Tests").select_option("other")
    until(page, "location.hash.includes('test=other')")
    assert "official" in page.inner_text("main .tabulator-header")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"  # the focus stays where it was
    shown(page, "#overview?metric=AUROC")
    assert "AUROC" in page.inner_text("main .tabulator-header")


def test_a_number_opens_its_record(page, records):
    shown(page, "#overview")
    page.locator(f'[data-record="{records[0].key}"]').first.click()
    dialog = page.locator("dialog[open]")
    text = dialog.inner_text()
    for expected in (records[0].key, toy_records.DIGEST, "respbench run --protocol linear --seeds 0", HOSTILE, "C 0.1"):
        assert expected in text
    assert records[0].key in page.evaluate("location.hash")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_a_pair_has_the_difference_of_paired_difference_and_its_clips(page, records):
    a, b = records[0], records[4]
    rows = page.evaluate("JSON.parse(document.getElementById('data').textContent).board.rows")
    places = [
        next(i for i, r in enumerate(rows) if r["encoder"] == "good.one" and r["protocol"] == p)
        for p in ("knn", "linear")
    ]
    column = f"{a.spec['task']}/corrected"
    shown(
        page,
        "#pair?"
        + page.evaluate(
            "state => new URLSearchParams(state).toString()", {"a": str(places[1]), "b": str(places[0]), "test": column}
        ),
    )
    tables = [per_test.tested(record, "corrected") for record in (a, b)]
    expected = intervals.paired_difference(*tables, a.data["task"]["main_metric"], **per_test.comparison_arguments(a))
    row = page.locator('main .tabulator-row:has-text("corrected")').first.inner_text().replace("−", "-")
    for number in (
        signed(expected.value, expected.low, expected.high).replace("[", "").replace("]", "").replace(",", "").split()
    ):
        assert number in row
    merged = tables[0].merge(tables[1], on="clip_id")
    changed = merged[merged["y_pred_x"] != merged["y_pred_y"]]
    listed = texts(page, "#changed-clips .tabulator-row .first")
    assert sorted(listed) == sorted(changed["clip_id"])


def test_protocols_of_the_literature_are_not_compared_with_others(page):
    rows = page.evaluate("JSON.parse(document.getElementById('data').textContent).board.rows")
    foreign = next(i for i, r in enumerate(rows) if r["class"] == "literature")
    shown(page, f"#pair?a=0&b={foreign}")
    assert "not compared" in page.inner_text("main") and page.locator("main .tabulator").count() == 0


@pytest.mark.parametrize("view", ["task", "encoder", "section?id=extra", "about"])
def test_every_view_shows_its_title_and_the_disclaimer(page, view):
    shown(page, f"#{view}")
    assert page.inner_text("h1") and "Not a medical device" in page.inner_text("main") + page.inner_text("footer")


def test_the_first_parts_of_a_section_are_open(page):
    shown(page, "#section?id=ood")
    assert page.eval_on_selector_all("main details", "all => all.map(each => each.open)") == [True] * 3 + [False] * 2
    shown(page, "#section?id=ood&part=ood.4")
    assert page.locator("main details").nth(4).get_attribute("open") is not None


def test_differences_are_printed_with_their_sign(page):
    shown(page, "#section?id=extra")
    assert set(texts(page, '.tabulator-row [tabulator-field="c2"] .value')) == {"−1.0"}
    assert set(texts(page, '.tabulator-row [tabulator-field="c2"] .ends')) == {"[−20.0, +10.0]"}


def test_the_navigation_takes_two_lines_at_most(page):
    page.set_viewport_size({"width": 900, "height": 900})
    tops = page.eval_on_selector_all("nav a", "all => all.map(each => each.getBoundingClientRect().top)")
    assert len(tops) == 11 and len(set(tops)) <= 2
    page.set_viewport_size({"width": 1200, "height": 900})


def test_on_paper_every_column_of_every_table_has_room(page):
    page.set_viewport_size({"width": 1032, "height": 760})  # A4 across, less its margins, at 96 pixels an inch
    for view in ("overview", "task", "pair", "section?id=extra"):
        shown(page, f"#{view}")
        columns = page.locator("main .tabulator-col[tabulator-field]").count()
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("main .grid").evaluate_all("all => all.every(each => each.offsetParent === null)")
        widths = page.eval_on_selector_all(".paper table", "all => all.map(each => each.getBoundingClientRect().right)")
        assert widths and max(widths) <= 1032, view
        assert page.locator(".paper thead th").count() >= columns
        assert page.evaluate("document.documentElement.scrollWidth") <= 1032
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator(".paper").count() == 0
        page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1200, "height": 900})


def test_charts_are_drawn(page):
    shown(page, "#section?id=extra")
    page.wait_for_selector("main .plot svg[role=img]")
    assert page.get_attribute("main .plot svg", "aria-label") == HOSTILE
    shown(page, "#task")
    page.wait_for_selector("main .plot svg[role=img]")


def test_names_beside_a_chart_leave_it_most_of_a_narrow_page(page):
    shown(page, "#section?id=extra")
    names = "[...document.querySelectorAll('main .plot .role-axis-label text')]"
    widest = f"Math.max(0, ...{names}.map(each => each.getBoundingClientRect().width))"
    until(page, f"{widest} > 160")
    page.set_viewport_size({"width": 400, "height": 900})
    until(page, f"{names}.length && {widest} <= 160")  # drawn anew
    page.set_viewport_size({"width": 1200, "height": 900})
    until(page, f"{widest} > 160")


def test_the_theme_follows_the_system_and_the_switch(page):
    shown(page, "#overview")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(colour) == "rgb(21, 24, 27)"
    page.get_by_label("Theme").select_option("light")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="light")
    page.get_by_label("Theme").select_option("auto")


VIEWS = ("overview", "task", "encoder", "pair", "section?id=extra", "about")


@pytest.mark.parametrize("width", [400, 900, 1600])
def test_no_view_scrolls_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    for view in VIEWS:
        shown(page, f"#{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
    page.set_viewport_size({"width": 1200, "height": 900})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, theme):
    views = VIEWS if theme == "light" else ("overview", "pair")  # colours alone differ
    page.emulate_media(reduced_motion="reduce")  # colours that are still changing are not those that stay
    page.get_by_label("Theme").select_option(theme)
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    for view in views:
        shown(page, f"#{view}")
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert result["testEngine"]["name"] == "axe-core"
        found += [(view, v["id"], v["nodes"][0]["html"][:200]) for v in result["violations"] if v["impact"] in SERIOUS]
    shown(page, "#overview")
    page.locator("[data-record]").first.click()
    result = page.evaluate("axe.run(document.querySelector('dialog'), {resultTypes: ['violations']})")
    found += [("record", v["id"], v["nodes"][0]["html"][:200]) for v in result["violations"] if v["impact"] in SERIOUS]
    page.keyboard.press("Escape")
    page.get_by_label("Theme").select_option("auto")
    assert not found


def test_nothing_was_asked_for_and_nothing_failed(page):
    """Last: what all views above did."""
    asked = [url for url in page.asked if not url.startswith("data:")]
    assert len(asked) == 1 and asked[0].startswith("file:")
    assert page.said == []
    assert page.locator("b[onclick], img:not([src^='data:'])").count() == 0
