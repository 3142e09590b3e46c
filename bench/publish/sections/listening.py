"""The errors that the best row of each task was surest of, to be heard and seen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from bench.base.errors import BadInput, RespBenchError
from bench.data import audio
from bench.data.manifest import load_task
from bench.publish.blocks import Section, Sound, Text
from bench.reports.names import rank_class
from bench.scores import metrics, per_test
from bench.scores.schema import Record
from bench.types import Task

EACH, LONGEST_S, RATE = 4, 5.0, 8000
MOST_BYTES = 3_000_000  # of all sounds
_WINDOW, _STEP, _FLOOR_DB = 256, 64, -80.0


def listening_section(records: Sequence[Record], root: Path | None = None) -> Section:
    """A part for each task with the clips that its best row gets wrong with the highest probability.

    Parameters
    ----------
    records
        Records of a board.
    root
        Folder of the recordings; None: the data folder.

    Raises
    ------
    BadInput
        Where no task's recordings are at hand, and where no row has errors on a task of one class a clip.
    """
    parts, texts, used, why = [], [], 0, ""
    for name in sorted({record.spec["task"] for record in records}):
        best = _best([record for record in records if record.spec["task"] == name])
        if best is None:
            continue
        try:
            task = load_task(name, root)
            sounds = _sounds(task, best)
        except RespBenchError as error:
            why = str(error)
            texts.append(f"Nothing of {name}: {why}.")
            continue
        used += sum(len(sound.wav) for sound in sounds)
        if used > MOST_BYTES:
            texts.append(f"Nothing of {name}: the page would grow too large.")
            continue
        about = f"Recordings: {task.card.citation.rstrip('.')}. Licence: {task.card.licence}. {task.card.url}"
        row = f"Row: {best.spec['encoder']}, {best.spec['pooling']}, {best.spec['protocol']}."
        parts.append(Section(f"listening.{name}", name, (Text((about,), "warning"), Text((row,)), *sounds)))
    if not parts:
        if not why:
            raise BadInput("--with-audio", "no row has errors that could be heard", "leave it")
        remedy = "name the folder of the corpora (RESPBENCH_DATA or --root)"
        raise BadInput("--with-audio", f"no recordings to hear: {why}", remedy)
    what = (
        "Clips that the best row of each task gets wrong, those first that it was surest of; resampled to "
        f"{RATE} Hz, the first {LONGEST_S:g} s. Recordings of people: check the licence before you pass them on."
    )
    return Section(
        "listening", "Errors to hear", (Text((what,), "warning"), *([Text(tuple(texts))] if texts else []), *parts)
    )


def _best(records: Sequence[Record]) -> Record | None:
    """The best record of encoders that are no control, of a task whose labels are classes."""
    task = records[0].data["task"]
    if task.get("kind", "multiclass") != "multiclass":
        return None
    test, main = per_test.headline(task), task["main_metric"]
    sign = -1 if metrics.get(main).direction == "lower" else 1
    scored = [
        record
        for record in records
        if rank_class(record.spec) in ("frozen", "finetune")
        and record.scores.get(test, {}).get(main, {}).get("value") is not None
    ]
    return max(scored, key=lambda r: (sign * r.scores[test][main]["value"], r.key), default=None)


def surest_errors(record: Record, most: int = EACH) -> pd.DataFrame:
    """The wrong predictions of a record's headline test with the highest probability, in a column ``probability``."""
    table = per_test.tested(record, per_test.headline(record.data["task"]))
    scores = table[[f"s_{k}" for k in range(len(record.data["task"]["classes"]))]].to_numpy(float)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    sure = table.assign(probability=shares.max(axis=1))
    wrong = sure[sure["y_true"] != sure["y_pred"]]
    return wrong.sort_values(["probability", "clip_id"], ascending=[False, True]).head(most)


def _sounds(task: Task, record: Record) -> list[Sound]:
    """Raises ``BadInput`` where the recordings are not those of the record."""
    classes, out = record.data["task"]["classes"], []
    rows = task.manifest.set_index("clip_id")
    for line in surest_errors(record).to_dict("records"):
        clip = line["clip_id"]
        if clip not in rows.index or not rows.at[clip, "available"] or rows.at[clip, "label"] != line["y_true"]:
            raise BadInput(task.root, f"holds no clip {clip} with the record's label", "take the data of the records")
        row = rows.loc[clip]
        end_s = None if pd.isna(row["end_s"]) else float(row["end_s"])
        wave, rate = audio.read(task.root / row["path"], float(row["start_s"]), end_s)
        wave = audio.resample(wave, rate, RATE)[: int(LONGEST_S * RATE)]
        facts = (
            ("label", classes[line["y_true"]]),
            ("decided", f"{classes[line['y_pred']]}, probability {100 * line['probability']:.1f} %"),
            (record.data["task"]["group"], line["group"]),
            ("length", f"{line['duration_s']:.2f} s"),
        )
        out.append(Sound(clip, _wav(wave), _picture(wave), facts))
    return out


def _wav(wave: np.ndarray) -> bytes:
    file = io.BytesIO()
    peak = max(float(np.abs(wave).max(initial=0.0)), 1e-9)
    soundfile.write(file, 0.9 * wave / peak, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _picture(wave: np.ndarray) -> bytes:
    """A spectrogram, 0 to 4 kHz from below to above, the loudest ``-_FLOOR_DB`` dB."""
    from matplotlib import image

    padded = np.pad(wave, (0, max(0, _WINDOW - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STEP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)) ** 2
    level = 10 * np.log10(np.maximum(power, 1e-12))
    file = io.BytesIO()
    loudest = level.max()
    picture = {"vmin": loudest + _FLOOR_DB, "vmax": loudest, "cmap": "magma", "origin": "lower"}
    image.imsave(file, level.T, format="png", metadata={"Software": None}, **picture)
    return file.getvalue()
