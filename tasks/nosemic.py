"""NoseMic: respiratory rate from nose breathing, given by a link under its own licence (OPERA T19).

Source: Zhang et al., "Towards Open Respiratory Acoustic Foundation Models: Pretraining and Benchmarking", NeurIPS
2024, arXiv:2406.16148. Recordings are ``audio/<subject>_<x>_<x>_<rate>.wav``; the rate, the last field, is the
target, and what the two between mean is not documented. Each of the sixteen subjects that OPERA holds out in turn is
predicted from all others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bench.types import Finding, TaskCard
from tasks._shared import layout, table

if TYPE_CHECKING:
    import pandas as pd

_NAME = re.compile(r"(?P<subject>\d+)_(?P<second>[^_]+)_(?P<third>[^_]+)_(?P<rate>\d+(?:\.\d+)?)")
_EXPECTED = "a folder of recordings named subject_x_x_rate.wav"

CARDS = (
    TaskCard(
        id="nosemic.rate",
        version=1,
        classes=("respiratory rate",),
        main_metric="mae",
        metrics=("mae", "mape"),
        tests={"test": ("test",)},
        url="https://github.com/evelyn0414/OPERA/tree/main/datasets/nosemic",
        licence="custom, copyright University of Cambridge",
        citation="Zhang et al., NeurIPS 2024, arXiv:2406.16148",
        kind="regression",
        leave_one_out=True,
        access="by the link in https://github.com/evelyn0414/OPERA/tree/main/datasets/nosemic, under its own licence",
        group="subject",
        domain="device",
        corpora=("nosemic",),
        variants=(table.LITERATURE,),
        notes="Sixteen subjects. OPERA trains on any further subject of the folder; here they are left out.",
    ),
)


def variant(card: TaskCard, name: str) -> TaskCard:
    """The card of ``literature/opera``, which leaves one subject out as the headline does."""
    return card


def manifest(card: TaskCard, root: Path, findings: list[Finding]) -> pd.DataFrame:
    """One row per recording of the sixteen subjects. Raises ``BadInput`` where there is no copy, or several."""
    by_folder = {folder: [folder / name for name in files if _is_sound(name)] for folder, files in layout.walk(root)}
    folders = [folder for folder, paths in by_folder.items() if any(_NAME.fullmatch(path.stem) for path in paths)]
    folder = table.on_application(card, root, folders, _EXPECTED)

    subjects = {row["participant"] for row in table.rows(card)}
    clips, further = {}, []
    for path in by_folder[folder]:
        name = _NAME.fullmatch(path.stem)
        if name is None or float(name["rate"]) == 0:
            findings.append(table.unreadable_name(path, root, "subject_x_x_rate, the rate above 0"))
        elif name["subject"] not in subjects:
            further.append(name["subject"])
        else:
            clips[path.stem] = {
                "clip_id": path.stem,
                "label": float(name["rate"]),
                "split": "test",
                "group": name["subject"],
                "domain": "nose microphone",
                "meta_second": name["second"],
                "meta_third": name["third"],
            }
    where = layout.relative(folder, root)
    if further:
        problem = f"{len(further)} recordings of subjects {', '.join(sorted(set(further)))} are not used"
        findings.append(Finding("warning", "further-subjects", where, problem, "OPERA never holds these subjects out"))
    if absent := sorted(subjects - {clip["group"] for clip in clips.values()}, key=int):
        problem = f"no recording of subjects {', '.join(absent)}"
        findings.append(Finding("error", "missing-subjects", where, problem, f"complete the copy from {card.url}"))
    return table.manifest(card, root, findings, clips, table.audio(folder, clips))


def _is_sound(name: str) -> bool:
    return name.lower().endswith(table.READABLE) and not name.startswith(".")
