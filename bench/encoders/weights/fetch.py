"""Released weights onto this machine: from the first address that works, or from a file at hand, verified, by digest.

A file whose digest the card gives must have it. Any other must be readable as tensors, and the digest found is pinned
(``bench.encoders.weights.verified``): from then on this release is that file. Nothing half-done is ever found as
weights.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.base.errors import CheckpointError, NothingAsked
from bench.base.progress import Progress, silent
from bench.data.corpora.download import Resumable
from bench.encoders.weights import verified
from bench.encoders.weights.folders import folder_of, index_of, tensor_files
from bench.types import EncoderCard, Weights

DRIVE_PAGE = re.compile(r"https://drive\.google\.com/(?:file/d/|(?:uc|open)\?(?:export=download&)?id=)([\w-]+).*")


@dataclass(frozen=True)
class Fetched:
    """Where the weights lie, their digest, and why it is trusted: ``card``, ``pinned`` or ``first use``."""

    path: Path
    sha256: str
    trust: str


def fetch(
    card: EncoderCard, source: str | Path | None = None, *, repin: bool = False, progress: Progress = silent
) -> Fetched:
    """The card's weights, downloaded unless they are at hand, or taken from the file or folder ``source``.

    An index of shards stands for its folder, and so does any tensor file of a transformers folder where the card's
    weights are one.

    ``repin`` accepts a digest other than the one pinned on first use. The licence is the caller's matter
    (``bench.encoders.weights.licences``). Raises ``NothingAsked`` for an encoder without weights, ``CheckpointError``
    where every address fails or what comes is not the weights.
    """
    if not card.weights:
        raise NothingAsked(f"{card.id} needs no weights")
    if source is not None:
        path = Path(source)
        if not path.exists():
            raise CheckpointError(path, f"no such weight file or folder for {card.id}", "check the path")
        release = _meant(card, path)
        whole = folder_of(path) if index_of(path) or _is_folder(release) else path
        with _incoming(card, release) as folder:
            return _settle(card, release, _copied(whole, folder, release.part), path, repin)
    if not repin and (there := _at_hand(card)):
        return there
    failures = []
    for release in card.weights:
        for origin in [*release.urls, *([release.hub] if release.hub else [])]:
            try:
                with _incoming(card, release) as folder:
                    if not repin and (there := _at_hand(card)):
                        return there  # another process was faster
                    received = (
                        _from_hub(release, folder) if origin == release.hub else _from_url(origin, folder, progress)
                    )
                    return _settle(card, release, received, origin, repin)
            except CheckpointError as error:
                failures.append(error)
    raise _unavailable(card, failures)


def _unavailable(card: EncoderCard, failures: list[CheckpointError]) -> CheckpointError:
    by_hand = f"get the file by hand and register it: respbench fetch {card.id} --from FILE"
    if not failures:
        return CheckpointError(card.id, "has no address to download from", by_hand)
    problems = "; ".join(f"{f.where}: {f.problem}" for f in failures)
    remedies = "; ".join(dict.fromkeys(f.remedy for f in failures))
    return CheckpointError(card.id, problems, f"{remedies}; or {by_hand}")


def _at_hand(card: EncoderCard) -> Fetched | None:
    """What is there and verifies. A damaged copy in the store is dropped; in a folder of the user's it is an error."""
    from bench.encoders.weights import find

    there = find.at_hand(card)
    if there is None:
        return None
    release, path = there
    try:
        return Fetched(path, *_trusted(card, release, path, path))
    except CheckpointError:
        if path != verified.stored(card, release):
            raise
        verified.discard(path)
        return None


def _meant(card: EncoderCard, path: Path) -> Weights:
    """Which of the card's alternatives a file stands for: the one of its name, else the first of its kind."""
    named = [w for w in card.weights if Path(w.file).name == path.name]
    given_folder = path.is_dir() or folder_of(path) != path
    kind = [w for w in card.weights if _is_folder(w) == given_folder]
    return (named + kind + list(card.weights))[0]


def _is_folder(release: Weights) -> bool:
    """Whether a release is a transformers folder, not a file."""
    return Path(release.file).suffix == ""


