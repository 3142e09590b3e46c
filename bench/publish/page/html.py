"""A page's bytes: its data as JSON that no text can break out of, with the scripts and styles that show it.

The page forbids itself every request (a content security policy that allows no address), and every script but its own,
which the policy names by digest.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench.reports.tables import DISCLAIMER

_HERE = Path(__file__).parent
_TABLES = ("vendor/tabulator.min.js",)
_CHARTS = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-embed.min.js")
_OWN = ("core", "tables", "paper", "charts", "record", "blocks", "overview", "task", "encoder", "pairs", "app")
_STYLES = ("vendor/tabulator.min.css", "assets/page.css")
_LICENCES = ("tabulator", "vega", "vega-lite", "vega-embed")


def json_for_script(value: Any) -> str:
    """JSON that may stand inside a script element: no ``<``, ``>`` or ``&`` and no line separators of JavaScript.

    Raises ``ValueError`` for numbers that JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def page_html(model: Mapping[str, Any], fallback: Sequence[Sequence[str]] = ()) -> str:
    """The page of a model.

    Parameters
    ----------
    model
        JSON-ready values as ``bench.publish.page.folder`` makes them, with ``title``.
    fallback
        Rows of plain text, the heading first, for readers without scripts.

    Returns
    -------
    str
        HTML; the same bytes for the same model.
    """
    scripts = [_asset(name) for name in (*_TABLES, *_CHARTS)] + [_own_script()]
    digests = " ".join(f"'sha256-{_digest(text)}'" for text in scripts)
    policy = (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data: blob:; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = html.escape(str(model["title"]))
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="generator" content="RespBench">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{title}</title>",
        *(f"<style>\n{_asset(name)}\n</style>" for name in _STYLES),
        "</head>",
        "<body>",
        f"<noscript>{_fallback(title, fallback)}</noscript>",
        '<div id="page"></div>',
        f'<script type="application/json" id="data">{json_for_script(model)}</script>',
        f'<script type="application/json" id="licences">{json_for_script(_licences())}</script>',
        *(f"<script>{text}</script>" for text in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _fallback(title: str, rows: Sequence[Sequence[str]]) -> str:
    """What stands there where no script runs, as in the preview of a mail."""
    lines = [
        "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)
        for tag, row in zip(["th", *["td"] * len(rows)], rows)
    ]
    table = "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>" if lines else ""
    return (
        f'<div class="plain"><h1>{title}</h1><p>{html.escape(DISCLAIMER)}</p>'
        f"<p>Open this file in a browser that runs scripts to sort, compare and open records.</p>{table}</div>"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


@cache
def _asset(name: str) -> str:
    """A file that the page carries, without the line by which a debugger would look for another file."""
    text = (_HERE / name).read_text(encoding="utf-8")
    return re.sub(r"(//|/\*)# sourceMappingURL=\S*( \*/)?", "", text).strip()


@cache
def _own_script() -> str:
    """The page's own scripts as one, of which nothing is visible outside."""
    body = "\n".join(_asset(f"assets/{name}.js") for name in _OWN)
    return f'"use strict";\n(function () {{\n{body}\n}})();'


def _licences() -> list[dict[str, str]]:
    """The libraries that a page carries, with their versions and licences."""
    versions = {}
    for line in _asset("vendor/VERSIONS").splitlines():
        if not line.startswith("#"):
            _, package, version, *_ = line.split()
            versions[package.removesuffix("-tables")] = f"{package} {version}"
    return [{"name": versions[name], "text": _asset(f"vendor/{name}.LICENSE")} for name in _LICENCES]
