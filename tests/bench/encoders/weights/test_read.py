import argparse
import datetime
import functools
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.base.errors import CheckpointError
from bench.encoders.weights import read
from bench.encoders.weights.folders import FOLDER_FILES


def test_reads_torch_safetensors_and_folders(tmp_path):
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors, tmp_path / "net.pt")
    save_file(tensors, tmp_path / "model.safetensors")
    for path in (tmp_path / "net.pt", tmp_path / "model.safetensors", tmp_path):
        assert torch.equal(read.load_content(path)["a"], tensors["a"])


NAMES = ["net.pt", "net.safetensors", "net.bin", "net.ckpt", "net.zip", "net", "pytorch_model.bin", "model.safetensors"]


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("name", NAMES)
def test_the_content_tells_what_a_file_is_and_not_its_name(tmp_path, form, name):
    tensors = {"a": torch.arange(3.0), "b.c": torch.ones(2, 2)}
    _write(tensors, tmp_path / name, form)
    read_ = read.load_content(tmp_path if name in FOLDER_FILES else tmp_path / name)
    assert read_.keys() == tensors.keys() and all(torch.equal(read_[k], v) for k, v in tensors.items())


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickles_that_torch_did_not_write_are_called_so(tmp_path, name, protocol):
    for value, told in (
        (torch.arange(3.0), "pickle that torch.save did not write"),
        (np.arange(3.0), "holds numpy arrays.*torch.from_numpy"),
    ):
        (tmp_path / name).write_bytes(pickle.dumps({"a": value}, protocol=protocol))
        with pytest.raises(CheckpointError, match=told):
            read.load_content(tmp_path / name)


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("protocol", [4, 5])
def test_other_protocols_of_torch_are_called_so(tmp_path, form, protocol):
    torch.save({"a": torch.ones(2)}, tmp_path / "net.pt", pickle_protocol=protocol,
               _use_new_zipfile_serialization=form == "zip")  # fmt: skip
    with pytest.raises(CheckpointError, match=f"is a pickle of protocol {protocol}"):
        read.load_content(tmp_path / "net.pt")


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize(
    ("members", "told"),
    [
        (("sys_info", "pickle", "tensors", "storages"), "format of torch before 0.2"),
        (("release/net.pt",), "is a tar archive; unpack it"),
    ],
)
@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_archives_are_told(tmp_path, name, members, told, kind):
    with tarfile.open(tmp_path / name, "w", format=kind) as archive:
        for member in members:
            archive.addfile(tarfile.TarInfo(member))
    with pytest.raises(CheckpointError, match=told):
        read.load_content(tmp_path / name)


def test_torchs_advice_to_switch_the_check_off_is_not_handed_on(tmp_path):
    member = tarfile.TarInfo("storages")
    head = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    head[257:265] = bytes(8)  # tar archives of the oldest kind have no mark of theirs
    head[148:156] = b"%06o\0 " % (sum(head[:148]) + 8 * ord(" ") + sum(head[156:]))
    (tmp_path / "net.pt").write_bytes(head + bytes(1024))
    with pytest.raises(CheckpointError, match=r"legacy \.tar format") as error:
        read.load_content(tmp_path / "net.pt")
    assert "set to `False`" not in str(error.value)


def test_archives_of_numpy_are_told(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.ones(2))
    with pytest.raises(CheckpointError, match=r"is an archive of numpy arrays.*safetensors.numpy.save_file"):
        read.load_content(tmp_path / "net.npz")


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "looks like a web page"),
        (b"\n<!DOCTYPE html>\n<html>", "looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "is a Git LFS pointer"),
        (b"Not Found", "is a text file"),
        (b"PK\x03\x04 cut short", "is cut short"),
        (b"\x1f\x8b\x08 something", "is a compressed archive"),
        (b"\x89HDF\r\n", "is an HDF5 file"),
        (b"GGUF\x03\0\0\0" + bytes(99), "is a GGUF file"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "is a 7z archive"),
        (b"\x93NUMPY\x01\0" + bytes(99), "is one numpy array"),
        (b"\x1c\0\0\0TFL3" + bytes(99), r"is a program \(ONNX, TFLite\)"),
        (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:" + bytes(99), r"is a program \(ONNX, TFLite\)"),
        ((9000).to_bytes(8, "little") + b'{"a": ', "cannot be read .* cut short"),
        (bytes(range(256)) * 20, "cannot be read as tensors"),
    ],
)
def test_what_is_not_weights_is_named_for_what_it_is(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: {told}"):
        read.load_content(tmp_path / name)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, form, share):
    path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pt")
    _write({"a": torch.arange(5000.0)}, path, form)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="cut short"):
        read.load_content(path)


