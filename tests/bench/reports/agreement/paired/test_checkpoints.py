"""A checkpoint of one's own beside what it began as: two rows, named apart, and their paired difference."""

import dataclasses

import pytest
import torch

from bench.base.errors import BadInput, MissingWeights
from bench.cli.main import main
from bench.reports.agreement.paired import rows
from bench.reports.agreement.paired.checkpoints import comparisons
from bench.reports.agreement.paired.sides import Asked, compare_systems
from bench.reports.names import row_names
from bench.runs.choices import EncoderChoice
from bench.scores import records

ID = "meta.duration"
OWN, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def both(made, tmp_path, add, monkeypatch):
    """The control of durations, and it with weights of two checkpoints."""
    import shutil

    folder = shutil.copytree(made, tmp_path / "results")
    flip = lambda table: table.assign(y_pred=0)  # noqa: E731
    for digest in (OWN, OTHER):
        add(folder, flip, weights=digest)
    digests = {"own.ckpt": OWN, "other.ckpt": OTHER}
    monkeypatch.setattr(EncoderChoice, "weights_digest", lambda choice: digests[choice.weights])
    monkeypatch.setattr(rows, "release_digests_of", lambda encoder: {"none"})
    return folder


def test_rows_that_differ_in_weights_are_told_apart_by_them_alone(both, monkeypatch):
    from bench.reports import names

    monkeypatch.setattr(names, "release_digests_of", lambda encoder: {OWN})
    found = [record for record in records.load_all(both) if record.spec["encoder"] == ID]
    assert set(row_names(found).values()) == {
        f"{ID} [weights none]", f"{ID} [released weights aaaaaaaa]", f"{ID} [weights bbbbbbbb]"
    }  # fmt: skip
    assert set(row_names(found[:1]).values()) == {ID}


def test_a_bare_id_is_the_released_one_and_others_are_named_by_their_weights(both):
    found = records.load_all(both)
    assert {record.spec["weights"] for record in rows.chosen(found, ID)} == {"none"}
    assert {record.spec["weights"] for record in rows.chosen(found, f"{ID}:published:-1=aaaaaaaa")} == {OWN}
    report = compare_systems((f"{ID}=aaaaaaaa", ID), Asked(both))
    assert {each.test for each in report.tests} == {"corrected", "official"}


def test_where_no_row_is_of_the_release_the_error_names_each_by_its_weights(both, monkeypatch):
    monkeypatch.setattr(rows, "release_digests_of", lambda encoder: set())
    with pytest.raises(BadInput, match=rf"{ID}:published:-1=aaaaaaaa, {ID}:published:-1=bbbbbbbb"):
        rows.chosen(records.load_all(both), ID)


def test_every_checkpoint_is_compared_with_what_is_named_first(both):
    choices = [EncoderChoice(ID, weights="own.ckpt"), EncoderChoice(ID, weights="other.ckpt")]
    found = [record for record in records.load_all(both) if record.spec["encoder"] == ID]
    told = dict(comparisons(found, choices, print))
    (report,) = told.values()
    assert report.names == (f"{ID}:published:-1=other.ckpt", f"{ID}:published:-1=own.ckpt")
    direct = compare_systems((f"{ID}=bbbbbbbb", f"{ID}=aaaaaaaa"), Asked(both))
    assert [each.difference for each in report.tests] == [each.difference for each in direct.tests]
    assert dict(comparisons(found, choices[:1], print)) == {}


def test_what_cannot_be_compared_is_a_line_and_the_rest_is_compared(both, monkeypatch):
    def digest(choice):
        if choice.weights is None:
            raise MissingWeights(ID, "no release at hand", "fetch it")
        return {"own.ckpt": OWN, "copy.ckpt": OWN, "other.ckpt": OTHER, "strange.ckpt": "c" * 64}[choice.weights]

    monkeypatch.setattr(EncoderChoice, "weights_digest", digest)
    names = (None, "own.ckpt", "copy.ckpt", "other.ckpt", "strange.ckpt")
    choices, lines = [EncoderChoice(ID, weights=name) for name in names], []
    found = [record for record in records.load_all(both) if record.spec["encoder"] == ID]
    (report,) = dict(comparisons(found, choices, lines.append)).values()
    assert report.names == (f"{ID}:published:-1=other.ckpt", f"{ID}:published:-1=own.ckpt")
    absent, same, apart = lines
    assert absent.startswith(f"{ID}: not compared: ") and "no release at hand" in absent
    assert f"{ID}=copy.ckpt and {ID}=own.ckpt: not compared, they are the same weights" in same
    assert f"{ID}=strange.ckpt and {ID}=own.ckpt: not compared, they have no pooling" in apart


def test_checkpoints_with_records_of_other_tasks_are_a_line(both):
    choices, lines = [EncoderChoice(ID, weights="own.ckpt"), EncoderChoice(ID, weights="other.ckpt")], []
    found = [record for record in records.load_all(both) if record.spec["encoder"] == ID]
    elsewhere = [
        dataclasses.replace(record, spec=record.spec | {"task": "icbhi.cycles2"})
        if record.spec["weights"] == OTHER
        else record
        for record in found
    ]
    assert dict(comparisons(elsewhere, choices, lines.append)) == {}
    (line,) = lines
    assert line.startswith(f"{ID}=other.ckpt and {ID}=own.ckpt: not compared under linear: ")
    assert "have nothing in common" in line


def test_what_is_released_is_looked_up_once_for_each_encoder(both, monkeypatch):
    from bench.reports import names

    asked = []
    for module in (names, rows):
        monkeypatch.setattr(module, "release_digests_of", lambda encoder: asked.append(encoder) or {OWN})
    found = [record for record in records.load_all(both) if record.spec["encoder"] == ID]
    row_names([*found, *found])
    assert asked == [ID]
    rows.chosen(found, ID)
    assert asked.count(ID) <= 3  # names of rows, which are formed anew, and the choice among them


@pytest.mark.long
def test_one_command_gives_both_rows_and_their_difference(simulated, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    from bench.encoders.load import load_encoder

    twin = load_encoder("random.efficientat.mn04").encoder
    torch.save(twin.state_dict(), tmp_path / "parent.pt")
    own = {f"encoder.{name}": 1.1 * tensor for name, tensor in twin.state_dict().items()}
    own |= {"head.weight": torch.ones(2, 384)}
    torch.save(
        {"state_dict": own, "optimizer_states": [{"state": {0: {"step": torch.tensor(3)}}}]}, tmp_path / "o.ckpt"
    )
    encoders = [f"efficientat.mn04={tmp_path / name}" for name in ("parent.pt", "o.ckpt")]
    command = ["run", "--task", "icbhi.cycles2", "--encoder", *encoders, "--root", str(simulated), "--no-controls"]
    assert main([*command, "--workers", "1", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert "o.ckpt: 1 tensors not used: head.weight" in told.err
    assert f"A = efficientat.mn04:published:-1={tmp_path / 'o.ckpt'}, B = efficientat.mn04:published:-1=" in told.out
    assert len(list((tmp_path / "out" / "paired").glob("efficientat.mn04,published,-1,linear,*.md"))) == 1
