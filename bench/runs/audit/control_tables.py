"""What is known about a clip without its sound, as features: file name, header, device, chest position, date.

A table is what a control row ``meta.<name>`` is fitted on. Words become one column for each value that at least three
training groups share, so that no column is a name for a single patient; numbers become their value and the twentieth
of the training clips that they fall into, so that a relation need not be a straight line to be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from bench.data.manifest import TRAIN
from bench.data.recordings import Recording
from bench.runs.audit.sounds import Sound

SHARED_BY = 3  # training groups
_QUANTILES = np.arange(1, 20) / 20
_DATE = re.compile(r"(19|20)\d\d[-/.]?\d\d[-/.]?\d\d")
_SEPARATORS = re.compile(r"[-_,\s]+")  # not the dot: ages have one


@dataclass(frozen=True)
class FeatureTable:
    """Features of clips under a name.

    ``features`` (N, D), D may be 0 where nothing varies in training; ``value`` (N,) the bare number behind them, None
    for words. ``source``: ``annotation``, ``file name``, ``file``, ``audio`` or ``encoder``.
    """

    name: str
    source: str
    features: np.ndarray = field(repr=False)
    value: np.ndarray | None = field(default=None, repr=False)


def control_tables(
    rows: pd.DataFrame,
    recordings: Mapping[str, Recording],
    sounds: Mapping[str, Sound],
    domain: str = "device",
) -> list[FeatureTable]:
    """Every table that these rows allow, in a fixed order. ``domain`` names what the manifest's column means."""
    columns = {re.sub(r"\W+", "_", domain): rows["domain"]}
    columns |= {str(column)[len("meta_") :]: rows[column] for column in rows if str(column).startswith("meta_")}
    out = [column_table(name, "annotation", values, rows) for name, values in columns.items()]
    known = {_columns(table) for table in out}
    out += [prefix_table(rows), *(part for part in name_tables(rows) if _columns(part) not in known)]
    if recordings:
        of = [recordings[path] for path in rows["path"]]
        out.append(word_table("sampling_rate", "file", [r.rate for r in of], rows))
        out.append(word_table("channels", "file", [r.channels for r in of], rows))
    if sounds:
        out.append(word_table("bit_depth", "file", [sounds[path].bits for path in rows["path"]], rows))
    if rows["end_s"].notna().all():
        seconds = (rows["end_s"] - rows["start_s"]).to_numpy(float)
        out.append(FeatureTable("duration", "annotation", np.log(seconds)[:, None], seconds))
        if rows["path"].duplicated().any():
            out.append(position_table(rows))
    return out


def column_table(name: str, source: str, values: pd.Series, rows: pd.DataFrame) -> FeatureTable:
    """A column as features: dates and numbers as such, anything else as words."""
    numbers = _numbers(values)
    if numbers is None:
        return word_table(name, source, values.astype("string").fillna(""), rows)
    return FeatureTable(name, source, _ventiles(numbers, rows["split"].isin(TRAIN).to_numpy()), numbers)


def word_table(name: str, source: str, values: Iterable, rows: pd.DataFrame) -> FeatureTable:
    """Values as words even where they are numbers."""
    train, groups = rows["split"].isin(TRAIN).to_numpy(), rows["group"].to_numpy(str)
    return FeatureTable(name, source, _words(np.array([str(value) for value in values], dtype=str), train, groups))


def prefix_table(rows: pd.DataFrame) -> FeatureTable:
    """The first part of the file's name, as a word."""
    return word_table("file_prefix", "file name", [name_parts(path)[0] for path in rows["path"]], rows)


def name_tables(rows: pd.DataFrame) -> list[FeatureTable]:
    """Every part of the file's name and its folder that varies, then all of them together, ``file_name``.

    A part is taken as words and, where possible, as numbers too.
    """
    train, groups = rows["split"].isin(TRAIN).to_numpy(), rows["group"].to_numpy(str)
    places = zip_longest(*(name_parts(path) for path in rows["path"]), fillvalue="")
    words_of_part = {f"file_part_{place}": words for place, words in enumerate(places, start=1)}
    words_of_part["file_folder"] = [PurePosixPath(path).parent.name for path in rows["path"]]
    parts = []
    for name, words in words_of_part.items():
        numbers = _numbers(pd.Series(words))
        columns = [_words(np.array(words, dtype=str), train, groups)]
        columns += [] if numbers is None else [_ventiles(numbers, train)]
        parts.append(FeatureTable(name, "file name", np.hstack(columns), numbers))
    whole = FeatureTable("file_name", "file name", np.hstack([part.features for part in parts]))
    varying = [part for part in parts if part.features.shape[1]]
    return [*(varying if len(varying) > 1 else []), whole]


def name_parts(path: str) -> list[str]:
    """A file's name, without suffix, at its separators."""
    return _SEPARATORS.split(PurePosixPath(path).stem)


def position_table(rows: pd.DataFrame) -> FeatureTable:
    """Where a clip begins in its recording, and how many clips the recording has."""
    train = rows["split"].isin(TRAIN).to_numpy()
    start_s = rows["start_s"].to_numpy(float)
    count = rows.groupby("path")["path"].transform("size").to_numpy(float)
    return FeatureTable("position", "annotation", np.hstack([_ventiles(start_s, train), _ventiles(count, train)]))


def _numbers(values: pd.Series) -> np.ndarray | None:
    """(N,) float with NaN for what is missing, days for dates; None where some value is neither."""
    if pd.api.types.is_bool_dtype(values):
        return None
    text = values.astype("string").str.strip()
    text = text.where(text != "")
    if text.notna().any() and text.dropna().str.fullmatch(_DATE).all():
        days = pd.to_datetime(text.str.replace(r"\D", "", regex=True), format="%Y%m%d", errors="coerce")
        return ((days - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(float, na_value=np.nan)
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(float, na_value=np.nan)
    same = np.isnan(numbers) == text.isna().to_numpy()
    return numbers if same.all() and not np.isnan(numbers).all() else None


def _ventiles(numbers: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(N, D): value (the training median where missing), whether it is missing, and its twentieth of training."""
    known = ~np.isnan(numbers)
    if not (known & train).any():
        return np.zeros((len(numbers), 0))
    filled = np.where(known, numbers, np.median(numbers[known & train]))
    edges = np.unique(np.quantile(filled[known & train], _QUANTILES))
    bins = np.searchsorted(edges, filled, side="right")
    columns = [filled, ~known, *(bins == bin for bin in range(len(edges) + 1))]
    return _varying(np.stack(columns, axis=1).astype(float), train)


def _words(words: np.ndarray, train: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(N, D): one column for each value that enough training groups share."""
    held = pd.DataFrame({"word": words[train], "group": groups[train]}).drop_duplicates()["word"].value_counts()
    common = sorted(word for word, n in held.items() if n >= SHARED_BY)
    return _varying((words[:, None] == np.array(common, dtype=str)).astype(float), train)


def _columns(table: FeatureTable) -> frozenset[bytes]:
    """The content of a table, whatever the order of its columns."""
    return frozenset(column.tobytes() for column in table.features.T)


def _varying(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The columns that are not constant in training."""
    return features[:, np.ptp(features[train], axis=0) > 0] if train.any() and features.shape[1] else features[:, :0]
