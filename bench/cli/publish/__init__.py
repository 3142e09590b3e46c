"""Verbs of what people look at, cite and share: one file per part of ``bench.publish``, all listed in ``VERBS``."""

from __future__ import annotations

from bench.cli.options import Verb
from bench.cli.publish import figures, page, papers, sharing

VERBS: tuple[Verb, ...] = (
    page.REPORT,
    papers.TABLE,
    papers.CITE,
    figures.FIGURES,
    sharing.SUBMIT,
    sharing.MERGE,
    sharing.EXPORT,
)
