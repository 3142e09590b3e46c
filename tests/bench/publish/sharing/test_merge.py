import dataclasses
import gzip
import hashlib
import json
import shutil
import stat
import zipfile

import numpy as np
import pytest

from bench.cli.main import main
from bench.publish.page import PAGE, stale_page
from bench.publish.sharing import merge as merging
from bench.publish.sharing.merge import merge, read_ledger
from bench.publish.sharing.opened import Bounds
from bench.publish.sharing.pack import submit
from bench.runs.context import BoardNotes
from bench.scores import per_test, records


def contents(archive):
    with zipfile.ZipFile(archive) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def repacked(files, target, manifest=True, extra=()):
    """An archive of these files as somebody would make it by hand; with a manifest that fits them."""
    if manifest:
        body = json.loads(files["manifest.json"])
        body["files"] = {n: hashlib.sha256(c).hexdigest() for n, c in files.items() if n != "manifest.json"}
        files = files | {"manifest.json": json.dumps(body).encode()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in [*files.items(), *extra]:
            packed.writestr(name, content)
    return target


def probe(folder):
    found = (records.read(path) for path in records.paths(folder))
    return next(record for record in found if record.spec["encoder"] == "meta.duration")


def rewritten(results, tmp_path, new, keep=True):
    """A submission whose probe's record is another; the other records stay."""
    folder = shutil.copytree(results, tmp_path / "forged")
    old = probe(folder)
    for path in records.path(folder, old.spec["task"], old.key).parent.glob("*" if not keep else f"{old.key}.*"):
        path.unlink()
    records.write(new, folder)
    files = {"manifest.json": json.dumps({"format": "respbench submission", "version": 1, "by": "", "contact": "",
                                          "respbench": "", "files": {}}).encode()}  # fmt: skip
    for path in sorted(folder.glob("records/*/*")):
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return repacked(files, tmp_path / "forged.zip")


def everything_in(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(archive, folder, **more):
    """Why an archive is refused, and that nothing of it got anywhere."""
    folder.mkdir(exist_ok=True)
    before = everything_in(folder)
    (result,) = merge([archive], folder, **more)
    after = everything_in(folder)
    after.pop(".merge.lock", None)
    before.pop(".merge.lock", None)
    assert after == before and not result.added
    assert result.refused
    return " ".join(result.refused)


def test_what_was_submitted_arrives_and_holds(results, submission, tmp_path, capsys):
    into = tmp_path / "into"
    assert main(["merge", str(submission), "--into", str(into)]) == 0
    assert "3 records added" in capsys.readouterr().out
    for path in records.paths(results):
        arrived = into / path.relative_to(results)
        assert arrived.read_bytes() == path.read_bytes()
        assert arrived.with_suffix(".csv.gz").read_bytes() == path.with_suffix(".csv.gz").read_bytes()
    assert main(["verify", str(into)]) == 0
    (entry,) = read_ledger(into)
    assert (entry.by, entry.contact) == ("Ann", "ann@example.org") and len(entry.records) == 3
    assert entry.sha256 == hashlib.sha256(submission.read_bytes()).hexdigest()
    assert entry.commands == tuple(BoardNotes.read(results).commands) != ()
    assert "3 records submitted by Ann (ann@example.org)" in (into / "leaderboard.md").read_text()


def test_a_page_that_stands_in_the_folder_is_written_again(submission, tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    (into / PAGE).write_text("of before", encoding="utf-8")
    assert main(["merge", str(submission), "--into", str(into)]) == 0
    assert stale_page(into) == []


def test_a_second_time_changes_nothing(submission, tmp_path):
    into = tmp_path / "into"
    merge([submission], into)
    before = everything_in(into)
    (result,) = merge([submission], into)
    assert len(result.kept) == 3 and not (result.added or result.refused) and everything_in(into) == before


def test_several_are_taken_one_by_one_and_a_bad_one_stops_no_other(results, submission, tmp_path, capsys):
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    into = tmp_path / "into"
    files = [str(tmp_path / "bad.zip"), str(submission)]
    assert main(["merge", *files, "--into", str(into), "--json"]) == 1
    bad, good = json.loads(capsys.readouterr().out)
    assert "not a readable zip" in bad["refused"][0] and len(good["added"]) == 3


def test_a_name_is_shown_as_text(results, tmp_path):
    archive = submit(results, tmp_path / "s.zip", "<script>*x*[y](z)`|").file
    into = tmp_path / "into"
    merge([archive], into)
    (note,) = BoardNotes.read(into).notes
    assert "<" not in note and "\\*x\\*\\[y\\](z)\\`\\|" in note


# ------------------------------------------------------------------ archives


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/evil.json",
        "records/../../evil.json",
        "records/../0123456789abcdef0123.json",
        "records/a/b/0123456789abcdef0123.json",
        "records\\..\\0123456789abcdef0123.json",
        "C:\\evil.json",
        "clip.wav",
        "records/icbhi.cycles4/weights.pt",
    ],
)
def test_a_name_that_no_submission_has_is_refused(submission, tmp_path, name):
    archive = repacked(contents(submission), tmp_path / "x.zip", extra=[(name, b"{}")])
    assert "which no submission holds" in refused(archive, tmp_path / "into")
    files = contents(submission) | {name: b"{}"}
    assert "which no submission holds" in refused(repacked(files, tmp_path / "x.zip"), tmp_path / "into")


def test_links_encryption_and_names_given_twice_are_refused(submission, tmp_path):
    files = contents(submission)
    link = zipfile.ZipInfo("records/icbhi.cycles4/0123456789abcdef0123.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = repacked(files, tmp_path / "link.zip", extra=[(link, b"/etc/passwd")])
    assert "link or a device" in refused(archive, tmp_path / "into")
    name = next(name for name in files if name.endswith(".csv.gz"))
    with pytest.warns(UserWarning, match="Duplicate"):
        archive = repacked(files, tmp_path / "twice.zip", extra=[(name, files[name])])
    assert "twice" in refused(archive, tmp_path / "into")
    content = bytearray(submission.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):  # the flag that says: encrypted
        at = content.find(mark)
        content[at + offset] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    assert "encrypted" in refused(tmp_path / "locked.zip", tmp_path / "into")


def test_bombs_are_refused_before_they_unfold(submission, tmp_path):
    files = contents(submission)
    name = next(name for name in files if name.endswith(".csv.gz"))
    bound = Bounds(one=1 << 20, total=4 << 20, table=1 << 20)
    zeros = bytes(8 << 20)
    archive = repacked(files | {name: zeros}, tmp_path / "b.zip")
    assert "more than is allowed" in refused(archive, tmp_path / "into", bounds=bound)
    archive = repacked(files | {name: gzip.compress(zeros)}, tmp_path / "b.zip")
    assert "more than is allowed" in refused(archive, tmp_path / "into", bounds=bound)
    many = dataclasses.replace(bound, files=5)
    assert "5 are allowed" in refused(submission, tmp_path / "into", bounds=many)
    total = dataclasses.replace(bound, total=1000)
    assert "more than is allowed" in refused(submission, tmp_path / "into", bounds=total)


def test_a_size_that_lies_is_refused(submission, tmp_path):
    files = contents(submission)
    name = next(name for name in files if name.endswith(".run.json"))
    archive = repacked(files | {name: bytes(2 << 20)}, tmp_path / "lie.zip")
    content = bytearray(archive.read_bytes())
    at = content.rfind(name.encode())  # in the central directory; its size stands 22 bytes before
    content[at - 22 : at - 18] = (100).to_bytes(4, "little")
    archive.write_bytes(content)
    told = refused(archive, tmp_path / "into", bounds=Bounds(one=1 << 20))
    assert "readable" in told or "allowed" in told or "was packed" in told


def test_an_archive_that_is_cut_or_changed_is_refused(submission, tmp_path):
    cut = tmp_path / "cut.zip"
    cut.write_bytes(submission.read_bytes()[:-200])
    assert "not a readable zip" in refused(cut, tmp_path / "into")
    files = contents(submission)
    json_name = next(n for n in files if n.endswith("json") and n.startswith("records") and "run" not in n)
    archive = repacked(files | {json_name: files[json_name] + b" "}, tmp_path / "x.zip", manifest=False)
    assert "SHA-256" in refused(archive, tmp_path / "into")
    files = {name: content for name, content in contents(submission).items() if name != json_name}
    assert "differ in" in refused(repacked(files, tmp_path / "x.zip", manifest=False), tmp_path / "into")
    assert "lacks" in refused(repacked(files, tmp_path / "x.zip"), tmp_path / "into")
    none = {name: files[name] for name in ("manifest.json", "board.json")}
    assert "no record" in refused(repacked(none, tmp_path / "x.zip"), tmp_path / "into")
    del files["manifest.json"]
    assert "no manifest" in refused(repacked(files, tmp_path / "x.zip", manifest=False), tmp_path / "into")


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b'{"format": "other"}'),
        ("manifest.json", b'{"format": "respbench submission", "version": 2}'),
        ("manifest.json", b'{"format": "respbench submission", "version": 1, "by": 3}'),
        ("board.json", b'{"commands": "x"}'),
        ("board.json", b'{"notes": ["a\\nb"]}'),
        ("board.json", b'{"notes": [' + b",".join([b'"x"'] * 101) + b"]}"),
        ("board.json", b"[" * 100_000),
    ],
)
def test_what_is_no_manifest_or_no_notes_is_refused(submission, tmp_path, member, content):
    files = contents(submission) | {member: content}
    refused(repacked(files, tmp_path / "x.zip", manifest=member != "manifest.json"), tmp_path / "into")


