"""Brings corpora onto this machine: downloaded, verified, unpacked, checked.

They come from their official addresses, are held against a checksum where one is known, unpacked beside their place and
moved there whole, then checked by the tasks that use them. What a licence says, where an application goes and what a
corpus must look like are the tasks' own facts, read from their cards. Nothing is ever taken over a connection whose
certificate does not hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.base.errors import BadInput, CheckpointError
from bench.base.paths import file_digest
from bench.base.progress import Progress, silent
from bench.data.corpora.download import Resumable
from bench.data.corpora.sources import cards
from bench.data.corpora.unpack import FULL, DiskFull, full, unpack, unpack_inner
from bench.types import Corpus, RemoteFile

__all__ = ["Installed", "fetch", "notice", "text"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class ReceivedFile:
    """A file that came: from where, its SHA-256, and whether a known checksum vouched for it."""

    name: str
    source: str
    sha256: str
    verified: bool


@dataclass(frozen=True)
class Installed:
    """Where a corpus lies.

    ``files`` are those that came now, none where it was there before; ``lacking`` says what did not come; ``reports``
    are those of ``bench.data.check``, of its first task with the audio decoded.
    """

    name: str
    folder: Path
    files: tuple[ReceivedFile, ...]
    lacking: tuple[str, ...]
    reports: tuple[dict, ...]

    @property
    def ok(self) -> bool:
        """Whether no task of the corpus reports an error."""
        return all(report["ok"] for report in self.reports)


def notice(corpus: Corpus) -> str:
    """Licence, page and what to cite, to be read before anything is downloaded."""
    card = cards(corpus)[0]
    access = "" if card.access == "open" else f"; access: {card.access}"
    return f"{corpus.name}: licence: {card.licence}; from {card.url}; cite {card.citation}{access}"


def fetch(corpus: Corpus, root: Path, sources: Sequence[Path] = (), progress: Progress = silent) -> Installed:
    """Installs a corpus below the data folder.

    A corpus that lies there already is checked, not replaced.

    Parameters
    ----------
    corpus
        The corpus, of ``bench.data.corpora.sources``.
    root
        The data folder.
    sources
        Files of the corpus that were downloaded by hand; the others come from their addresses.
    progress
        Shows how far a download has come.

    Raises
    ------
    BadInput
        For data that cannot be downloaded, files that are not the known ones, unsafe or damaged archives, a layout that
        its tasks do not know, and a full disk. In each case nothing is installed, and downloads that may be sound are
        kept to be continued.
    """
    folder = root / corpus.folder
    if folder.is_dir() and any(folder.iterdir()):
        return Installed(corpus.name, folder, (), (), _reports(corpus, folder, progress))
    local_files = _assigned(corpus, sources)
    if not all(remote.urls or remote.name in local_files for remote in corpus.files):
        remedy = f"put it below {folder}, or give its archive: respbench fetch {corpus.name} --from FILE"
        raise BadInput(corpus.name, f"cannot be downloaded from here: {corpus.by_hand}", remedy)
    with _incoming(root, corpus, folder) as incoming:
        files, lacking = [], []
        for remote in corpus.files:
            try:
                files.append(_obtained(corpus, remote, local_files.get(remote.name), incoming, progress))
            except BadInput as error:
                if not remote.optional or isinstance(error, DiskFull):
                    raise
                lacking.append(f"{remote.name}: {error.problem}; without it, {remote.optional}")
        staged = incoming / "staged"
        for received, path in files:
            _stage(corpus, received, path, staged)
        _recognised(corpus, staged)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_dir():
            folder.rmdir()  # empty, as seen above
        staged.replace(folder)
    installed = tuple(received for received, _ in files)
    return Installed(corpus.name, folder, installed, tuple(lacking), _reports(corpus, folder, progress))


def text(installed: Installed) -> str:
    """What came and how far it can be trusted, a line each."""
    lines = [] if installed.files else [f"{installed.folder} is there already: it was checked, nothing was downloaded"]
    for received in installed.files:
        trust = (
            "its checksum is the known one" if received.verified else "no checksum is known: nothing could verify it"
        )
        lines.append(f"{received.name} from {received.source}: SHA-256 {received.sha256}, {trust}")
    return "\n".join([*lines, *(f"not fetched: {line}" for line in installed.lacking)])


def _assigned(corpus: Corpus, sources: Sequence[Path]) -> dict[str, Path]:
    """{file of the corpus: file at hand} by name; a single file of another name is the corpus's first."""
    names = [remote.name for remote in corpus.files]
    if len(sources) == 1 and sources[0].name not in names:
        assigned = {names[0]: sources[0]}
    else:
        assigned = {path.name: path for path in sources}
    for name, path in assigned.items():
        if not path.is_file():
            raise BadInput(path, f"no such file for {corpus.name}", "check the path")
        if name not in names:
            raise BadInput(path, f"is not a file of {corpus.name}", f"its files are {', '.join(names)}")
    return assigned


