import json
import shutil
from pathlib import Path

import pytest

from bench.base.errors import BadInput
from bench.reports.audit.report import stale_audits
from bench.reports.pages import SEALS, broken_seals, seal_pages, sealed, stale_pages, write_pages

RESULTS = Path(__file__).parents[3] / "results"
RENDERED = (  # of records or of audits: what verify holds against them
    *("leaderboard.md", "leaderboard.csv", "tasks/*.md", "audit/*.*.md", "ood.md", "ood.csv"),
    *("reliability.csv", "published/*.md"),
    *("sweep/sweep.md", "sweep/sweep.csv", "sweep/poolings.csv", "sweep/*.png"),
    *("finetune/finetune.md", "finetune/finetune.csv"),
)


def edited(path):
    """Changes one digit of a file, or its last byte where it is no text."""
    content = bytearray(path.read_bytes())
    at = next((i for i, byte in enumerate(content) if byte in b"012345678"), len(content) - 1)
    content[at] ^= 1
    path.write_bytes(bytes(content))


def test_pages_that_differ_are_missing_or_surplus_are_listed(tmp_path):
    texts = {"a.md": "1", "b/c.md": "2"}
    assert write_pages(tmp_path, texts) == [tmp_path / "a.md", tmp_path / "b" / "c.md"]
    assert stale_pages(tmp_path, texts, tmp_path.rglob("*.md"), "write again") == []
    (tmp_path / "a.md").write_text("3")
    (tmp_path / "b" / "c.md").unlink()
    (tmp_path / "d.md").write_text("4")
    told = stale_pages(tmp_path, texts, tmp_path.rglob("*.md"), "write again")
    assert told == [
        f"{tmp_path / 'a.md'}: not what the records give; write again",
        f"{tmp_path / 'b' / 'c.md'}: not what the records give; write again",
        f"{tmp_path / 'd.md'}: no record gives this page; delete it",
    ]
    (tmp_path / "a.md").write_bytes(b"\xff")
    assert stale_pages(tmp_path, texts, [], "write again")[0].startswith(str(tmp_path / "a.md"))


def test_a_sealed_page_is_held_and_is_not_surplus(tmp_path):
    folder = tmp_path / "below"
    folder.mkdir()
    for name in ("prose.md", "times.md"):
        (folder / name).write_text("98.5 s")
        seal_pages(folder, [name], f"make {name}")
    assert list(json.loads((folder / SEALS).read_text())) == ["prose.md", "times.md"]
    assert broken_seals(folder) == stale_pages(folder, {}, folder.glob("*.md"), "") == []
    edited(folder / "times.md")
    assert broken_seals(tmp_path) == [f"{folder / 'times.md'}: changed since `make times.md`"]
    seal_pages(folder, ["times.md"], "make times.md")
    (folder / "prose.md").unlink()
    assert broken_seals(folder) == [f"{folder / 'prose.md'}: changed since `make prose.md`"]


@pytest.mark.parametrize("text", ["{", "[]", '{"a.md": {"sha256": "0"}}'])
def test_seals_that_cannot_be_read_are_refused(tmp_path, text):
    (tmp_path / SEALS).write_text(text)
    with pytest.raises(BadInput, match="not a readable list of pages"):
        sealed(tmp_path)


def test_every_page_of_the_results_is_held():
    folders = [path.parent for path in RESULTS.rglob("records")]
    rendered = {path for folder in folders for pattern in RENDERED for path in folder.glob(pattern)}
    pages = {path for path in RESULTS.rglob("*.*") if path.suffix in (".md", ".csv", ".png")}
    assert pages - rendered == {path for path in sealed(RESULTS) if path.suffix != ".json"} - rendered
    assert broken_seals(RESULTS) == []


@pytest.mark.parametrize("path", sorted(sealed(RESULTS)), ids=lambda path: path.relative_to(RESULTS).as_posix())
def test_an_edited_page_of_the_results_breaks_its_seal(path, tmp_path):
    for name in (path.name, SEALS):
        shutil.copy(path.parent / name, tmp_path / name)
    edited(tmp_path / path.name)
    assert any(line.startswith(f"{tmp_path / path.name}: changed since") for line in broken_seals(tmp_path))


def test_an_edited_audit_page_of_the_results_is_found(tmp_path):
    folder = shutil.copytree(RESULTS / "audit", tmp_path / "audit")
    assert stale_audits(tmp_path) == []
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    for path in pages:
        edited(path)
    assert [line.partition(": not what")[0] for line in stale_audits(tmp_path)] == [str(path) for path in pages]
    facts = json.loads((folder / "icbhi.bits.json").read_text())
    (folder / "icbhi.bits.json").write_text(json.dumps(facts | {"task": "icbhi.unknown"}))
    (folder / "icbhi.cycles2.json").write_text("{}")
    told = "\n".join(stale_audits(tmp_path))
    assert "icbhi.bits.json: its page cannot be checked" in told and "icbhi.cycles2.json: not a readable audit" in told
