import dataclasses
import hashlib
import io
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.base.errors import BadInput, CheckpointError, MissingWeights, NothingAsked
from bench.encoders.weights import find, verified
from bench.encoders.weights.fetch import fetch
from bench.types import EncoderCard, Weights
from webserver import serving


def _torch(**tensors):
    stream = io.BytesIO()
    torch.save(tensors, stream)
    return stream.getvalue()


def _sha(content):
    return hashlib.sha256(content).hexdigest()


CONTENT = _torch(a=torch.arange(3.0))
OTHER = _torch(a=torch.zeros(3))


def _card(*urls, **facts):
    return EncoderCard(
        id="family.net", version=1, sample_rate=16000, dims={"mean": 8}, frontend="", citation="", licence="MIT",
        weights=(Weights(**{"file": "net.pt", "urls": urls, "licence": "MIT"} | facts),),
    )  # fmt: skip


@pytest.fixture
def web():
    with serving() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "cache"


def _incoming(cache):
    return [path for path in (cache / "weights" / "incoming").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_the_next_mirror_serves_and_the_store_is_by_digest(web, cache):
    gone, here = f"{web.address}/gone.pt", web.put("net.pt", CONTENT)
    card = _card(gone, here, sha256=_sha(CONTENT), size=len(CONTENT))
    done = fetch(card)
    assert done.path == cache / "weights" / _sha(CONTENT) / "net.pt" and done.trust == "card"
    assert done.path.read_bytes() == CONTENT and not _incoming(cache)
    assert find.find(card) == done.path
    web.asked.clear()
    assert fetch(card) == done and not web.asked


def test_a_mirror_with_other_content_is_passed_over(web):
    card = _card(web.put("a", OTHER), web.put("b", CONTENT), sha256=_sha(CONTENT))
    assert fetch(card).path.read_bytes() == CONTENT
    with pytest.raises(CheckpointError, match=f"SHA-256 is {_sha(OTHER)}, the released file has {_sha(CONTENT)[:-1]}x"):
        fetch(_card(web.put("a", OTHER), sha256=_sha(CONTENT)[:-1] + "x"))


def test_a_wrong_size_is_refused(web, cache):
    with pytest.raises(CheckpointError, match=f"has {len(CONTENT)} bytes, the released file has 5"):
        fetch(_card(web.put("net.pt", CONTENT), size=5))
    assert not _incoming(cache)


def test_an_interrupted_fetch_resumes_and_every_failed_mirror_is_told(web, cache):
    half = 1 << 14
    content = _torch(a=torch.arange(20_000.0))
    card = _card(web.put("net.pt", content, breaks=[half, 0]), f"{web.address}/gone.pt")
    with pytest.raises(
        CheckpointError, match=rf"{half} bytes, which are kept; .*gone.pt: answers HTTP 404.*--from FILE"
    ):
        fetch(card)
    with pytest.raises(MissingWeights):
        find.find(card)
    web.asked.clear()
    assert fetch(card).path.read_bytes() == content
    assert web.ranges() == [f"bytes={half}-"] and not _incoming(cache)


def test_an_unknown_digest_is_trusted_once_and_pinned(web):
    card = _card(web.put("net.pt", CONTENT))
    first = fetch(card)
    assert first.trust == "first use" and first.sha256 == _sha(CONTENT)
    assert fetch(card).trust == "pinned"
    verified.discard(first.path)
    web.put("net.pt", OTHER)
    with pytest.raises(CheckpointError, match=f"SHA-256 is {_sha(OTHER)}, but {_sha(CONTENT)} was pinned") as error:
        fetch(card)
    assert "--repin" in str(error.value)
    assert fetch(card, repin=True).sha256 == _sha(OTHER)
    assert fetch(card).trust == "pinned" and find.find(card).read_bytes() == OTHER


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "Git LFS pointer"),
        (CONTENT[:-100], "is cut short"),
        (_torch(a=Evil()), r"posix\.system"),
    ],
)
def test_what_cannot_be_weights_is_neither_kept_nor_trusted(web, cache, tmp_path, monkeypatch, content, told):
    monkeypatch.chdir(tmp_path)
    card = _card(web.put("net.pt", content))
    with pytest.raises(CheckpointError, match=told):
        fetch(card)
    assert verified.pin(card, card.weights[0]) is None
    assert not (tmp_path / "executed").exists() and not _incoming(cache)
    web.put("net.pt", CONTENT)
    assert fetch(card).trust == "first use"


