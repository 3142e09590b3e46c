"""Verbs of what people look at, cite and share: one file per part of ``bench.publish``, all listed in ``VERBS``."""

from __future__ import annotations

from bench.cli.options import Verb
from bench.cli.publish import figures, page, papers

VERBS: tuple[Verb, ...] = (page.REPORT, papers.TABLE, papers.CITE, figures.FIGURES)
VERBS: tuple[Verb, ...] = (page.REPORT, papers.TABLE)
from bench.cli.publish import papers, sharing

VERBS: tuple[Verb, ...] = (papers.TABLE, sharing.SUBMIT, sharing.MERGE)
from bench.cli.publish import page, papers, sharing

VERBS: tuple[Verb, ...] = (page.REPORT, papers.TABLE, sharing.SUBMIT, sharing.MERGE, sharing.EXPORT)
