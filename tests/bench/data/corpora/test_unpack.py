import errno
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.base.errors import BadInput
from bench.data.corpora import unpack as module
from bench.data.corpora.unpack import Bounds, unpack, unpack_inner


def _zip(path: Path, members: dict, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def _tar(path: Path, members: dict, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content) if kind == tarfile.REGTYPE else 0, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


MEMBERS = {"a/b.wav": b"sound" * 1000, "c.txt": b"text", "__MACOSX/x": b"", "a/.DS_Store": b""}
KEPT = {name: MEMBERS[name] for name in ("a/b.wav", "c.txt")}


@pytest.mark.parametrize("make", [_zip, _tar])
def test_files_and_folders_come_out_whole(tmp_path, make):
    unpack(make(tmp_path / "archive", MEMBERS), tmp_path / "out")
    assert _files(tmp_path / "out") == KEPT


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:\\evil", "C:evil"])
def test_a_name_that_leads_out_is_refused(tmp_path, make, name):
    with pytest.raises(BadInput, match="outside the folder"):
        unpack(make(tmp_path / "archive", {name: b"x"}), tmp_path / "deep" / "out")
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with pytest.raises(BadInput, match="link or a device"):
        unpack(_tar(tmp_path / "archive", {"x": b""}, kind), tmp_path / "out")
    with pytest.raises(BadInput, match="link or a device"):
        unpack(_zip(tmp_path / "zip", {"x": b"/etc/passwd"}, stat.S_IFLNK | 0o777), tmp_path / "out")
    assert _files(tmp_path / "out") == {}


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("bounds", [Bounds(member=100), Bounds(total=4500), Bounds(members=1)])
def test_bounds_hold(tmp_path, make, bounds):
    with pytest.raises(BadInput, match="not safe to unpack"):
        unpack(make(tmp_path / "archive", MEMBERS), tmp_path / "out", bounds)


def test_a_member_larger_than_it_declares_is_stopped(tmp_path):
    archive = _zip(tmp_path / "archive", {"bomb": b"\0" * 100_000})
    content = bytearray(archive.read_bytes())
    at = content.rfind(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(BadInput):
        unpack(archive, tmp_path / "out", Bounds(member=1000))


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_an_archive_that_breaks_off_is_an_error(tmp_path, make, part):
    noise = bytes((i * i * 7919) >> 5 & 255 for i in range(50_000))
    archive = make(tmp_path / "archive", {"a": noise, "b": noise[::-1]})
    archive.write_bytes(archive.read_bytes()[: round(archive.stat().st_size * part)])
    with pytest.raises(BadInput, match="cut short, damaged or no archive"):
        unpack(archive, tmp_path / "out")


def test_flipped_bytes_and_other_files_are_errors(tmp_path):
    archive = _zip(tmp_path / "archive", {"a": b"0123456789" * 50})
    content = bytearray(archive.read_bytes())
    content[40] ^= 255
    archive.write_bytes(content)
    (tmp_path / "page").write_text("<html>not found</html>")
    for path in (archive, tmp_path / "page"):
        with pytest.raises(BadInput, match="fetch it again"):
            unpack(path, tmp_path / "out")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    archive = _zip(tmp_path / "archive", MEMBERS)
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
        with pytest.raises(BadInput, match="10 are free; make room"):
            unpack(archive, tmp_path / "out")

    def fails(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write", fails)
    with pytest.raises(BadInput, match="the disk is full; make room"):
        unpack(archive, tmp_path / "out")


def test_archives_inside_are_unpacked_where_they_lie(tmp_path):
    _zip(tmp_path / "Audio Files.zip", {"BP1.wav": b"1"})
    whole = _tar(tmp_path / "all.tgz", {"20200413/user/cough.wav": b"2" * 5000}).read_bytes()
    (tmp_path / "all.tgz").unlink()
    (tmp_path / "20200413").mkdir()
    for n, suffix in enumerate(("aa", "ab", "ac")):
        step = len(whole) // 3 + 1
        (tmp_path / "20200413" / f"20200413.tar.gz.{suffix}").write_bytes(whole[n * step : (n + 1) * step])
    unpack_inner(tmp_path)
    assert set(_files(tmp_path)) == {"BP1.wav", "20200413/20200413/user/cough.wav"}


def test_a_missing_part_is_an_error(tmp_path):
    whole = _tar(tmp_path / "x.tgz", {"a": bytes(range(256)) * 40}).read_bytes()
    (tmp_path / "x.tgz").unlink()
    (tmp_path / "x.tar.gz.aa").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="cut short"):
        unpack_inner(tmp_path)