# ------------------------------------------------------------------ records


def with_scores(record):
    scores = json.loads(json.dumps(record.scores))
    scores["corrected"]["icbhi.Score"]["value"] = 0.99
    return dataclasses.replace(record, scores=scores)


def with_domain(record):
    domains = json.loads(json.dumps(record.domains))
    next(iter(domains["corrected"].values()))["uar"]["value"] = 0.99
    return dataclasses.replace(record, domains=domains)


def respecified(record, **spec):
    full = record.spec | spec
    return dataclasses.replace(record, key=records.key(full), spec=full)


def with_predictions(record, table):
    scores, domains = per_test.score_predictions(record.data["task"], table)
    digest = hashlib.sha256(records.predictions_csv(table)).hexdigest()
    data = record.data | {"predictions_sha256": digest}
    return dataclasses.replace(record, scores=scores, domains=domains, predictions=table, data=data)


def other_labels(record):
    table = record.predictions.copy()
    return with_predictions(record, table.assign(y_true=table["y_pred"]))


def without_mistakes(record):
    table = record.predictions
    return with_predictions(record, table[table["y_true"] == table["y_pred"]])


def without_scores(record):
    table = record.predictions.drop(columns="s_3")
    digest = hashlib.sha256(records.predictions_csv(table)).hexdigest()
    data = record.data | {"predictions_sha256": digest}
    return dataclasses.replace(record, predictions=table, data=data)


