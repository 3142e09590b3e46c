"""One file over HTTP that goes on where it was interrupted.

What has come in lies beside the target as ``<name>.<digest of the address>.part``, with a JSON file that remembers the
server's validators (ETag, Last-Modified) and the length. It is continued only where the server confirms by
``If-Range`` that it still has the same file; any doubt starts from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import CheckpointError
from bench.base.progress import Progress, silent

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_S = (15.0, 60.0)  # to connect; between two pieces
ATTEMPTS = 5  # continuations of one download, each of which must have brought something
PIECE = 1 << 14  # bytes; as many at most are lost where a connection breaks
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Origin:
    """What a server said of the file that a part belongs to; ``total`` in bytes, None where it did not say."""

    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """What ``If-Range`` takes: a strong ETag, else the date; empty where there is neither."""
        return self.modified if self.etag.startswith("W/") or not self.etag else self.etag

    @classmethod
    def of(cls, response: Response, total: int | None) -> Origin:
        """What the headers of an answer say."""
        return cls(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""), total)


class Part:
    """What there is of one address's file."""

    def __init__(self, target: Path, url: str):
        name = f"{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:12]}.part"
        self.path, self.notes = target.with_name(name), target.with_name(name + ".json")

    @property
    def size(self) -> int:
        """Bytes that have come in."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def origin(self) -> Origin | None:
        """None where it is not known what the part belongs to."""
        try:
            return Origin(**json.loads(self.notes.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """An empty part of a new file; the notes first, so that no bytes are ever taken for another file's."""
        self.discard()
        self.notes.write_text(json.dumps(asdict(origin)))
        self.path.touch()

    def discard(self) -> None:
        """Deletes the part and its notes."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


class Resumable:
    """A downloader with pooch's interface: called with an address and a target path, it writes the target whole.

    Raises ``CheckpointError`` for an address that does not answer, refuses, or breaks off without getting anywhere;
    what came in stays for the next call.
    """

    def __init__(self, progress: Progress = silent):
        self.progress = progress

    def __call__(self, url: str, output_file: str | Path, pooch: object = None) -> None:
        """Writes the file at ``url`` to ``output_file``; ``pooch`` is there for its interface and unused."""
        import requests

        target = Path(output_file)
        part = Part(target, url)
        for attempt in range(1, ATTEMPTS + 1):
            before = part.size
            try:
                self._continue(url, part)
                break
            except requests.RequestException as error:
                if attempt == ATTEMPTS or part.size <= before:
                    kept = f" after {part.size} bytes, which are kept" if part.size else ""
                    raise CheckpointError(url, f"{_reason(error)}{kept}", "check the network and ask again") from error
        part.path.replace(target)
        part.discard()

    def _continue(self, url: str, part: Part) -> None:
        """Brings the part to its full length, from its present end if the server agrees, else from the beginning."""
        import requests

        origin = part.origin or Origin()
        if origin.total is not None and part.size == origin.total:
            return
        headers = {"Accept-Encoding": "identity"} | _authorisation(url)
        begin = part.size if origin.validator else 0
        asked = headers | ({"Range": f"bytes={begin}-", "If-Range": origin.validator} if begin else {})
        with _answer(url, asked) as response:
            if response.status_code == 206 and _continues(response, begin, origin):
                return self._receive(response, part, begin, origin.total)
            if response.status_code == 200:
                return self._begin(response, part)
        with _answer(url, headers) as response:  # another range than asked for, or none: from the beginning
            if response.status_code != 200:
                raise requests.RequestException(f"answers HTTP {response.status_code} where 200 is due")
            self._begin(response, part)

    def _begin(self, response: Response, part: Part) -> None:
        encoded = response.headers.get("Content-Encoding", "identity") != "identity"
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() and not encoded else None
        part.begin(Origin(total=total) if encoded else Origin.of(response, total))
        self._receive(response, part, 0, total)

    def _receive(self, response: Response, part: Part, begin: int, total: int | None) -> None:
        import requests

        label = f"{part.path.name.rsplit('.', 2)[0]} (MB)"
        with part.path.open("ab") as stream, _megabytes(self.progress, label, begin, total) as tick:
            for piece in response.iter_content(PIECE):
                stream.write(piece)
                tick(len(piece))
        if total is not None and part.size < total:
            raise requests.ConnectionError(f"broke off at {part.size} of {total} bytes")
        if total is not None and part.size > total:
            part.discard()
            raise requests.RequestException(f"sent more than the {total} bytes that it announced")


def _continues(response: Response, begin: int, origin: Origin) -> bool:
    """Whether a partial answer is the rest of the same file; some servers send one whatever ``If-Range`` says."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not span or int(span[1]) != begin or response.headers.get("ETag", origin.etag) != origin.etag:
        return False
    return origin.total is None or span[2] == str(origin.total)


@contextmanager
def _answer(url: str, headers: dict[str, str]) -> Iterator[Response]:
    """The server's answer, its body still to be read. Raises ``CheckpointError`` for a refusal."""
    import requests

    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if response.status_code in (401, 403) and url.startswith(_hub()):
            page = "/".join(url.split("/")[:5])
            problem = f"the Hub refuses it (HTTP {response.status_code}); gated models need an account that has access"
            raise CheckpointError(url, problem, f"accept the terms at {page} and put your token into HF_TOKEN")
        if response.status_code >= 400 and response.status_code != 416:
            problem = f"answers HTTP {response.status_code} {response.reason}"
            raise CheckpointError(url, problem, "try again later, or look for the file's new address")
        yield response


@contextmanager
def _megabytes(progress: Progress, label: str, begin: int, total: int | None) -> Iterator:
    """A tick that takes bytes, over a progress that counts whole megabytes."""
    done = begin
    with progress(label, -(-(total or 0) // MEGABYTE)) as tick:
        tick(begin // MEGABYTE)

        def bytes_done(n: int) -> None:
            nonlocal done
            before, done = done, done + n
            if crossed := done // MEGABYTE - before // MEGABYTE:
                tick(crossed)

        yield bytes_done


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/") + "/"


def _authorisation(url: str) -> dict[str, str]:
    """The Hub token of the environment (``HF_TOKEN``) or of a log-in, for the Hub's own addresses alone."""
    if not url.startswith(_hub()):
        return {}
    from huggingface_hub import get_token

    token = get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
