import errno
import hashlib
import io
import stat
import tarfile
import zipfile

import pytest

import tiny_corpora
from bench.base.errors import BadInput, UnknownId
from bench.data.corpora import fetch as corpus_fetch
from bench.data.corpora import sources, unpack
from bench.data.corpora.fetch import fetch
from bench.data.corpora.sources import corpora, corpus
from bench.data.manifest import load_task
from bench.types import Corpus, RemoteFile
from webserver import serving


@pytest.fixture
def web():
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A small copy of SPRSound as its archive."""
    folder = tmp_path_factory.mktemp("copy")
    tiny_corpora.sprsound(folder)
    return _zipped({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})


def _zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return stream.getvalue()


def _sprsound(*urls, content=None, kind="sha256", **more):
    digest = f"{kind}:{hashlib.new(kind, content).hexdigest()}" if content is not None else ""
    return Corpus("sprsound", "SPRSound", (RemoteFile("sprsound.zip", urls, digest), *more.pop("others", ())), **more)


def _refused(wanted, root, match, sources=()):
    with pytest.raises(BadInput, match=match) as refusal:
        fetch(wanted, root, sources)
    assert not (root / wanted.folder).exists() and not list(root.rglob("staged"))
    return refusal.value


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_corpus_is_installed_and_checked(tmp_path, web, archive, kind):
    done = fetch(_sprsound(web.put("s.zip", archive), content=archive, kind=kind), tmp_path)
    assert done.folder == tmp_path / "SPRSound" and done.ok and done.files[0].verified
    assert done.reports[0]["id"] == "sprsound.events2" and len(done.reports) == 4
    assert "its checksum is the known one" in corpus_fetch.text(done)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["SPRSound"]
    assert not (tmp_path / ".fetching" / "sprsound").exists()


def test_a_corpus_that_is_there_is_checked_and_not_replaced(tmp_path, web, archive):
    wanted = _sprsound(web.put("s.zip", archive), content=archive)
    fetch(wanted, tmp_path)
    web.asked.clear()
    again = fetch(wanted, tmp_path)
    assert again.ok and again.files == () and not web.asked and "there already" in corpus_fetch.text(again)


def test_without_a_checksum_it_says_that_nothing_could_verify_it(tmp_path, web, archive):
    done = fetch(_sprsound(web.put("s.zip", archive)), tmp_path)
    assert not done.files[0].verified and "nothing could verify it" in corpus_fetch.text(done)
    assert hashlib.sha256(archive).hexdigest() in corpus_fetch.text(done)


def test_a_download_goes_on_where_it_broke_off(tmp_path, web, archive):
    half = len(archive) // 2
    wanted = _sprsound(web.put("s.zip", archive, breaks=[half, 0]), content=archive)
    _refused(wanted, tmp_path, "kept")
    assert fetch(wanted, tmp_path).ok
    assert web.ranges()[0] is None and web.ranges()[-1].startswith("bytes=")
    assert web.sent < 1.5 * len(archive)


def test_a_wrong_checksum_installs_nothing_and_starts_anew(tmp_path, web, archive):
    other = _zipped({"x": b"1"})
    wanted = _sprsound(web.put("s.zip", other), content=archive)
    _refused(wanted, tmp_path, "its SHA256 is .*, the known file has")
    web.put("s.zip", archive)
    assert fetch(wanted, tmp_path).ok


def test_the_next_address_is_tried(tmp_path, web, archive):
    wanted = _sprsound(f"{web.address}/gone", web.put("bad", b"x"), web.put("good", archive), content=archive)
    assert fetch(wanted, tmp_path).files[0].source.endswith("/good")


def test_an_archive_that_leads_out_installs_nothing(tmp_path, web):
    _refused(
        _sprsound(web.put("s.zip", _zipped({"ok": b"1", "../../evil": b"x"}))), tmp_path / "data", "outside the fold"
    )
    assert not list(tmp_path.rglob("evil")) and not list(tmp_path.rglob("ok"))


def _hostile(kind, outside):
    """An archive with a sound member and one that leads to ``outside`` by its name or through a link."""
    stream = io.BytesIO()
    if kind.startswith("zip"):
        with zipfile.ZipFile(stream, "w") as packed:
            packed.writestr("ok.txt", b"1")
            if kind == "zip, link":
                link = zipfile.ZipInfo("link")
                link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                packed.writestr(link, str(outside))
                packed.writestr("link/evil", b"x")
            else:
                packed.writestr(f"{outside}/evil", b"x")
        return stream.getvalue()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        packed.addfile(*_member("ok.txt"))
        if kind == "tar, absolute":
            packed.addfile(*_member(f"{outside}/evil"))
        else:
            link, _ = _member("link", b"")
            link.type = tarfile.SYMTYPE if kind == "tar, symlink" else tarfile.LNKTYPE
            link.linkname = str(outside / "mine" if kind == "tar, hard link" else outside)
            packed.addfile(link)
            packed.addfile(*_member("link/evil" if kind == "tar, symlink" else "link"))
    return stream.getvalue()


def _member(name, content=b"x"):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, io.BytesIO(content)


@pytest.mark.parametrize("kind", ["zip, absolute", "zip, link", "tar, absolute", "tar, symlink", "tar, hard link"])
def test_an_archive_whose_links_or_names_lead_out_installs_nothing(tmp_path, web, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("as it was")
    wanted = _sprsound(web.put("s.zip", _hostile(kind, outside)))
    _refused(wanted, tmp_path / "data", "outside the folder|link")
    assert [path.name for path in outside.iterdir()] == ["mine"] and (outside / "mine").read_text() == "as it was"
    assert not list((tmp_path / "data").rglob("ok.txt"))


@pytest.mark.parametrize("known", [True, False])
def test_a_page_in_place_of_the_archive_installs_nothing(tmp_path, web, archive, known):
    """As a portal sends where a login or a click is asked for, with status 200."""
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    wanted = _sprsound(web.put("s.zip", page), content=archive if known else None)
    _refused(wanted, tmp_path, "the known file has" if known else "no archive")
    web.put("s.zip", archive)
    assert fetch(wanted, tmp_path).ok


def test_a_truncated_archive_installs_nothing_and_is_fetched_anew(tmp_path, web, archive):
    wanted = _sprsound(web.put("s.zip", archive[: len(archive) * 2 // 3]))
    _refused(wanted, tmp_path, "cut short, damaged or no archive.*fetch it again")
    web.put("s.zip", archive)
    assert fetch(wanted, tmp_path).ok


def test_a_full_disk_while_unpacking_keeps_the_download(tmp_path, web, archive, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    wanted = _sprsound(web.put("s.zip", archive), content=archive)
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_write", fails)
        _refused(wanted, tmp_path, "disk is full; make room")
    web.asked.clear()
    assert fetch(wanted, tmp_path).ok and not web.asked


def test_a_full_disk_while_downloading_keeps_what_came(tmp_path, web, archive, monkeypatch):
    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    wanted = _sprsound(web.put("s.zip", archive), content=archive)
    with monkeypatch.context() as patch:
        patch.setattr("bench.data.corpora.download.Resumable._receive", fails)
        _refused(wanted, tmp_path, "disk is full; make room")
    assert fetch(wanted, tmp_path).ok


def test_a_certificate_that_does_not_hold_is_a_plain_failure(tmp_path, web, archive):
    url = web.put("s.zip", archive).replace("http://", "https://")
    error = _refused(
        _sprsound(url, content=archive, by_hand="get it at PAGE"), tmp_path, "TLS certificate does not hold"
    )
    assert "get it at PAGE; then `respbench fetch sprsound --from FILE` verifies" in error.remedy
    assert not web.sent


def test_a_file_at_hand_is_verified_and_kept(tmp_path, archive):
    mine = tmp_path / "mine.zip"
    mine.write_bytes(archive)
    _refused(_sprsound(content=b"other"), tmp_path / "data", "known file has", [mine])
    assert fetch(_sprsound(content=archive), tmp_path / "data", [mine]).ok and mine.exists()
    with pytest.raises(BadInput, match="no such file"):
        fetch(_sprsound(), tmp_path / "other", [tmp_path / "absent.zip"])
    with pytest.raises(BadInput, match="is not a file of sprsound"):
        fetch(_sprsound(), tmp_path / "other", [mine, mine])


def test_another_layout_is_refused(tmp_path, web):
    _refused(_sprsound(web.put("s.zip", _zipped({"a.txt": b"1"}))), tmp_path, "has not the layout of the corpus")


def test_an_optional_file_may_be_lacking_and_is_told(tmp_path, web, archive):
    there = RemoteFile("Summary.txt", (web.put("summary", b"1"),), optional="nothing")
    gone = RemoteFile("Gone.txt", (f"{web.address}/gone",), optional="ages stay unknown")
    done = fetch(_sprsound(web.put("s.zip", archive), others=(there, gone)), tmp_path)
    assert (done.folder / "Summary.txt").read_bytes() == b"1"
    assert "HTTP 404" in done.lacking[0] and "not fetched: Gone.txt" in corpus_fetch.text(done)


def test_data_on_application_say_where_to_apply_and_where_to_put_them(tmp_path):
    for name in ("ssbpr", "mmlung", "covid19_sounds", "nosemic"):
        error = _refused(corpus(name), tmp_path, "apply for it: (on|by)")
        assert str(tmp_path / name) in error.remedy
        assert "access: " in corpus_fetch.notice(corpus(name))
    _refused(corpus("covid_uk"), tmp_path, "zip -s 0")
    assert not list(tmp_path.iterdir())


def test_archives_cut_into_parts_inside_an_archive_are_found_by_their_tasks(tmp_path, web):
    name = load_task("coswara.smoker", tmp_path).manifest["path"].iloc[0]
    tiny_corpora.tone(tmp_path / "sound.wav", seconds=0.25)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as inner:
        inner.add(tmp_path / "sound.wav", name)
    day, half = name.partition("/")[0], len(packed.getvalue()) // 2
    parts = {"aa": packed.getvalue()[:half], "ab": packed.getvalue()[half:]}
    content = _zipped({f"Coswara-Data-1/{day}/{day}.tar.gz.{part}": piece for part, piece in parts.items()})
    wanted = Corpus("coswara", "Coswara", (RemoteFile("c.zip", (web.put("c.zip", content),)),), inner=True)
    assert fetch(wanted, tmp_path / "data").reports[0]["state"] == "subset"
    assert load_task("coswara.smoker", tmp_path / "data").manifest["available"].sum() == 1


def test_every_data_set_has_tasks_and_a_licence_notice():
    with pytest.raises(UnknownId, match="did you mean 'icbhi'"):
        corpus("icbh")
    for wanted in corpora().values():
        assert sources.cards(wanted) and "licence: " in corpus_fetch.notice(wanted)
        assert all(url.startswith("https://") for remote in wanted.files for url in remote.urls)
