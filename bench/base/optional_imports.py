"""Packages that may be absent or half there.

Extras give an error that names the extra. torchaudio's native part does not load on some machines (a CPU-only torch
beside a CUDA build of torchaudio); only its pure-Python part is needed here: kaldi mel banks, and transformers' audio
models, which import torchaudio when they are imported. So ``import_torchaudio`` is called before any of these inside
``build``.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from bench.base.errors import NotInstalled


def require(module: str, extra: str) -> ModuleType:
    """The module ``module``, which the extra ``extra`` installs. Raises ``NotInstalled`` where it is not."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        package = module.partition(".")[0]
        raise NotInstalled(package, "is not installed", f"pip install 'respbench[{extra}]'") from error


def import_torchaudio() -> tuple[ModuleType, str]:
    """torchaudio, and ``native`` if its own extension loaded or ``python-only`` if a stand-in took its place.

    Raises ``ModuleNotFoundError`` where torchaudio is not installed at all.
    """
    if loaded := sys.modules.get("torchaudio"):
        return loaded, getattr(sys.modules["torchaudio._extension"], "RESPBENCH_STAND_IN", "native")
    try:
        return importlib.import_module("torchaudio"), "native"
    except ModuleNotFoundError as error:
        if error.name == "torchaudio":
            raise
    except (OSError, ImportError):
        pass
    _forget("torchaudio")
    sys.modules["torchaudio._extension"] = _stand_in()
    try:
        return importlib.import_module("torchaudio"), "python-only"
    except (OSError, ImportError):
        _forget("torchaudio")
        raise


def _forget(name: str) -> None:
    """A failed import leaves submodules behind that would be taken for whole ones."""
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]


def _stand_in() -> ModuleType:
    """``torchaudio._extension`` without a shared library: everything native reports itself as absent."""
    module = ModuleType("torchaudio._extension")
    vars(module).update(
        __path__=[],
        RESPBENCH_STAND_IN="python-only",
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=lambda function: function,
        _load_lib=lambda *_: False,
        _check_cuda_version=lambda: None,
    )
    return module
