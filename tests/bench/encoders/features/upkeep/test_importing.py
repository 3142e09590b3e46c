import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from bench.base.errors import BadInput
from bench.encoders.features import shards
from bench.encoders.features.store import FeatureStore
from bench.encoders.features.upkeep import importing, inventory, verify
from bench.encoders.features.upkeep.export import export
from bench.encoders.features.upkeep.importing import import_archive
from held_locks import held


def counts(done):
    return [done[name] for name in ("stores", "landed", "kept")]


@pytest.fixture
def archive(filled, tmp_path):
    """Both stores in a file."""
    export(tmp_path / "a.tar")
    return tmp_path / "a.tar"


@pytest.fixture
def laptop(archive, tmp_path, monkeypatch):
    """Another, empty cache, in which everything below happens."""
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "laptop"))
    return tmp_path / "laptop"


def members(archive):
    """[(TarInfo, bytes)] of an archive."""
    with tarfile.open(archive, "r:") as packed:
        return [(info, packed.extractfile(info).read()) for info in packed]


def write(path, packed):
    with tarfile.open(path, "w") as target:
        for info, content in packed:
            info.size = len(content) if info.isreg() else 0
            target.addfile(info, io.BytesIO(content) if info.isreg() else None)


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b"content" if kind == tarfile.REGTYPE else b""


def with_manifest(archive, change):
    """Rewrites the manifest, whose fields ``change`` edits."""
    (info, content), *rest = members(archive)
    table = json.loads(content)
    change(table)
    write(archive, [(info, json.dumps(table).encode()), *rest])


