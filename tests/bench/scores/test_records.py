import gzip
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.base.errors import BadInput
from bench.scores import records
from bench.scores.schema import Record, violations
from bench.types import Score

RESULTS = Path(__file__).parents[3] / "results"
SPEC = {
    **{
        "schema": records.SCHEMA,
        "task": "t.x",
        "task_version": 1,
        "manifest": "m",
        "state": "complete",
        "excluded": "",
    },
    **{"encoder": "e", "encoder_version": 1, "weights": "w", "parameters": "p", "layer": -1, "pooling": "mean"},
    **{"clip": "native", "resampler": "r", "dtype": "float32", "statistics": "", "seed": 0},
    **{"protocol": "linear", "protocol_version": 2, "kind": "frozen"},
}
SELECTION = {"method": "none", "chosen": {}, "path": []}
DATA = {
    "task": {
        **{"classes": ["a", "b"], "metrics": ["uar"], "main_metric": "uar", "normal": 0, "adventitious": [1]},
        **{"tests": {"test": ["test"]}, "group": "patient", "domain": "device"},
    },
    **{"state": "complete", "incomplete": False, "excluded": [], "splits": {}, "recordings_in_full": None},
    **{"groups_in_train": {}, "licence": "", "citation": "", "url": ""},
    **{"marks": [], "trained_on": [], "weights_licence": ""},
}


def example(**changes):
    predictions = pd.DataFrame(
        {
            "clip_id": ["001", "NA"],
            "group": ["07", "8"],
            "domain": ["", "x"],
            "split": ["test", "test"],
            "duration_s": [1.57823, 1200.0],
            "y_true": [0, 1],
            "y_pred": [1, 1],
            "s_0": [0.25, 1e-12],
            "s_1": [0.75, 1.0],
        }
    )
    fields = {"spec": SPEC, "scores": {}, "domains": {}, "selection": SELECTION, "data": dict(DATA)} | changes
    fields["data"] |= {"predictions_sha256": hashlib.sha256(records.predictions_csv(predictions)).hexdigest()}
    return Record(records.key(fields["spec"]), **fields, predictions=predictions, run={"wall_s": 1.0})


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record = example()
    back = records.read(records.write(record, tmp_path))
    assert (back.key, back.spec, back.run) == (record.key, record.spec, record.run)
    pd.testing.assert_frame_equal(back.predictions, record.predictions)


def test_files_are_the_same_bytes_each_time_and_leave_nothing_partial(tmp_path):
    a, b = (records.write(example(), tmp_path / name) for name in "ab")
    for suffix in (".json", ".csv.gz"):
        assert a.with_name(a.stem + suffix).read_bytes() == b.with_name(b.stem + suffix).read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_every_part_of_the_spec_changes_the_key_and_its_order_does_not():
    spec = {"task": "t", "encoder": "e", "seed": 0}
    assert records.key(spec) == records.key(dict(reversed(spec.items())))
    assert len({records.key(spec), *(records.key(spec | {name: "other"}) for name in spec)}) == 4


def test_scores_are_rounded_to_what_the_file_will_hold():
    values = np.random.default_rng(0).uniform(size=(50, 3)) ** 8
    values[0] = -0.0, -1e4, 0.0
    rounded = records.as_stored(values)
    text = pd.DataFrame(rounded).to_csv(float_format="%.9g", index=False)
    assert "-0," not in text
    assert (rounded == pd.read_csv(io.StringIO(text)).to_numpy()).all()
    np.testing.assert_allclose(rounded, values, rtol=1e-8)


def test_nan_is_null_in_json():
    nan = float("nan")
    assert records.score_json(Score(nan, nan, nan, 0, 0, "none"))["value"] is None


@pytest.mark.parametrize("damage", ["truncate", "schema", "no predictions", "cut gzip"])
def test_a_damaged_record_is_named_with_a_remedy(tmp_path, damage):
    path = records.write(example(), tmp_path)
    table = path.with_name(path.stem + ".csv.gz")
    if damage == "truncate":
        path.write_text(path.read_text()[:50])
    elif damage == "schema":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    elif damage == "no predictions":
        table.unlink()
    else:
        table.write_bytes(gzip.compress(b"clip_id\n")[:12])
    with pytest.raises(BadInput, match=path.stem):
        records.read(path)


@pytest.mark.parametrize("suffix", [".json", ".run.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]", "[" * 100_000, "\0", '"x"'])
def test_what_is_no_record_is_named_by_its_own_file(tmp_path, suffix, content):
    path = records.write(example(), tmp_path)
    broken = path.with_name(path.stem + suffix)
    broken.write_text(content)
    with pytest.raises(BadInput, match=re.escape(broken.name)):
        records.read(path)


def test_an_empty_folder_is_an_error_that_says_how_to_fill_it(tmp_path):
    with pytest.raises(BadInput, match="respbench run"):
        records.load_all(tmp_path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"spec": {name: value for name, value in SPEC.items() if name != "seed"}}, "spec.seed is missing"),
        ({"spec": SPEC | {"layer": "last"}}, "spec.layer is 'last', not int"),
        ({"spec": SPEC | {"layer": True}}, "spec.layer is True, not int"),
        ({"selection": SELECTION | {"path": {}}}, "selection.path is {}, not list"),
        ({"data": DATA | {"recordings_in_full": "all"}}, "data.recordings_in_full is 'all', not int | None"),
        ({"scores": {"test": {"uar": {"value": None}}}}, "scores.test.uar.low is missing"),
        ({"data": DATA | {"task": DATA["task"] | {"tests": {"test": [1]}}}}, "data.task.tests.test[0] is 1, not str"),
    ],
)
def test_a_record_that_the_schema_does_not_allow_is_refused_by_the_key(tmp_path, changes, problem):
    path = records.write(example(**changes), tmp_path)
    with pytest.raises(BadInput, match=re.escape(f"{path.name}: not a record: {problem}; delete it and run again")):
        records.read(path)


def test_whole_records_are_told_from_damaged_ones(tmp_path):
    whole = records.write(example(), tmp_path)
    damaged = records.write(example(spec=SPEC | {"seed": 1}), tmp_path)
    damaged.write_text("{}")
    lines = []
    assert records.stored_specs(tmp_path, lines.append) == {whole.stem: SPEC}
    (line,) = lines
    assert line.startswith("not counted as done: ") and damaged.stem in line


@pytest.mark.parametrize("folder", ["", "ood", "sweep", "finetune"])
def test_committed_records_have_their_keys(folder):
    """A key is the hash of what determines the result, in whatever order it is built."""
    committed = list(records.paths(RESULTS / folder))
    assert committed
    for path in committed:
        body = json.loads(path.read_text())
        assert records.key(dict(reversed(body["spec"].items()))) == body["key"] == path.stem
        assert not list(violations(body))
