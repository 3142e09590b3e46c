"""Small JSON tables in the cache folder: what was pinned, what was agreed to. Replaced whole, under a lock."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from bench.base.errors import BadInput
from bench.base.paths import cache_root, parse_json, write_text

LOCK_S = 60.0  # longest wait for another process


class CacheTable:
    """The table ``name`` in the cache: {key: JSON value}, shared by every process of this user."""

    def __init__(self, name: str):
        self.path = cache_root() / name

    def read(self) -> dict:
        """The whole table; empty where there is none.

        Raises ``BadInput`` for a file that cannot be read or is not such a table.
        """
        try:
            table = parse_json(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
            raise BadInput(self.path, problem, "see to its permissions, or set RESPBENCH_CACHE") from error
        except ValueError as error:
            raise BadInput(self.path, f"is damaged ({error})", "delete it; what it held is asked for anew") from error
        if not isinstance(table, dict):
            raise BadInput(self.path, "is not a table", "delete it; what it held is asked for anew")
        return table

    def put(self, key: str, value: object) -> None:
        """Sets one entry.

        A cache that cannot be written, or a table in it that cannot be read, gives a warning: the work at hand can go
        on without it.
        """
        from filelock import FileLock, Timeout

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=LOCK_S):
                table = self.read() | {key: value}
                write_text(self.path, json.dumps(table, indent=1, sort_keys=True, ensure_ascii=False))
        except (OSError, Timeout) as error:
            warnings.warn(f"{self.path} cannot be written ({error}), so {key!r} is not remembered", stacklevel=2)
        except BadInput as error:
            warnings.warn(f"{key!r} is not remembered: {error}", stacklevel=2)


def folder(*parts: str) -> Path:
    """A folder of the cache, created where it is not there.

    Raises ``BadInput`` where the cache cannot be written.
    """
    path = cache_root().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(path, f"cannot be made ({error})", "set RESPBENCH_CACHE to a folder of yours") from error
    return path