def below(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_features_travel(filled, archive, laptop, prepared):
    done = import_archive(archive)
    count = sum(len(store.listings()) for store in inventory.stores())
    assert counts(done) == [2, count, 0] and done["encoders"] == ["fbank.stats", "meta.duration"]
    for made in filled.values():
        want = (-1, made.encoder.card.default_pooling)
        there = FeatureStore(made.encoder, prepared)
        assert laptop in there.folder.parents and there.encode([want]) == 0
        np.testing.assert_array_equal(there.gather(want), made.gather(want))
        assert (there.folder / "spec.json").read_bytes() == (made.folder / "spec.json").read_bytes()
    found = verify.verify()
    assert found.shards == count and not found.damaged and not found.leftovers


def test_what_is_there_is_kept_and_what_is_damaged_is_replaced(archive, laptop):
    count = import_archive(archive)["landed"]
    listing = inventory.stores(["meta.duration"])[0].listings()[0]
    whole = listing.with_suffix(".npy").read_bytes()
    dates = {path: path.stat().st_mtime_ns for path in (laptop / "features").rglob("*.npy")}
    assert counts(import_archive(archive)) == [2, 0, count]
    assert {path: path.stat().st_mtime_ns for path in dates} == dates
    listing.with_suffix(".npy").write_bytes(b"damaged")
    assert counts(import_archive(archive)) == [2, 1, count - 1]
    assert listing.with_suffix(".npy").read_bytes() == whole


def test_a_whole_shard_of_other_bytes_is_kept(archive, laptop):
    import_archive(archive)
    listing = inventory.stores(["meta.duration"])[0].listings()[0]
    array = listing.with_suffix(".npy")
    np.save(array, np.load(array) + np.float32(1e-6))  # as another kind of processor computes it
    content = json.loads(listing.read_text()) | {"sha256": shards.file_digest(array)}
    listing.write_text(json.dumps(content))
    mine = array.read_bytes()
    assert import_archive(archive)["landed"] == 0 and array.read_bytes() == mine


def test_a_shard_that_another_process_is_making_is_left_to_it(archive, laptop):
    import_archive(archive)
    store = inventory.stores(["meta.duration"])[0]
    listing = store.listings()[0]
    listing.unlink()
    with held(shards.lock_of(store.path, listing.stem)):
        assert import_archive(archive)["landed"] == 0 and not listing.exists()
    assert import_archive(archive)["landed"] == 1 and listing.exists()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (member("/etc/x"), "outside the folder"),
        (member("../x"), "outside the folder"),
        (member("features/../../x"), "outside the folder"),
        (member("C:x"), "outside the folder"),
        (member("x", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
        (member("x", tarfile.LNKTYPE, "manifest.json"), "a link or a device"),
        (member("x", tarfile.FIFOTYPE), "a link or a device"),
        (member("x", tarfile.CHRTYPE), "a link or a device"),
        (member("notes.txt"), "where its manifest has"),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_member_that_no_export_writes_is_refused(archive, laptop, bad, said, last):
    first, *rest = members(archive)
    write(archive, [first, *rest, bad] if last else [first, bad, *rest])
    with pytest.raises(BadInput, match="does not name" if last and bad[0].name == "notes.txt" else said) as refused:
        import_archive(archive)
    assert refused.value.where == str(archive)
    whole = {path for path in below(laptop) if path.suffix == ".npy"}
    assert bool(whole) == last and not verify.verify().damaged
    assert not (laptop.parent / "x").exists()


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "/x", "x", "{store}/x.npy", "{store}/-1,mean/../../x.npy", "{store}/-1,mean/x.npy"),
        *("{store}/locks/0123456789abcdef0123.npy", "{store}/-1,mean/0123456789abcdef0123.pkl"),
    ],
)
def test_a_manifest_that_names_other_files_is_refused(archive, laptop, path):
    def change(table):
        path_of = path.format(store=next(iter(table["stores"])))
        table["files"].append({"path": path_of, "sha256": "0" * 64, "bytes": 1})

    with_manifest(archive, change)
    with pytest.raises(BadInput, match="is no name of a store's file"):
        import_archive(archive)
    assert not below(laptop)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.update(format=2), "has format 2, this version of RespBench reads 1"),
        (lambda table: table.update(kind="other"), "is not an archive of"),
        (lambda table: table.pop("files"), "damaged manifest"),
        (lambda table: table.update(files=[{"path": 1, "sha256": "0" * 64, "bytes": 1}]), "damaged manifest"),
        (lambda table: table["files"][1].update(bytes=-1), "damaged manifest"),
        (lambda table: table["files"][1].update(bytes=1e3), "damaged manifest"),
        (lambda table: table["files"][1].update(bytes=1 << 60), "bytes free, the archive needs"),
        (lambda table: table["files"][2].update(bytes=1 << 40), "has a listing of"),
        (lambda table: table["files"][1].update(sha256="0" * 64), r"is damaged: '.*npy'"),
        (lambda table: table["files"].pop(), "whole"),
        (lambda table: table["files"].insert(1, table["files"].pop(2)), "without its listing after it"),
        (lambda table: table["files"].reverse(), "without its listing|whole"),
        (lambda table: table["stores"].update({"0" * 20: {}}), "whole"),
        (lambda table: next(iter(table["stores"].values())).update(encoder="another"), "its specification's digest"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(archive, laptop, change, said):
    with_manifest(archive, change)
    with pytest.raises(BadInput, match=said):
        import_archive(archive)
    assert not list(laptop.rglob("*.npy"))


@pytest.mark.parametrize("content", [b"", b"no archive", b"[" * 100_000, bytes(10240)])
def test_what_is_no_archive_is_refused_by_name(laptop, tmp_path, content):
    path = tmp_path / "x.tar"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.tar: is"):
        import_archive(path)
    write(path, [(member("manifest.json")[0], content)])
    with pytest.raises(BadInput, match=r"x\.tar: is not an archive of"):
        import_archive(path)
    with pytest.raises(BadInput, match="is not a file"):
        import_archive(tmp_path / "absent.tar")


def test_a_damaged_archive_is_named_and_what_has_landed_stays(archive, laptop):
    content = bytearray(archive.read_bytes())
    last = [info for info, _ in members(archive) if info.name.endswith(".npy")][-1]
    content[last.offset_data + last.size - 1] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(
        BadInput, match=r"a\.tar: is damaged: '.*npy' is not what was packed.*what has landed whole stays"
    ):
        import_archive(archive)
    found = verify.verify()
    assert found.shards and not found.damaged and not found.leftovers


@pytest.mark.parametrize("part", [0.001, 0.3, 0.9])
def test_an_archive_that_was_cut_short_is_named_and_the_next_one_goes_on(archive, laptop, part):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(BadInput, match=r"a\.tar: is (cut short|damaged|not an archive)"):
        import_archive(archive)
    before = verify.verify()
    assert not before.damaged and not before.leftovers
    archive.write_bytes(whole)
    done = import_archive(archive)
    assert done["kept"] == before.shards and verify.verify().shards == done["kept"] + done["landed"]


def test_an_archive_cut_between_two_members_is_cut_short(archive, laptop):
    last = members(archive)[-1][0]
    archive.write_bytes(archive.read_bytes()[: last.offset])
    with pytest.raises(BadInput, match=r"a\.tar: is cut short: '.*json' is not in it"):
        import_archive(archive)
    assert not verify.verify().damaged


def with_first_array(archive, change):
    """Puts another array in place of the first, with digests that fit each other."""
    first, *rest = members(archive)
    table = json.loads(first[1])
    at = next(i for i, (info, _) in enumerate(rest) if info.name.endswith(".npy"))
    buffer = io.BytesIO()
    np.save(buffer, change(np.load(io.BytesIO(rest[at][1]))))
    array = buffer.getvalue()
    listing = json.dumps(json.loads(rest[at + 1][1]) | {"sha256": hashlib.sha256(array).hexdigest()}).encode()
    for offset, content in ((0, array), (1, listing)):
        rest[at + offset] = (rest[at + offset][0], content)
        table["files"][at + offset].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    write(archive, [(first[0], json.dumps(table).encode()), *rest])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: np.array([{}], dtype=object), "the array cannot be read"),  # which could run code
        (lambda values: values[:-1], "does not have a row of float32 for each clip"),
        (lambda values: np.concatenate([values, values]), "does not have a row of float32 for each clip"),
        (lambda values: values.astype(np.float64), "does not have a row of float32 for each clip"),
        (lambda values: values.astype(np.float16), "does not have a row of float32 for each clip"),
        (lambda values: values.astype("S8"), "does not have a row of float32 for each clip"),
        (lambda values: values[:, 0], "does not have a row of float32 for each clip"),
        (lambda values: values[..., None], "does not have a row of float32 for each clip"),
        (lambda values: values * np.float32("nan"), "holds NaN or infinity"),
        (lambda values: np.where(np.arange(len(values))[:, None], values, np.float32(np.inf)), "holds NaN or infinity"),
    ],
)
def test_an_array_of_anything_else_never_lands(archive, laptop, change, said):
    with_first_array(archive, change)
    with pytest.raises(BadInput, match=said):
        import_archive(archive)
    assert not list(laptop.rglob("*.npy"))


