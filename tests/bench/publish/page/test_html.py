import json
import re

import pytest

from bench.publish.page.html import json_for_script, page_html

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 <img src=x onerror=alert(2)> & 'x\" {{x}}"


def model(**more):
    empty = {"board": None, "pairs": None, "sections": [], "tasks": [], "records": {}, "pool": [], "metrics": {}}
    return {"title": HOSTILE, "disclaimer": "", "made_by": "", **empty, **more}


def test_json_keeps_every_text_and_breaks_out_of_nothing():
    text = json_for_script({HOSTILE: [HOSTILE, 1.5, None]})
    assert json.loads(text) == {HOSTILE: [HOSTILE, 1.5, None]}
    assert not set("<>&\u2028\u2029") & set(text)
    with pytest.raises(ValueError):
        json_for_script(float("nan"))


def test_no_text_of_the_data_is_markup():
    page = page_html(model(), [["encoder", HOSTILE], [HOSTILE, "1"]])
    assert "<img src=x" not in page and "<script>alert" not in page
    assert page.count("<script") == 7  # data, licences, four libraries, the page's own


def test_a_page_asks_for_nothing():
    page = page_html(model(title="x"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src &#x27;none&#x27;; script-src &#x27;sha256-")
    assert "unsafe-eval" not in policy and "http" not in policy
    assert not re.search(r"<script[^>]* src=|@import|sourceMappingURL", page)
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(link|iframe|img|object|embed)\b", without_scripts)
    assert "url(" not in "".join(re.findall(r"<style>(.*?)</style>", page, flags=re.DOTALL))


def test_a_page_is_the_same_bytes_again():
    assert page_html(model()) == page_html(model())