def without_classes(record):
    return dataclasses.replace(record, data=record.data | {"task": record.data["task"] | {"classes": []}})


def without_scores_of_candidates(record):
    return dataclasses.replace(record, selection=record.selection | {"path": [{"C": 1.0}]})


def other_key(record):
    return dataclasses.replace(record, key="0123456789abcdef0123")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (with_scores, "icbhi.Score"),
        (with_domain, "domain score"),
        (other_labels, "labels differ"),
        (without_mistakes, "one per test clip"),
        (without_scores, "no class scores"),
        (without_classes, "outside the labels"),
        (without_scores_of_candidates, "cannot be recomputed"),
        (other_key, "edited, renamed or moved"),
        (lambda r: respecified(r, schema=3), "schema 3"),
        (lambda r: respecified(r, task_version=99), "version 99"),
        (lambda r: respecified(r, protocol="mine"), "protocol 'mine'"),
        (lambda r: respecified(r, kind="control"), "kind frozen"),
        (lambda r: respecified(r, task="nothing.known"), "not known here"),
        (lambda r: respecified(r, task="csv./etc/passwd"), "somebody's own"),
        (lambda r: respecified(r, encoder="a\nb"), "control characters"),
        (lambda r: respecified(r, manifest="f" * 64), "different data"),
        (lambda r: dataclasses.replace(r, data=r.data | {"state": "complete"}), "state differs"),
        (lambda r: dataclasses.replace(r, run={"machine": "x" * 200_000}), "about its run"),
    ],
)
def test_a_forged_record_is_refused(results, tmp_path, change, told):
    assert told in refused(rewritten(results, tmp_path, change(probe(results))), tmp_path / "into")


def test_a_record_of_other_data_than_the_folder_s_is_refused(results, tmp_path):
    other = respecified(probe(results), manifest="f" * 64)
    archive = rewritten(results, tmp_path, other, keep=False)
    assert "different data" in refused(archive, results)
    (result,) = merge([archive], tmp_path / "empty")  # where nothing is there to contradict it
    assert result.added == [other.key]


def test_another_record_of_the_same_key_is_refused(results, tmp_path):
    table = probe(results).predictions.copy()
    table["s_0"] = records.as_stored(table["s_0"].to_numpy() - 1e-6)
    other = with_predictions(probe(results), table)
    archive = rewritten(results, tmp_path, other)
    assert "another record of this key" in refused(archive, results)


def test_honest_looking_predictions_on_the_same_clips_are_taken(results, tmp_path):
    """What cannot be shown to be wrong: another encoder's predictions, whoever made them."""
    table = probe(results).predictions.copy()
    table[["s_0", "s_1", "s_2", "s_3"]] = np.log(0.97 * np.eye(4)[table["y_true"]] + 0.0075)
    table = table.assign(**{f"s_{k}": records.as_stored(table[f"s_{k}"].to_numpy()) for k in range(4)})
    other = respecified(with_predictions(probe(results), table.assign(y_pred=table["y_true"])), encoder="my.encoder")
    (result,) = merge([rewritten(results, tmp_path, other)], results)
    assert result.added == [other.key] and len(result.kept) == 2


# ------------------------------------------------------------------ writing


def test_what_cannot_be_written_is_taken_back(results, submission, tmp_path, monkeypatch):
    into = tmp_path / "into"
    write, calls = records.write, []

    def breaks(record, folder):
        calls.append(record.key)
        if len(calls) == 3:
            raise OSError("disk full")
        return write(record, folder)

    monkeypatch.setattr(merging.records, "write", breaks)
    with pytest.raises(OSError, match="disk full"):
        merge([submission], into)
    assert set(everything_in(into)) <= {".merge.lock"}


def test_a_ledger_that_cannot_be_read_stops_the_merge(submission, tmp_path, capsys):
    into = tmp_path / "into"
    into.mkdir()
    (into / "submissions.json").write_text("{}")
    assert main(["merge", str(submission), "--into", str(into)]) == 1
    assert "no list of submissions" in capsys.readouterr().err
