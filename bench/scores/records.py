"""One result on disk: ``<key>.json``, its predictions ``<key>.csv.gz`` and, apart, ``<key>.run.json``.

The key is the SHA-256 (first 20 hex digits) of ``spec``: task id and version, manifest digest, encoder id, version
and weight digest, clip policy, layer, pooling, protocol and version, resampler, dtype, seed, and what was excluded.
Predictions have the columns ``clip_id, group, domain, split, duration_s, y_true, y_pred, s_0 …``: ``duration_s`` is the
annotated clip's length in seconds, ``s_k`` what the task's kind scores by (``bench.scores.label_kinds``).
JSON and predictions hold only what the key determines, so they are byte-identical when made again; time, machine and
versions are in ``<key>.run.json`` and never compared.
The JSON is written last and carries the SHA-256 of itself and of the predictions: a record that exists and has both
right is done.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.base.errors import BadInput
from bench.base.paths import file_name, parse_json, write_bytes
from bench.scores.schema import DataIdentity, Record, RecordJson, RunFacts, ScoreJson, Spec, violations
from bench.types import Score

# 1: intervals that counted every patient alike, whatever the number of its clips; 2: predictions without the clips'
# lengths, hence no AUROC within duration deciles; 3: six digits of a class score, too few where C is small
SCHEMA = 4
FIELDS = tuple(RecordJson.__annotations__)
DECIMALS = 6  # of scores in a record; far below any interval, far above rounding noise
SIGNIFICANT = 9  # of class scores and lengths in predictions


def key(spec: Mapping[str, Any]) -> str:
    """The identity of a result: 20 hex digits of the hash of what determines it."""
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:20]


def as_stored(values: np.ndarray) -> np.ndarray:
    """Numbers of any shape (class scores, lengths) as they will be read back from the prediction file."""
    # adding zero takes the sign off a negative one, which does not survive the file
    flat = [float(f"%.{SIGNIFICANT}g" % value) + 0.0 for value in np.asarray(values, float).ravel()]
    return np.asarray(flat).reshape(np.shape(values))


def score_json(score: Score) -> ScoreJson:
    """A JSON-ready score: fractions rounded, NaN as null."""
    value, low, high = (None if math.isnan(x) else round(x, DECIMALS) for x in (score.value, score.low, score.high))
    return {"value": value, "low": low, "high": high, "n": score.n, "groups": score.groups, "method": score.method}


def predictions_csv(predictions: pd.DataFrame) -> bytes:
    """Canonical CSV bytes of a prediction table."""
    return predictions.to_csv(index=False, lineterminator="\n", float_format=f"%.{SIGNIFICANT}g").encode()


def to_json(record: Record) -> bytes:
    """The record's canonical JSON bytes (without predictions and run information)."""
    body: RecordJson = {
        "key": record.key,
        "spec": record.spec,
        "scores": record.scores,
        "domains": record.domains,
        "selection": record.selection,
        "data": record.data,
    }
    return _seal(body)


def _seal(fields: RecordJson) -> bytes:
    """JSON bytes of a record's fields with the schema's version and the digest of both."""
    body: dict[str, Any] = {"schema": SCHEMA, **fields}
    body["sha256"] = hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()
    return (json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def path(folder: Path, task: str, key: str) -> Path:
    """Where a record's JSON lies below a results folder."""
    return folder / "records" / file_name(task) / f"{key}.json"


def write(record: Record, folder: Path) -> Path:
    """Writes the three files atomically, the JSON last, and returns its path."""
    target = path(folder, record.spec["task"], record.key)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        file.write(predictions_csv(record.predictions))
    run = (json.dumps(record.run, indent=1, sort_keys=True) + "\n").encode()
    for suffix, content in ((".csv.gz", packed.getvalue()), (".run.json", run), (".json", to_json(record))):
        write_bytes(target.with_name(record.key + suffix), content)
    return target


def read(json_path: Path) -> Record:
    """The record whose JSON lies at ``json_path``, as it was written.

    Raises
    ------
    BadInput
        For a damaged or edited file, another version of the schema, keys or values that the schema does not allow,
        predictions that are not the record's own, and a file that does not lie where its key and task say.
    """
    table = json_path.with_name(f"{json_path.stem}.csv.gz")
    try:
        body = parse_json(json_path.read_text())
        if body["schema"] != SCHEMA:
            problem = f"record schema {body['schema']}, this version reads {SCHEMA}"
            raise BadInput(json_path, problem, "delete it, or take another results folder, and run again")
        fields: RecordJson = {name: body[name] for name in FIELDS}  # type: ignore[assignment]
        if problem := next(violations(fields), ""):
            raise BadInput(json_path, f"not a record: {problem}", "delete it and run again")
        whole = _seal(fields) == json_path.read_bytes()
        in_place = (file_name(fields["spec"]["task"]), fields["key"]) == (json_path.parent.name, json_path.stem)
        predictions = read_predictions(table)
        untouched = hashlib.sha256(predictions_csv(predictions)).hexdigest() == fields["data"]["predictions_sha256"]
        run_path = json_path.with_name(f"{json_path.stem}.run.json")
        run = _run_facts(run_path)
        if problem := next(violations(run, RunFacts), ""):
            raise BadInput(run_path, f"not what is known of a run: {problem}", "delete it")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zlib.error) as error:
        raise BadInput(json_path, f"not a readable record ({error})", "delete it and run again") from error
    if not whole or not in_place or key(fields["spec"]) != fields["key"]:
        raise BadInput(json_path, "the record was edited, renamed or moved", "delete it and run again")
    if not untouched:
        raise BadInput(table, "the predictions are not those that the record was made from", "run it again")
    return Record(**fields, predictions=predictions, run=run)