def _write(content, path, form):
    if form == "safetensors":
        save_file(content, path)
    elif form.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


class Evil:
    """Runs a command when it is unpickled by an unguarded reader."""

    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle0", "pickle1", "pickle2", "pickle3", "pickle4", "pickle5"])
@pytest.mark.parametrize("name", ["net.pt", "pytorch_model.bin"])
def test_a_file_that_would_run_code_is_refused_and_nothing_is_run(tmp_path, monkeypatch, form, name):
    monkeypatch.chdir(tmp_path)
    _write({"state_dict": {}, "callback": Evil()}, tmp_path / name, form)
    with pytest.raises(CheckpointError, match=r"asks to build or call posix\.system.*safetensors") as error:
        read.load_content(tmp_path if name.endswith("bin") else tmp_path / name)
    assert not (tmp_path / "executed").exists()
    assert "weights_only" not in str(error.value)  # torch advises to switch the check off
    torch.load(tmp_path / name, weights_only=False) if form in ("zip", "legacy") else pickle.loads(
        (tmp_path / name).read_bytes()
    )
    assert (tmp_path / "executed").exists()  # it was no dud


@pytest.mark.parametrize(
    ("thing", "named"),
    [
        (print, "print"),
        (functools.partial(print), r"functools\.partial"),
        (datetime.timedelta(1), r"datetime\.timedelta"),
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
    ],
)
def test_what_else_a_file_may_ask_for_is_refused_by_name(tmp_path, thing, named):
    torch.save({"a": thing}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=f"build or call .*{named}"):
        read.load_content(tmp_path / "net.pt")


def test_what_released_training_checkpoints_hold_beside_tensors_is_read(tmp_path):
    content = {
        "model": {"w": torch.arange(3.0)},
        "args": argparse.Namespace(lr=1e-3, layers=[1, 2]),
        "best": np.float64(0.5),
        "epoch": np.int64(3),
        "flag": np.bool_(True),
    }
    for form in ("zip", "legacy"):
        _write(content, tmp_path / "net.pt", form)
        content_read = read.load_content(tmp_path / "net.pt")
        assert content_read["args"].lr == 1e-3 and content_read["best"] == 0.5
        assert content_read["epoch"] == 3 and content_read["flag"]
        assert torch.equal(content_read["model"]["w"], content["model"]["w"])
    with pytest.raises(pickle.UnpicklingError):  # the allowance does not outlast the reading
        torch.load(tmp_path / "net.pt", weights_only=True)


def test_archives_and_programs_are_told_from_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("release/checkpoint.pth", b"weights")
    with pytest.raises(CheckpointError, match="archive that torch did not write; unpack it"):
        read.load_content(tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/data.pkl", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read.load_content(tmp_path / "net.pt")


@pytest.mark.parametrize("seed", range(20))
def test_damage_never_shows_as_anything_else(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for form in ("zip", "legacy", "safetensors"):
        path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pt")
        _write({"a": torch.arange(50.0)}, path, form)
        content = bytearray(path.read_bytes())
        for at in rng.integers(len(content), size=4):
            content[at] = rng.integers(256)
        path.write_bytes(content)
        try:
            read.load_content(path)  # a changed value is for the digest to find
        except CheckpointError as error:
            assert "weights_only" not in str(error)


def test_empty_folder_and_lists_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds neither"):
        read.load_content(tmp_path)
    torch.save([torch.zeros(1)], tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        read.load_content(tmp_path / "net.pt")


@pytest.mark.parametrize("name", ["own.pt", "own.safetensors"])
def test_tensors_of_other_parts_are_there_by_name_alone(tmp_path, name):
    tensors = {"net.tower.a": torch.ones(2), "net.head.b": torch.ones(3), "c": torch.ones(4)}
    (save_file if name.endswith("safetensors") else torch.save)(tensors, tmp_path / name)
    found = read.load_tensors(tmp_path / name, "a", prefixes=["tower."], part="tower")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "a": (2,), "unread/c": (0,), "unread/head.b": (0,)
    }  # fmt: skip
    assert read.load_content(tmp_path / name, "tower").keys() == {"net.tower.a"}
