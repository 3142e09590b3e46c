"""Tiny corpora in the real on-disk layouts, written by hand."""

import json
from pathlib import Path

import numpy as np
import soundfile

ICBHI_SPLIT = {
    "101_1b1_Al_sc_Meditron": "test",
    "107_2b3_Al_mc_AKGC417L": "train",
    "107_2b3_Ar_mc_AKGC417L": "train",
    "156_2b3_Ar_mc_AKGC417L": "train",
    "156_8b3_Al_mc_AKGC417L": "test",
}
CYCLES = "0.0\t0.5\t0\t0\n0.5\t1.0\t1\t0\n1.0\t1.5\t0\t1\n1.5\t2.0\t1\t1\n"

SPRSOUND = {
    "train": ("40069321_15.3_0_p1_981", "40117100_9.2_1_p2_12"),
    "inter": ("65121853_1.5_0_p3_4109",),
    "intra": ("40069321_15.3_0_p3_700",),
}
EVENTS = [("800", "1200", "Wheeze"), ("0", "300", "Normal"), ("400", "700", "Fine Crackle")]


def tone(path: Path, seconds: float = 2.0, rate: int = 8000) -> None:
    """A sine whose pitch depends on the file's name, so that no two recordings are equal."""
    hertz = 100 + sum(path.stem.encode()) % 900
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate), rate)


def icbhi(root: Path, split: dict[str, str] = ICBHI_SPLIT, split_file: bool = True, simulated: bool = False) -> Path:
    """A copy of a few ICBHI recordings of four cycles each; returns the folder of the recordings."""
    folder = root / "ICBHI" / "ICBHI_final_database"
    for name in split:
        tone(folder / f"{name}.wav")
        (folder / f"{name}.txt").write_text(CYCLES)
    (folder / "filename_format.txt").write_text("not an annotation\n")
    if split_file:
        lines = "\n".join(f"{name}\t{half}" for name, half in split.items())
        (root / "ICBHI" / "ICBHI_challenge_train_test.txt").write_text(lines)
    if simulated:
        (root / "ICBHI" / "SIMULATED.json").write_text("{}")
    return folder


def sprsound_json(path: Path, events=EVENTS, label: str | None = "CAS & DAS") -> None:
    content = {"event_annotation": [dict(zip(("start", "end", "type"), event)) for event in events]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content if label is None else {"record_annotation": label, **content}))


def sprsound(root: Path, layout: str = "a", recordings: dict = SPRSOUND, simulated: bool = True) -> Path:
    """A copy of a few SPRSound recordings in layout a (2022), b (2024) or c (now); returns the corpus folder."""
    corpus = root / "SPRSound"
    json_folder, wav_folder = {
        "a": ("{half}_json", "{half}_wav"),
        "b": ("Classification/{half}_classification_json/2022", "Classification/{half}_classification_wav/2022"),
        "c": ("BioCAS2022/{half}2022_json", "BioCAS2022/{half}2022_wav"),
    }[layout]
    for split, names in recordings.items():
        half = "train" if split == "train" else "test"
        inner = "" if split == "train" else f"{split}_test_json"
        for name in names:
            sprsound_json(corpus / json_folder.format(half=half) / inner / f"{name}.json")
            tone(corpus / wav_folder.format(half=half) / f"{name}.wav")
    if simulated:
        (corpus / "SIMULATED.json").write_text("{}")
    return corpus
