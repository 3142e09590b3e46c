"""What training checkpoints hold beside tensors is read, and still nothing of a file is run."""

import argparse
import collections
import enum
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch

from bench.base.errors import CheckpointError
from bench.encoders.weights import read
from bench.encoders.weights.files import harmless
from foreign_classes import foreign

CALLBACK = "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
FORMS = ["zip", "legacy"]


@pytest.fixture
def saved(tmp_path):
    def save(content, form="zip"):
        torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=form == "zip")
        return tmp_path / "net.pt"

    return save


@pytest.fixture
def pickled_as(tmp_path):
    """Writes an archive of torch's around a pickle of one's own."""

    def write(stream: bytes):
        with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
            for name, content in (("data.pkl", stream), ("version", b"3\n"), ("byteorder", b"little")):
                archive.writestr(f"net/{name}", content)
        return tmp_path / "net.pt"

    return write


def panns():
    """Entries as in ``Cnn14_16k_mAP=0.438.pth``."""
    indexes = [np.array([4, 0, 2]), np.array([], np.int64)]
    sampler = {"indexes_per_class": indexes, "queue": [1, 0], "pointers_of_classes": [2, 0]}
    return {"iteration": 3, "model": {"w": torch.arange(3.0)}, "sampler": sampler}


@pytest.mark.parametrize("core", ["core", "_core"])
def test_panns_as_released_is_read_under_either_name_of_numpys_core(saved, core):
    path = saved(panns(), "legacy")
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multi", f"numpy.{core}.multi".encode()))
    content = read.load_content(path)
    assert [array.values.tolist() for array in content["sampler"]["indexes_per_class"]] == [[4, 0, 2], []]
    assert content["sampler"]["queue"] == [1, 0] and content["iteration"] == 3
    assert torch.equal(read.load_tensors(path, "w", entry="model")["w"], torch.arange(3.0))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code", [*"?bhilqBHILQefdFD", ">f4", ">i8", ">c16"])
def test_arrays_and_scalars_of_numbers_are_what_they_were(saved, form, code):
    values = np.arange(6).astype(code).reshape(2, 3)
    content = {"a": values, "column": np.asfortranarray(values), "point": values[1, 1], "none": values[:0]}
    read_ = read.load_content(saved(content | {"nought": np.array(5, code)}, form))
    for name in ("a", "column", "none", "nought"):
        expected = np.asarray(content.get(name, np.array(5, code)))
        np.testing.assert_array_equal(read_[name].values, expected)
        assert read_[name].values.dtype == expected.dtype.newbyteorder("=")
    assert read_["point"] == values[1, 1] and read_["point"].dtype == values.dtype.newbyteorder("=")


def test_a_network_of_arrays_is_a_network_of_tensors(saved):
    tensors = {"a.weight": np.ones((2, 3), ">f4"), "a.bias": torch.zeros(2)}
    found = read.load_tensors(saved({"model": tensors}), "a.weight")
    assert found["a.weight"].dtype == torch.float32 and torch.equal(found["a.weight"], torch.ones(2, 3))
    assert torch.equal(found["a.bias"], torch.zeros(2))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([print, {}]), "O8"),
        (np.array(["a"]), "U1"),
        (np.array([b"a"]), "S1"),
        (np.array([(1, 2.0)], "i4,f8"), "V12"),
        (np.array(["2020-01-01"], "M8[D]"), "M8"),
        (np.datetime64("2020-01-01"), "M8"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_numpy_values_that_are_no_numbers_are_refused(saved, values, kind, form):
    with pytest.raises(CheckpointError, match=rf"numpy values that are no numbers \({kind}\).*torch\.from_numpy"):
        read.load_content(saved({"a": values}, form))


def frameworks():
    """(names of classes, what a checkpoint holds of them, given them)."""
    yield (CALLBACK,), lambda kind: {"callbacks": {kind: {"best_model_score": torch.ones(())}}, "type": kind}
    yield ("lightning.pytorch.callbacks.timer.Timer",), lambda kind: {"callbacks": {kind: {}}}
    yield ("omegaconf.dictconfig.DictConfig", "omegaconf.base.Metadata"), _configuration
    yield ("fairseq.data.dictionary.Dictionary",), lambda kind: {"dictionaries": [_with(kind, count=[3])]}


def _with(kind, **state):
    made = kind()
    made.__dict__ |= state
    return made


def _configuration(config, metadata):
    told = _with(metadata, ref_type=dict, element_type=int, flags=collections.defaultdict(dict, a={"b": 1}))
    return {"hyper_parameters": _with(config, _metadata=told, _content={"lr": 1e-3})}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("names", "content"), list(frameworks()))
def test_what_frameworks_save_is_passed_over(saved, form, names, content):
    with foreign(*names) as kinds:
        path = saved({"state_dict": {"w": torch.ones(2)}, "epoch": 3} | content(*kinds), form)
        known = set(sys.modules)
    read_ = read.load_content(path)
    assert torch.equal(read_["state_dict"]["w"], torch.ones(2)) and read_["epoch"] == 3
    assert not any(name.partition(".")[0] == names[0].partition(".")[0] for name in set(sys.modules) - known)
    assert list(read.load_tensors(path, "w")) == ["w"]


