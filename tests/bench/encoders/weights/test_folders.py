import json

import pytest
import torch
from safetensors.torch import save_file

from bench.base.errors import CheckpointError
from bench.encoders.weights import find, folders
from bench.encoders.weights.read import load_content

TENSORS = {name: torch.full((2,), float(i)) for i, name in enumerate("abc")}


def sharded(folder, name="model.safetensors", **changes):
    """A folder whose first shard holds a and b, the second c; ``changes`` replace places in the index."""
    stem, _, suffix = name.rpartition(".")
    files = [f"{stem}-0000{i}-of-00002.{suffix}" for i in (1, 2)]
    write = save_file if suffix == "safetensors" else torch.save
    for file, names in zip(files, ("ab", "c"), strict=True):
        write({key: TENSORS[key] for key in names}, folder / file)
    places = {"a": files[0], "b": files[0], "c": files[1]} | changes
    index = folder / f"{name}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 24}, "weight_map": places}))
    return index


@pytest.mark.parametrize("name", folders.FOLDER_FILES)
def test_shards_are_read_as_one_file(name, tmp_path):
    index = sharded(tmp_path, name)
    for path in (tmp_path, index, str(index)):
        content = load_content(path)
        assert content.keys() == TENSORS.keys()
        assert all(torch.equal(tensor, TENSORS[key]) for key, tensor in content.items())
    assert folders.folder_of(index) == folders.folder_of(tmp_path / name) == folders.folder_of(tmp_path) == tmp_path


def test_the_digest_is_of_all_shards(tmp_path):
    sharded(tmp_path)
    before = find.digest(tmp_path)
    (tmp_path / "README.json").write_text("{}")
    assert find.digest(tmp_path) == before
    save_file({"c": torch.ones(2)}, tmp_path / "model-00002-of-00002.safetensors")
    assert find.digest(tmp_path) != before


