import collections
import io
import pickle

import numpy as np
import pytest
import torch

from bench.encoders.weights.files.pickles import asked_for, pickled


@pytest.mark.parametrize("protocol", range(6))
def test_names_are_read_in_every_protocol(protocol):
    stream = pickle.dumps([collections.Counter, np.float64(1), "x" * 300, collections.Counter], protocol=protocol)
    names = asked_for(io.BytesIO(stream))
    assert names[0] == "collections.Counter" and len(names) == len(set(names))
    assert "numpy._core.multiarray.scalar" in names and "numpy.dtype" in names


def test_builtins_have_their_names_of_today():
    names = asked_for(io.BytesIO(pickle.dumps([int, str, dict, list, eval], protocol=2)))
    assert names == ["builtins.int", "builtins.str", "builtins.dict", "builtins.list", "builtins.eval"]


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_files_of_torch_are_known(tmp_path, form):
    torch.save({"a": torch.ones(3), "n": np.float64(1)}, tmp_path / "x", _use_new_zipfile_serialization=form == "zip")
    protocol, asked, by_torch = pickled(tmp_path / "x")
    assert (protocol, by_torch) == (2, True)
    assert {"torch.FloatStorage", "numpy._core.multiarray.scalar"} <= set(asked)


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"PK\x03\x04 cut", b"not a pickle", bytes(range(256)), b"\x80\x02X\xff\xff\xff\xffa"]
)
def test_what_is_no_pickle_asks_for_nothing(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert pickled(tmp_path / "x").asked == [] and not pickled(tmp_path / "x").by_torch
    (tmp_path / "y").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    assert pickled(tmp_path / "y") == (4, [], False)