@contextmanager
def _incoming(root: Path, corpus: Corpus, folder: Path) -> Iterator[Path]:
    """A hidden folder beside the corpus's place, for one process at a time; removed once that has worked."""
    from filelock import FileLock

    incoming = root / ".fetching" / corpus.name
    try:
        incoming.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{incoming}.lock"):
            if folder.is_dir() and any(folder.iterdir()):
                raise BadInput(folder, "another process has just installed it", "ask again, and it is checked")
            incoming.mkdir(exist_ok=True)
            shutil.rmtree(incoming / "staged", ignore_errors=True)
            try:
                yield incoming
            finally:
                shutil.rmtree(incoming / "staged", ignore_errors=True)
            shutil.rmtree(incoming, ignore_errors=True)
    except OSError as error:
        if error.errno in FULL:
            raise full(folder) from error
        raise BadInput(folder, f"cannot be written ({error})", "name another data folder") from error


def _obtained(
    corpus: Corpus, remote: RemoteFile, local_file: Path | None, incoming: Path, progress: Progress
) -> tuple[ReceivedFile, Path]:
    """A verified file and where it lies. A download that is not the known file is deleted."""
    if local_file is not None:
        return _verified(remote, local_file, str(local_file)), local_file
    path = incoming / remote.name
    failures: list[BadInput] = []
    for url in remote.urls:
        try:
            if not path.exists():
                _downloaded(corpus, url, path, progress)
            return _verified(remote, path, url), path
        except BadInput as error:
            failures.append(error)
            if path.exists():
                path.unlink()
    problems = "; ".join(f"{error.where}: {error.problem}" for error in failures)
    raise BadInput(corpus.name, problems, "; ".join(dict.fromkeys(error.remedy for error in failures)))


def _downloaded(corpus: Corpus, url: str, path: Path, progress: Progress) -> None:
    import requests

    try:
        Resumable(progress)(url, path)
    except CheckpointError as error:
        if not isinstance(error.__cause__, requests.exceptions.SSLError):
            raise
        by_hand = corpus.by_hand or f"download it in a browser from {cards(corpus)[0].url}"
        remedy = f"{by_hand}; then `respbench fetch {corpus.name} --from FILE` verifies and installs it"
        raise BadInput(
            url, "its TLS certificate does not hold (expired?), so nothing was taken from it", remedy
        ) from error


def _verified(remote: RemoteFile, path: Path, source: str) -> ReceivedFile:
    """Raises ``BadInput`` for a file that is not the known one."""
    kind, _, expected = remote.digest.partition(":")
    digests = {name: file_digest(path, name) for name in {"sha256", kind or "sha256"}}
    if expected and digests[kind] != expected:
        problem = f"its {kind.upper()} is {digests[kind]}, the known file has {expected}"
        raise BadInput(
            source, problem, "fetch it again; if it stays so, the file was replaced or damaged at its source"
        )
    return ReceivedFile(remote.name, source, digests["sha256"], bool(expected))


def _stage(corpus: Corpus, received: ReceivedFile, path: Path, staged: Path) -> None:
    """Unpacks or copies one file. A download that cannot be unpacked is deleted unless the disk was full."""
    staged.mkdir(parents=True, exist_ok=True)
    if not received.name.endswith(ARCHIVES) and not path.name.endswith(ARCHIVES):
        shutil.copyfile(path, staged / received.name)
        return
    try:
        unpack(path, staged)
        if corpus.inner:
            unpack_inner(staged)
    except DiskFull:
        raise
    except BadInput as error:
        if path.is_relative_to(staged.parent):
            path.unlink()
        raise BadInput(received.source, error.problem, error.remedy) from error


def _recognised(corpus: Corpus, staged: Path) -> None:
    """Raises ``BadInput`` where none of the tasks finds its corpus."""
    from bench.data.manifest import load_task

    problems = []
    for card in cards(corpus):
        try:
            load_task(card.id, staged)
            return
        except BadInput as error:
            problems.append(error)
    problem = f"what came has not the layout of the corpus ({problems[0].problem})"
    remedy = f"see {cards(corpus)[0].url} for what was changed; downloads are kept in {staged.parent}, to be deleted"
    raise BadInput(corpus.name, problem, remedy) from problems[0]


def _reports(corpus: Corpus, folder: Path, progress: Progress) -> tuple[dict, ...]:
    """One report per task; a task whose part of the corpus is lacking is reported as such."""
    from bench.data.check import check_task
    from bench.data.manifest import load_task

    reports: list[dict] = []
    for card in cards(corpus):
        try:
            reports.append(check_task(load_task(card.id, folder), audio=not reports, progress=progress))
        except BadInput as error:
            reports.append({"id": card.id, "ok": False, "problem": str(error)})
    return tuple(reports)
