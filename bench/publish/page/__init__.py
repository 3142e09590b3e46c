"""One results folder as one page of HTML that needs nothing else: no network, no files beside it."""

from bench.publish.page.folder import PAGE, render_page, stale_page, write_page

__all__ = ["PAGE", "render_page", "stale_page", "write_page"]