def test_one_file_comes_before_an_index_and_safetensors_before_pickles(tmp_path):
    sharded(tmp_path, "pytorch_model.bin")
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert [file.name for file in folders.tensor_files(tmp_path)] == ["model.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    sharded(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert {file.suffix for file in folders.tensor_files(tmp_path)} == {".safetensors"}


PARTS = {f"{name}.weight": torch.full((2,), float(i)) for i, name in enumerate(("model.tower.a", "net.b", "tower.c"))}


def in_parts(folder):
    """A folder with a shard for each of ``PARTS``."""
    places = {name: f"model-0000{i}-of-00003.safetensors" for i, name in enumerate(PARTS, start=1)}
    for name, file in places.items():
        save_file({name: PARTS[name]}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return [folder / file for file in places.values()]


def test_of_a_larger_model_only_the_shards_of_the_part_are_needed(tmp_path):
    files = in_parts(tmp_path)
    whole = find.digest(tmp_path)
    files[1].unlink()
    assert load_content(tmp_path, "tower").keys() == {"model.tower.a.weight", "tower.c.weight"}
    assert folders.tensor_files(tmp_path, "tower") == [files[0], files[2]]
    assert find.digest(tmp_path, "tower") != whole
    for part in ("", "net", "tow", "nothing"):  # whole pieces of a name; what is nowhere is no part
        with pytest.raises(CheckpointError, match=r"1 of the . shards it names are not there: model-00002-of-00003"):
            load_content(tmp_path, part)


@pytest.mark.parametrize("write", [save_file, torch.save])
def test_of_one_file_the_tensors_of_the_part_are_kept(tmp_path, write):
    write(PARTS, tmp_path / "net")
    assert load_content(tmp_path / "net", "tower").keys() == {"model.tower.a.weight", "tower.c.weight"}
    assert load_content(tmp_path / "net", "nothing").keys() == PARTS.keys()


def test_of_a_training_checkpoint_all_entries_are_kept(tmp_path):
    torch.save({"state_dict": PARTS, "epoch": 3}, tmp_path / "net.pt")
    assert load_content(tmp_path / "net.pt", "tower").keys() == {"state_dict", "epoch"}


def test_links_of_the_hubs_cache_are_followed(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    sharded(tmp_path / "blobs")
    for file in (tmp_path / "blobs").iterdir():
        (tmp_path / "snapshot" / file.name).symlink_to(f"../blobs/{file.name}")
    assert load_content(tmp_path / "snapshot").keys() == TENSORS.keys()


def test_missing_shards_are_named(tmp_path):
    sharded(tmp_path, c="model-00007-of-00007.safetensors")
    with pytest.raises(CheckpointError, match=r"index\.json: 1 of the 2 shards .* not there: model-00007-of"):
        load_content(tmp_path)


@pytest.mark.parametrize(
    "place", ["../net.safetensors", "/etc/net.safetensors", "a/../../net.safetensors", "..\\net", "C:net", "", "."]
)
def test_an_index_that_leads_out_of_its_folder_is_refused(place, tmp_path):
    (tmp_path / "folder").mkdir()
    save_file({"c": torch.ones(2)}, tmp_path / "net.safetensors")
    sharded(tmp_path / "folder", c=place)
    with pytest.raises(CheckpointError, match="names a shard that leads out of its folder"):
        load_content(tmp_path / "folder")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "\x00"])
def test_what_is_no_index_is_refused(content, tmp_path):
    sharded(tmp_path).write_text(content)
    with pytest.raises(CheckpointError, match="is no index of shards"):
        load_content(tmp_path)


SECOND = "model-00002-of-00002.safetensors"


@pytest.mark.parametrize(
    ("places", "held", "said"),
    [
        ({"d": SECOND}, "c", "00002.safetensors: lacks 1 tensors that its index places in it: d"),
        ({"a": SECOND}, "c", "00001-of-00002.safetensors: holds 1 tensors that its index does not place in it: a"),
        ({"a": SECOND, "c": "model-00001-of-00002.safetensors"}, "c", "00001.*: lacks 1 .* places in it: c"),
        ({}, "ca", "00002.safetensors: holds 1 tensors that its index does not place in it: a"),
        ({}, "cd", "00002.safetensors: holds 1 tensors that its index does not place in it: d"),
        ({}, "d", "00002.safetensors: lacks 1 tensors that its index places in it: c"),
    ],
)
def test_an_index_and_its_shards_must_agree(tmp_path, places, held, said):
    sharded(tmp_path, **places)
    save_file({name: torch.ones(2) for name in held}, tmp_path / SECOND)
    with pytest.raises(CheckpointError, match=said):
        load_content(tmp_path)


def test_a_tensor_is_placed_once(tmp_path):
    index = sharded(tmp_path)
    first = "model-00001-of-00002.safetensors"
    index.write_text(f'{{"weight_map": {{"a": "{first}", "b": "{first}", "c": "{SECOND}", "a": "{SECOND}"}}}}')
    with pytest.raises(CheckpointError, match=r"is no index of shards .*a comes twice"):
        load_content(tmp_path)


def test_two_spellings_of_a_shard_are_one(tmp_path):
    sharded(tmp_path, a="./model-00001-of-00002.safetensors")
    assert load_content(tmp_path).keys() == TENSORS.keys()


def test_an_index_names_shards(tmp_path):
    sharded(tmp_path).write_text('{"weight_map": {}}')
    with pytest.raises(CheckpointError, match="names no shards"):
        load_content(tmp_path)


@pytest.mark.parametrize("shard", ["config.json", "nul\0l.safetensors", "model.safetensors.index.json"])
def test_a_shard_is_a_file_of_tensors(tmp_path, shard):
    sharded(tmp_path, c=shard)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError):
        load_content(tmp_path)


def test_shards_are_fetched_from_the_hub(tmp_path, monkeypatch):
    (tmp_path / "hub").mkdir()
    sharded(tmp_path / "hub")
    asked = []

    def snapshot_download(id, allow_patterns, local_dir):
        asked.append(allow_patterns)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert find.from_hub("org/net") == tmp_path / "hub"
    files = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert asked == [["*.json", "model.safetensors"], ["*.json", *files]]


def test_the_shards_of_a_part_are_fetched_from_the_hub(tmp_path, monkeypatch):
    in_parts(tmp_path)
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download",
        lambda id, allow_patterns, local_dir: (asked.append(allow_patterns), str(tmp_path))[1],
    )
    assert find.from_hub("org/net", part="tower") == tmp_path
    assert asked[-1] == ["*.json", "model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"]


LONG = {
    "deep list": "[" * 100_000,
    "deep index": '{"weight_map": ' * 50_000,
    "name": '{"weight_map": {"a": "' + "x" * 5000 + '"}}',
}


@pytest.mark.parametrize("kind", LONG)
def test_an_index_that_no_reader_can_follow_is_refused(tmp_path, kind):
    (tmp_path / "model.safetensors.index.json").write_text(LONG[kind])
    with pytest.raises(CheckpointError, match=r"is no index of shards|are not there"):
        folders.tensor_files(tmp_path)
