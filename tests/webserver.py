"""A web server on this machine that can do what real ones do wrong."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Page:
    """One address: its content and how it is served. ``breaks`` holds, per request, after how many bytes the
    connection breaks off (None: never); requests beyond are served whole."""

    content: bytes
    ranges: bool = True
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    breaks: list[int | None] = field(default_factory=list)
    status: int = 200
    heeds_if_range: bool = True
    announces: bool = True  # sends Content-Length


class Web:
    """Pages by path, and the requests that came in: (path, headers with lower-case names)."""

    def __init__(self, address: str):
        self.address = address
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent = 0  # bytes of content

    def put(self, path: str, content: bytes, **how: object) -> str:
        """The address of a new page."""
        self.pages[path] = Page(content, **how)
        return f"{self.address}/{path}"

    def ranges(self) -> list[str | None]:
        """The Range of each request so far."""
        return [headers.get("range") for _, headers in self.asked]


class _Handler(http.server.BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        path = self.path.lstrip("/").partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.web.asked.append((path, headers))
        page = self.web.pages.get(path)
        if page is None or page.status != 200:
            return self.send_error(page.status if page else 404)
        begin = int(re.fullmatch(r"bytes=(\d+)-", headers.get("range", "bytes=0-"))[1]) if page.ranges else 0
        known = (page.headers.get("ETag"), page.headers.get("Last-Modified"))
        if page.heeds_if_range and headers.get("if-range") not in (None, *known):
            begin = 0
        if begin >= len(page.content) > 0:
            return self.send_error(416)
        rest = page.content[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(page.content) - 1}/{len(page.content)}")
        if page.announces:
            self.send_header("Content-Length", str(len(rest)))
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        cut = page.breaks.pop(0) if page.breaks else None
        self.wfile.write(rest[:cut])
        self.web.sent += len(rest[:cut])

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Web]:
    """A running server without pages."""
    handler = type("Handler", (_Handler,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.web = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield handler.web
        server.shutdown()