@pytest.mark.parametrize("level", ["features", "store", "folder"])
def test_nothing_is_written_through_a_link(archive, laptop, tmp_path, level):
    (tmp_path / "outside").mkdir()
    array = next(info.name for info, _ in members(archive) if info.name.endswith(".npy"))
    store, folder, _ = array.split("/")
    link = {"features": laptop / "features", "store": laptop / "features" / store,
            "folder": laptop / "features" / store / folder}[level]  # fmt: skip
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(BadInput, match="is a symbolic link"):
        import_archive(archive)
    assert not list((tmp_path / "outside").iterdir())


def test_a_full_disk_says_what_to_do(archive, laptop, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importing.Path, "replace", full)
    with pytest.raises(BadInput, match="the disk is full"):
        import_archive(archive)


@pytest.mark.long
def test_two_processes_import_at_once(archive, laptop):
    code = "import sys, pathlib; from bench.encoders.features.upkeep.importing import import_archive as take\n"
    code += "print(take(pathlib.Path(sys.argv[1]))['landed'])"
    both = [
        subprocess.Popen([sys.executable, "-c", code, archive], stdout=subprocess.PIPE, env=dict(os.environ))
        for _ in range(2)
    ]
    landed = [int(process.communicate()[0]) for process in both]
    found = verify.verify()
    assert all(process.returncode == 0 for process in both) and sum(landed) >= found.shards
    assert not found.damaged and not found.leftovers and found.shards == import_archive(archive)["kept"]