def test_a_release_that_is_an_archive_is_unpacked(web, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("m2d-80x608/README", "")
        archive.writestr("m2d-80x608/checkpoint-300.pth", CONTENT)
    card = _card(web.put("m2d.zip", packed.getvalue()), file="m2d-80x608/checkpoint-300.pth")
    path = fetch(card).path
    assert path.parts[-2:] == ("m2d-80x608", "checkpoint-300.pth") and path.read_bytes() == CONTENT
    verified.discard(path)
    (tmp_path / "downloaded.zip").write_bytes(packed.getvalue())
    assert fetch(card, tmp_path / "downloaded.zip").path == path and path.read_bytes() == CONTENT


def test_a_file_at_hand_is_registered_and_stays_as_it_was(tmp_path):
    mine = tmp_path / "mine.pt"
    mine.write_bytes(CONTENT)
    done = fetch(_card(), mine)
    assert done.trust == "first use" and done.path.name == "net.pt"
    mine.write_bytes(OTHER)  # the store has a copy
    assert find.find(_card()).read_bytes() == CONTENT
    with pytest.raises(CheckpointError, match=f"{mine}: SHA-256 is {_sha(OTHER)}, but {_sha(CONTENT)}"):
        fetch(_card(), mine)
    assert fetch(_card(), mine, repin=True).sha256 == _sha(OTHER)
    with pytest.raises(CheckpointError, match="no such weight file"):
        fetch(_card(), tmp_path / "nothing.pt")
    with pytest.raises(CheckpointError, match="the released file has"):
        fetch(_card(sha256=_sha(CONTENT)), mine, repin=True)


def _folder(path):
    path.mkdir()
    save_file({"a": torch.zeros(2)}, path / "model.safetensors")
    (path / "config.json").write_text("{}")
    (path / "notes.md").write_text("not read by any adapter")
    return path


def test_a_folder_is_registered_with_what_is_read_of_it(tmp_path):
    card = dataclasses.replace(_card(), weights=(Weights(file="net.pt"), Weights(file="net", hub="org/net")))
    done = fetch(card, _folder(tmp_path / "export"))
    assert sorted(path.name for path in done.path.iterdir()) == ["config.json", "model.safetensors"]
    assert find.find(card) == done.path and done.path.name == "net"


@pytest.mark.parametrize("named", ["model.safetensors.index.json", ".", "../export"])
def test_an_index_of_shards_stands_for_its_folder(tmp_path, monkeypatch, named):
    card = dataclasses.replace(_card(), weights=(Weights(file="net.pt"), Weights(file="net", hub="org/net")))
    folder, shard = _folder(tmp_path / "export"), "model-00001-of-00001.safetensors"
    (folder / "model.safetensors").rename(folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    monkeypatch.chdir(folder)
    done = fetch(card, named)
    assert sorted(path.name for path in done.path.iterdir()) == ["config.json", shard, "model.safetensors.index.json"]
    assert find.find(card) == done.path and done.path.name == "net"
    assert fetch(card, folder / named) == dataclasses.replace(done, trust="pinned")
    (folder / shard).unlink()
    with pytest.raises(CheckpointError, match="1 of the 1 shards it names are not there"):
        fetch(card, folder / named)
    assert find.find(card) == done.path


def test_a_tensor_file_of_a_transformers_folder_stands_for_it(tmp_path):
    folder = _folder(tmp_path / "export")
    done = fetch(dataclasses.replace(_card(), weights=(Weights(file="net"),)), folder / "model.safetensors")
    assert sorted(path.name for path in done.path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_hub_model_is_fetched_into_the_store(monkeypatch):
    asked = []

    def snapshot_download(id, allow_patterns, local_dir):
        asked.append((id, allow_patterns))
        local_dir.mkdir(exist_ok=True)
        (local_dir / ".cache").mkdir(exist_ok=True)
        (local_dir / "config.json").write_text("{}")
        if "pytorch_model.bin" in allow_patterns:
            torch.save({"a": torch.zeros(1)}, local_dir / "pytorch_model.bin")
        return str(local_dir)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    done = fetch(_card(file="net", hub="org/net"))
    assert sorted(path.name for path in done.path.iterdir()) == ["config.json", "pytorch_model.bin"]
    assert asked == [("org/net", ["*.json", name]) for name in ("model.safetensors", "pytorch_model.bin")]


def test_what_lies_in_a_folder_is_enough_and_is_pinned(web, tmp_path):
    (tmp_path / "weights" / "net.pt").write_bytes(CONTENT)
    card = _card(web.put("net.pt", OTHER))
    done = fetch(card)
    assert done.path == tmp_path / "weights" / "net.pt" and done.trust == "first use" and not web.asked
    (tmp_path / "weights" / "net.pt").write_bytes(OTHER)
    with pytest.raises(CheckpointError, match="pinned on first use"):
        fetch(card)


def test_a_damaged_copy_in_the_store_is_fetched_again(web):
    card = _card(web.put("net.pt", CONTENT))
    fetch(card).path.write_bytes(CONTENT[:50])
    with pytest.raises(CheckpointError, match="SHA-256"):
        find.find(card)
    assert fetch(card).path.read_bytes() == CONTENT


def test_a_damaged_copy_gives_way_to_a_file_that_is_registered(tmp_path):
    (tmp_path / "mine.pt").write_bytes(CONTENT)
    fetch(_card(), tmp_path / "mine.pt").path.write_bytes(CONTENT[:50])
    assert fetch(_card(), tmp_path / "mine.pt").path.read_bytes() == CONTENT


def test_a_damaged_table_of_digests_is_named(web, cache):
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "pins.json").write_text("{")
    with pytest.raises(BadInput, match=r"pins\.json: is damaged .*; delete it"):
        fetch(_card(web.put("net.pt", CONTENT)))


def test_other_kinds_of_addresses_are_poochs(monkeypatch):
    def downloader(url):
        def write(url, target, pooch):
            Path(target).write_bytes(CONTENT)

        return write

    monkeypatch.setattr("pooch.downloaders.choose_downloader", downloader)
    assert fetch(_card("doi:10.5281/zenodo.1/net.pt")).path.read_bytes() == CONTENT


def test_two_at_once_download_once(web):
    card = _card(web.put("net.pt", CONTENT))
    done = []
    threads = [threading.Thread(target=lambda: done.append(fetch(card).path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 3 and len(set(done)) == 1 and len(web.asked) == 1


def test_a_page_about_a_file_on_google_drive_stands_for_the_file(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "bench.encoders.weights.fetch.Resumable", lambda progress: lambda url, target: asked.append(url)
    )
    for page in ("file/d/ID_-1/view?usp=sharing", "file/d/ID_-1", "uc?id=ID_-1", "uc?export=download&id=ID_-1"):
        with pytest.raises((CheckpointError, FileNotFoundError)):
            fetch(_card(f"https://drive.google.com/{page}"))
    assert set(asked) == {"https://drive.usercontent.google.com/download?id=ID_-1&export=download&confirm=t"}


def test_nothing_to_fetch_and_no_address():
    with pytest.raises(NothingAsked, match="needs no weights"):
        fetch(dataclasses.replace(_card(), weights=()))
    with pytest.raises(CheckpointError, match=r"no address to download from; .*--from FILE"):
        fetch(_card())
