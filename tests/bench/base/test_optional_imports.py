import importlib
import sys
import types

import pytest

from bench.base import optional_imports


def test_kaldi_part_is_usable_and_the_answer_is_stable():
    torchaudio, how = optional_imports.import_torchaudio()
    assert how in ("native", "python-only")
    assert optional_imports.import_torchaudio() == (torchaudio, how)
    assert importlib.import_module("torchaudio.compliance.kaldi").fbank


def _without_torchaudio(monkeypatch):
    optional_imports.import_torchaudio()
    for name in [m for m in sys.modules if m == "torchaudio" or m.startswith("torchaudio.")]:
        monkeypatch.delitem(sys.modules, name)


def test_stand_in_replaces_only_a_native_part_that_fails(monkeypatch):
    _without_torchaudio(monkeypatch)
    whole, answers = types.ModuleType("torchaudio"), [OSError("libc10_cuda.so: cannot open shared object file")]

    def load(name):
        if answers:
            sys.modules["torchaudio._half"] = types.ModuleType("torchaudio._half")
            raise answers.pop()
        return whole

    monkeypatch.setattr(optional_imports.importlib, "import_module", load)
    assert optional_imports.import_torchaudio() == (whole, "python-only")
    assert "torchaudio._half" not in sys.modules
    assert sys.modules["torchaudio._extension"]._IS_TORCHAUDIO_EXT_AVAILABLE is False


def test_native_part_is_preferred(monkeypatch):
    _without_torchaudio(monkeypatch)
    whole = types.ModuleType("torchaudio")
    monkeypatch.setattr(optional_imports.importlib, "import_module", lambda name: whole)
    assert optional_imports.import_torchaudio() == (whole, "native")


def test_absent_torchaudio_says_so(monkeypatch):
    _without_torchaudio(monkeypatch)

    def load(name):
        raise ModuleNotFoundError("No module named 'torchaudio'", name="torchaudio")

    monkeypatch.setattr(optional_imports.importlib, "import_module", load)
    with pytest.raises(ModuleNotFoundError, match="torchaudio"):
        optional_imports.import_torchaudio()