def test_a_real_configuration_is_passed_over(saved):
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"lr": 1e-3, "layers": [1, 2], "net": {"name": "a", "none": None}})
    content = read.load_content(saved({"state_dict": {"w": torch.ones(2)}, "cfg": config}))
    assert isinstance(content["cfg"], harmless.StandIn)


@pytest.mark.parametrize("form", FORMS)
def test_dictionaries_of_frameworks_keep_their_items(saved, form):
    with foreign("pytorch_lightning.utilities.parsing.AttributeDict", base=dict) as (kind,):
        path = saved({"hyper_parameters": kind(lr=1e-3), "seen": collections.defaultdict(list, a=[1])}, form)
    content = read.load_content(path)
    assert content == {"hyper_parameters": {"lr": 1e-3}, "seen": {"a": [1]}}


@pytest.mark.parametrize("form", FORMS)
def test_paths_versions_and_enumerations_are_passed_over(saved, form):
    with foreign("fairseq.data.modality") as _:
        sys.modules["fairseq.data"].Modality = enum.Enum("Modality", "IMAGE", module="fairseq.data")
        content = {"mode": sys.modules["fairseq.data"].Modality.IMAGE, "dir": Path("runs"), "of": PurePosixPath("a/b")}
        path = saved(content | {"torch": torch.__version__, "w": torch.ones(2)}, form)
    read_ = read.load_content(path)
    assert torch.equal(read_["w"], torch.ones(2))
    assert all(isinstance(read_[name], harmless.StandIn) for name in ("mode", "dir", "of", "torch"))


@pytest.mark.parametrize(("base", "items"), [(list, [1, 2]), (list, [1]), (dict, {"a": 1}), (dict, {"a": 1, "b": 2})])
def test_lists_and_dictionaries_of_frameworks_classes_are_not_called_damaged(saved, base, items):
    with foreign("fairseq.A", base=base) as (kind,):
        path = saved({"kept": kind(items)})
    with pytest.raises(
        CheckpointError, match=r"holds a list or a dictionary of the class fairseq\.A.*save its tensors"
    ):
        read.load_content(path)


def test_an_array_alone_is_called_so(saved):
    with pytest.raises(CheckpointError, match="holds a numpy array, not named tensors"):
        read.load_content(saved(np.ones(2)))


def test_classes_stay_apart_as_keys(saved):
    with foreign(CALLBACK, "pytorch_lightning.callbacks.early_stopping.EarlyStopping") as (one, other):
        path = saved({"callbacks": {one: {"a": 1}, other: {"a": 2}}})
    assert [value["a"] for value in read.load_content(path)["callbacks"].values()] == [1, 2]


def test_a_stand_in_answers_no_question(saved):
    with foreign(CALLBACK) as (kind,):
        path = saved({"deep_norm": kind()})
    with pytest.raises(TypeError, match="ModelCheckpoint of the file is no truth value here"):
        bool(read.load_content(path)["deep_norm"])


def test_nor_does_an_array_or_a_type_of_numpy(saved):
    content = read.load_content(saved({"deep_norm": np.array(False), "type": np.dtype("f4")}))
    for name in ("deep_norm", "type"):
        with pytest.raises(TypeError, match="no truth value"):
            bool(content[name])


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [os.system, eval, getattr, subprocess.Popen, __import__])
@pytest.mark.parametrize("where", ["last", "first", "state", "argument", "item", "array"])
def test_what_could_act_is_refused_wherever_it_hides(saved, tmp_path, monkeypatch, form, function, where):
    monkeypatch.chdir(tmp_path)
    evil = Call(function, "touch executed")
    with foreign(CALLBACK) as (kind,):
        content = panns() | {"callbacks": {kind: {}}, "args": argparse.Namespace(lr=1.0), "best": np.float64(1)}
        match where:
            case "last":
                content |= {"evil": evil}
            case "first":
                content = {"evil": evil} | content
            case "state":
                content |= {"callback": _with(kind, evil=evil)}
            case "argument":
                content |= {"seen": Call(collections.defaultdict, evil)}
            case "item":
                content |= {"seen": collections.defaultdict(list, a=evil)}
            case "array":
                content |= {"evil": np.array([evil, None])}
        path = saved(content, form)
    with pytest.raises(CheckpointError, match=r"asks to build or call|numpy values that are no numbers"):
        read.load_content(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name",
    ["pytorch_lightning_x.callbacks.A", "omegaconfs.A", "x.fairseq.A", "numpy.random.mtrand.RandomState",
     "numpy.core.multiarray.fromfile", "collections.namedtuple", "datetime.datetime", "torch.load", "pickle.loads"],
)  # fmt: skip
def test_names_that_only_resemble_known_ones_are_refused(pickled_as, name):
    module, _, own = name.rpartition(".")
    path = pickled_as(f"\x80\x02}}X\x01\x00\x00\x00ac{module}\n{own}\ns.".encode("latin-1"))
    with pytest.raises(CheckpointError, match=f"asks to build or call {name}"):
        read.load_content(path)