def _run_facts(run_path: Path) -> RunFacts:
    """What is known of a record's run. Raises ``BadInput`` where the file cannot be read, ``OSError`` by itself."""
    try:
        return parse_json(run_path.read_text()) if run_path.exists() else {}
    except ValueError as error:
        raise BadInput(run_path, f"not what is known of a run ({error})", "delete it") from error


def read_fields(json_path: Path) -> RecordJson:
    """The fields of a record that is known to be whole (``stored_specs``): neither checked nor with predictions."""
    return parse_json(json_path.read_text())


def read_predictions(csv_path: Path) -> pd.DataFrame:
    """A prediction table with text ids and integer labels, exactly as written."""
    text = dict.fromkeys(("clip_id", "group", "domain", "split", "duration_s"), str)
    table = pd.read_csv(csv_path, dtype=text, keep_default_na=False, na_values=[])
    # pandas' own parser can miss the last bit, which moves a clip that lies on the edge of a duration decile
    return table.assign(duration_s=[float(length) for length in table["duration_s"]])


def paths(folder: Path) -> Iterator[Path]:
    """Every record JSON below a results folder, in a fixed order."""
    return (p for p in sorted(folder.glob("records/*/*.json")) if not p.name.endswith(".run.json"))


def load_all(folder: Path) -> list[Record]:
    """Every record below a results folder. Raises ``BadInput`` where there is none."""
    records = [read(p) for p in paths(folder)]
    if not records:
        raise BadInput(folder, "no records below this folder", "make some with `respbench run --out FOLDER`")
    return records


def stored_specs(folder: Path, say: Callable[[str], None] = lambda line: None) -> dict[str, Spec]:
    """{key: spec} of the records below a results folder that are whole; says what is wrong with the others."""
    specs = {}
    for json_path in paths(folder):
        try:
            specs[json_path.stem] = read(json_path).spec
        except BadInput as error:
            say(f"not counted as done: {error}")
    return specs


def require_one_data(records: Iterable[Record]) -> None:
    """Raises ``BadInput`` for records of one task on two copies of its data, or at two versions of the task."""
    require_one_identity(record.spec for record in records)


def require_one_identity(specs: Iterable[DataIdentity]) -> None:
    """Raises ``BadInput`` where specs of one task, of what is there or is to be made, differ in their data.

    Numbers on different data do not belong in one table.
    """
    first: dict[str, DataIdentity] = {}
    for spec in specs:
        other = first.setdefault(spec["task"], spec)
        if _data_of(spec) != _data_of(other):
            copies = (f"{s['state']} {s['manifest'][:12]} version {s['task_version']}" for s in (other, spec))
            raise BadInput(
                f"records of {spec['task']}",
                f"made on different data ({', '.join(copies)})",
                "keep one results folder (--out) per copy of the data, or delete the records of the other",
            )


def _data_of(spec: DataIdentity) -> tuple[int, str, str, str]:
    return spec["task_version"], spec["manifest"], spec["state"], spec["excluded"]