@contextmanager
def _incoming(card: EncoderCard, release: Weights) -> Iterator[Path]:
    """A folder to put the file together in, for one process at a time; emptied once that has worked."""
    from filelock import FileLock

    folder = verified.incoming(card, release)
    with FileLock(f"{folder}.lock"):
        folder.mkdir(exist_ok=True)  # another process may have finished and removed it meanwhile
        yield folder
        verified.discard(folder)


def _copied(path: Path, folder: Path, part: str) -> Path:
    """A copy: what is stored must not change with the original. Of a transformers folder, what an adapter reads."""
    if not path.is_dir():
        return Path(shutil.copyfile(path, folder / path.name))
    target = folder / "copy"  # ``.`` and ``..`` are no names
    verified.discard(target)
    target.mkdir()
    for file in (*path.glob("*.json"), *tensor_files(path, part)):
        copy = target / file.relative_to(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return target


def _from_hub(release: Weights, folder: Path) -> Path:
    """The model's folder. The Hub's own client verifies and resumes, and takes its token from ``HF_TOKEN``."""
    from bench.encoders.weights.find import from_hub

    path = from_hub(release.hub, folder / release.hub.rpartition("/")[2], release.part)
    shutil.rmtree(path / ".cache", ignore_errors=True)  # the client's notes
    return path


def _from_url(url: str, folder: Path, progress: Progress) -> Path:
    target = folder / "download"
    if url.startswith(("http://", "https://")):
        Resumable(progress)(_direct(url), target)
        return target
    import pooch

    try:
        pooch.downloaders.choose_downloader(url)(url, str(target), None)  # doi:, ftp:, sftp:
    except (OSError, ValueError) as error:
        raise CheckpointError(url, str(error), "check the network and the address") from error
    return target


def _direct(url: str) -> str:
    """The address of the file itself, where ``url`` is that of a page about it."""
    drive = DRIVE_PAGE.fullmatch(url)
    return f"https://drive.usercontent.google.com/download?id={drive[1]}&export=download&confirm=t" if drive else url


def _settle(card: EncoderCard, release: Weights, path: Path, source: object, repin: bool) -> Fetched:
    """Verifies what came in and moves it into the store. Deletes what is wrong, so that the next attempt is fresh."""
    try:
        path = _named(_unpacked(path, release.file), release)
        sha256, trust = _trusted(card, release, path, source, repin)
    except CheckpointError as error:
        verified.discard(path)
        raise CheckpointError(source, error.problem, error.remedy) from error
    return Fetched(verified.add(release, path, sha256), sha256, trust)


def _trusted(card: EncoderCard, release: Weights, path: Path, source: object, repin: bool = False) -> tuple[str, str]:
    """Digest and reason for trust of a file that is the release as far as is known; pins it where nothing was."""
    from bench.encoders.weights import find, read

    pin = None if repin else verified.pin(card, release)
    find.verify(card, release, path, pin)
    sha256 = find.digest(path, release.part)
    if release.sha256 or pin:
        return sha256, "card" if release.sha256 else "pinned"
    read.load_content(path, release.part)  # what cannot be weights must not be trusted from now on
    verified.set_pin(card, release, sha256, source)
    return sha256, "first use"


def _named(path: Path, release: Weights) -> Path:
    """The file under its released name, whose ending says how to read it."""
    target = path.with_name(Path(release.file).name)
    return path if path == target else path.rename(target)


def _unpacked(path: Path, file: str) -> Path:
    """The weight file out of a release that is an archive; any other file as it is. Raises ``CheckpointError``."""
    try:
        if not path.is_file() or not zipfile.is_zipfile(path):
            return path
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if f"/{name}".endswith(f"/{file}")]
            if not inside:
                return path  # a torch file is an archive too
            target = path.with_name("unpacked")
            with archive.open(inside[0]) as packed, target.open("wb") as stream:
                shutil.copyfileobj(packed, stream)
    except (zipfile.BadZipFile, RuntimeError, ValueError) as error:
        raise CheckpointError(path, f"cannot be unpacked ({error})", "fetch it again") from error
    path.unlink()
    return target
