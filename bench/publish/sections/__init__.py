"""What a results folder holds beside its board, as sections of a page; each kind of report gives its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.publish.blocks import Section
from bench.publish.sections.audits import audit_section
from bench.publish.sections.finetuning import finetune_section
from bench.publish.sections.sweeps.section import sweep_section
from bench.publish.sections.transfers.section import transfer_section

_KINDS = (transfer_section, sweep_section, finetune_section, audit_section)  # in reading order


def sections_of(folders: Sequence[Path]) -> list[Section]:
    """The sections of the reports that results folders hold, in reading order; none where they hold none."""
    return [section for kind in _KINDS for folder in folders if (section := kind(folder)) is not None]
