"""An object that every worker loads once, however many units of work refer to it."""

from __future__ import annotations

import hashlib
import os
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from bench.base.errors import BadInput
from bench.base.optional_imports import import_torchaudio
from bench.base.parallel.locks import kernel_lock
from bench.base.paths import replacing
from bench.base.tables import cached

if TYPE_CHECKING:
    from filelock import BaseFileLock

T = TypeVar("T")

_loading = Lock()
_latest: tuple[str, object] = ("", None)  # what this worker loaded last: one object at a time, they can be large


class Shared(Generic[T]):
    """Wraps an object for units of work: the same object in this process, a copy from a file in others.

    The file is written when the first unit leaves the process, is readable by its user alone, and is checked against
    its digest before it is loaded. ``remove`` deletes it. While the process that wrote it lives, it holds a lock of the
    file's name (``lock_of``), so that what a killed process left can be told from what is in use.

    Parameters
    ----------
    value
        Anything that cloudpickle can pickle.
    """

    def __init__(self, value: T):
        self._value: T | None = value
        self._token, self._digest, self._needs_torchaudio = uuid.uuid4().hex, "", False
        self._lock: BaseFileLock | None = None

    @property
    def value(self) -> T:
        """The object. Raises ``BadInput`` where its file is gone or another."""
        global _latest
        if self._value is not None:
            return self._value
        with _loading:
            if _latest[0] != self._token:
                _latest = self._token, self._loaded()
            return _latest[1]  # type: ignore[return-value]

    def _loaded(self) -> object:
        import cloudpickle

        try:
            content = self._path.read_bytes()
        except OSError as error:
            raise BadInput(self._path, f"cannot be read ({error})", "give workers the same cache folder") from error
        if hashlib.sha256(content).hexdigest() != self._digest:
            raise BadInput(self._path, "is not what was written", "run the command again")
        if self._needs_torchaudio:
            import_torchaudio()  # before transformers does, in a process that has none of this one's mending
        return cloudpickle.loads(content)

    def remove(self) -> None:
        """Deletes the file, if there is one."""
        if self._digest:
            self._path.unlink(missing_ok=True)
        if self._lock:
            self._lock.release()
            lock_of(self._path).unlink(missing_ok=True)
            self._lock = None

    @property
    def _path(self) -> Path:
        return cached.folder("shared") / f"{self._token}.pickle"

    def __getstate__(self) -> dict:
        if not self._digest:
            import cloudpickle

            content = cloudpickle.dumps(self._value)
            self._hold()
            with replacing(self._path) as partial, open(partial, "xb", opener=_for_the_user_alone) as file:
                file.write(content)
            self._digest = hashlib.sha256(content).hexdigest()
        state = {"_value": None, "_token": self._token, "_digest": self._digest, "_lock": None}
        return state | {"_needs_torchaudio": "torchaudio" in sys.modules}

    def _hold(self) -> None:
        """Takes the lock, where the file system has locks."""
        self._lock = kernel_lock(lock_of(self._path))  # pickled by one thread, removed by another
        with suppress(OSError, NotImplementedError):
            self._lock.acquire(timeout=0)


def lock_of(path: Path) -> Path:
    """The lock that the process that wrote a shared file holds while it lives."""
    return path.with_suffix(".lock")


def _for_the_user_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