TEXT = b"X\x0e\x00\x00\x00touch executed"


@pytest.mark.parametrize("call", [b"\x85R", b"\x85\x81"])  # as a function, as a class
def test_a_known_package_is_neither_imported_nor_called(pickled_as, tmp_path, monkeypatch, call):
    (tmp_path / "omegaconf").mkdir()
    (tmp_path / "omegaconf" / "__init__.py").write_text("from os import system\nsystem('touch executed')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "omegaconf"]:
        monkeypatch.delitem(sys.modules, name)
    content = read.load_content(pickled_as(b"\x80\x02}X\x01\x00\x00\x00acomegaconf\nsystem\n" + TEXT + call + b"s."))
    assert isinstance(content["a"], harmless.StandIn)
    assert "omegaconf" not in sys.modules and not (tmp_path / "executed").exists()


ONE = b"X\x01\x00\x00\x00a"
STAND_IN = b"comegaconf\nA\n"
NOTHING = b"N" * 4


@pytest.mark.parametrize(
    "value",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + STAND_IN + b")RK\x00)))N" + b"tR",
        b"ctorch._utils\n_rebuild_parameter\n(" + STAND_IN + b")R\x88)tR",
        b"ctorch.nn.parameter\nParameter\n" + STAND_IN + b")R\x85R",
        b"ctorch._tensor\n_rebuild_from_type_v2\n(" + STAND_IN + b"ctorch\nTensor\n)}tR",
        b"ctorch\nTensor\n" + STAND_IN + b")R\x85R",
        STAND_IN + b")R)R",  # an object that is called
        b"ctorch\nTensor\n" + STAND_IN + b")Rb",  # as a class's state
        STAND_IN + b")R(" + ONE + b"K\x01u",  # an object whose items are set
        STAND_IN + b")R(K\x01e",  # an object that is appended to
        b"cnumpy\ndtype\n)\x81" + b"X\x01\x00\x00\x00<\x85b",  # a type without a code
        b"cnumpy.core.multiarray\nscalar\n" + STAND_IN + b")R" + ONE + b"\x86R",
        b"cnumpy\nndarray\n)\x81(K\x01K\x02\x85" + STAND_IN + b")R\x89" + ONE + b"tb",
    ],
)
def test_no_tensor_is_made_of_a_stand_in_and_no_array_of_something_else(pickled_as, value):
    with pytest.raises(CheckpointError):
        read.load_content(pickled_as(b"\x80\x02}" + ONE + value + b"s."))


@pytest.mark.parametrize("shape", ["(3,)", "(1, 3)", "(-5,)", "'ab'", "(2.0,)"])
def test_an_array_that_is_not_as_long_as_its_shape_says_is_refused(pickled_as, shape):
    state = (1, eval(shape), np.dtype("i8"), False, bytes(16))
    stream = pickle.dumps({"a": state}, protocol=2)
    opened = stream.replace(b"X\x01\x00\x00\x00a", b"X\x01\x00\x00\x00acnumpy\nndarray\n)\x81", 1)
    end = opened.rindex(b"s.")
    with pytest.raises(CheckpointError):
        read.load_content(pickled_as(opened[:end] + b"bs."))


@pytest.mark.parametrize("damage", ["cut short", "changed"])
def test_a_damaged_file_is_told_to_be_damaged(saved, damage):
    with foreign(CALLBACK) as (kind,):
        path = saved(panns() | {"callback": kind()}, "legacy" if damage == "cut short" else "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] if damage == "cut short" else whole.replace(b"iteration", b"iterati\xf1n"))
    with pytest.raises(CheckpointError, match="damaged, cut short") as error:
        read.load_content(path)
    assert "safe_globals" not in str(error.value)  # torch advises to allow what it refused


def test_bytes_are_made_of_nothing_alone(pickled_as):
    assert read.load_content(pickled_as(b"\x80\x02}" + ONE + b"c__builtin__\nbytes\n)Rs.")) == {"a": b""}
    with pytest.raises(CheckpointError):
        read.load_content(pickled_as(b"\x80\x02}" + ONE + b"c__builtin__\nbytes\n" + ONE + b"\x85Rs."))


def test_what_a_program_allows_itself_stays_allowed(saved):
    with torch.serialization.safe_globals([argparse.Namespace]):
        read.load_content(saved(panns()))
        assert argparse.Namespace in torch.serialization.get_safe_globals()


def test_allowances_do_not_outlast_the_reading(saved):
    path, before = saved(panns()), torch.serialization.get_safe_globals()
    read.load_content(path)
    assert set(torch.serialization.get_safe_globals()) == set(before)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
