"""What a file that should hold tensors is instead, in words that help: a pair of problem and remedy."""

from __future__ import annotations

import io
import pickle
import re
import tarfile
from pathlib import Path

from safetensors import SafetensorError

from bench.encoders.weights.files.harmless import NO_NUMBERS, StandIn, is_known
from bench.encoders.weights.files.pickles import BROKEN, asked_for, is_archive, member, pickled

UNREADABLE = (SafetensorError, pickle.UnpicklingError, AttributeError, AssertionError, TypeError, *BROKEN)  # by readers
HEAD = 1024  # bytes that tell kinds of files apart
PLAIN = ("torch", "collections", "numpy", "argparse", "_codecs")  # modules of what weights are made of
REFUSED = re.compile(r"GLOBAL (?P<name>[\w.]+)|(?:unrecognized function|create new object .* got) (?P<object>.+)")
FILLED = re.compile(rf"Can only .+ but got <class '{re.escape(StandIn.__module__)}\.(?P<name>[\w.]+)'>")
ARRAYS = ("multiarray._reconstruct", "numeric._frombuffer")  # what numpy arrays ask for
PICKLED = "torch.storage._load_from_bytes"  # what tensors ask for in a pickle that torch.save did not write
PROTOCOL = 2  # of pickles that torch's safe reader reads
HEADER = 8, 100_000_000  # bytes of a safetensors header's length, most bytes of the header
OLDEST = {"pickle", "storages", "tensors"}  # in the tar archives that torch wrote before 0.2
UNPACK, RELEASE = "unpack it and take the weight file in it", "take the torch release of these weights"
STRANGE = "a pickle that torch.save did not write, which cannot be opened without running code"
TENSORS = "save it anew with tensors in their place (torch.from_numpy), or without them"
ANEW = "save its tensors anew where it was made, as .safetensors or with torch.save as it stands"
ISOLATED = (
    "if you trust its origin, save its tensors as .safetensors on a machine that you can afford to lose, "
    "and use that file"
)
OTHERS = {
    b"\x1f\x8b": ("is a compressed archive", UNPACK),
    b"BZh": ("is a compressed archive", UNPACK),
    b"\xfd7zXZ": ("is a compressed archive", UNPACK),
    b"\x28\xb5\x2f\xfd": ("is a compressed archive", UNPACK),
    b"7z\xbc\xaf": ("is a 7z archive", UNPACK),
    b"Rar!": ("is a RAR archive", UNPACK),
    b"\x89HDF": ("is an HDF5 file (Keras), not a torch or safetensors file", RELEASE),
    b"GGUF": ("is a GGUF file (llama.cpp, whisper.cpp), not a torch or safetensors file", RELEASE),
    b"\x93NUMPY": ("is one numpy array, not named tensors", "check that it is the weights"),
}  # {how a file begins: what it is}
READER = "WeightsUnpickler error: "  # torch's own words follow; before them stands advice to switch the check off
ADVICE = "In PyTorch 2.6"  # the same advice, behind torch's words about archives

Diagnosis = tuple[str, str]


def impostor(path: Path) -> Diagnosis | None:
    """What a file obviously is that is no weight file; None for anything that may be one."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "is empty", "fetch it again"
    if start.startswith(b"version https://git-lfs"):
        return (
            "is a Git LFS pointer, not the weights themselves",
            "run `git lfs pull` there, or download the file itself",
        )
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        problem = "looks like a web page (an error, login or consent page saved under the name of the weights)"
        return problem, "download the file itself, in a browser if need be"
    if head.startswith(b"PK\x03\x04") and not is_archive(path):
        return "is cut short: its end, which lists what is in it, is missing", "fetch it again"
    if head.startswith(b"PK\x03\x04") and member(path, "/constants.pkl"):
        return "is a TorchScript archive, a program rather than named tensors", "take the release's state dict"
    if what := next((what for mark, what in OTHERS.items() if head.startswith(mark)), None):
        return what
    if head[257:262] == b"ustar":
        return _tarred(path)
    if head[4:8] == b"TFL3" or (head[:1] == b"\x08" and head[2:3] == b"\x12" and not asked_for(io.BytesIO(head))):
        return "is a program (ONNX, TFLite) rather than named tensors", RELEASE
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head) and not asked_for(io.BytesIO(head)):
        return f"is a text file ({head[:40].decode()!r})", "check that it is the weights"
    return None


def diagnosis(path: Path, error: Exception) -> Diagnosis:
    """Why reading failed."""
    text = str(error).strip()
    refused = REFUSED.search(text)
    protocol, asked, by_torch = pickled(path)
    foreign = [name for name in asked if name.partition(".")[0] not in PLAIN and not is_known(name)]
    if refused and is_known(refused["name"] or ""):  # which only a pickle has refused that could not be searched
        refused, text = None, "its pickle cannot be followed"
    names = [refused["name"] or refused["object"].strip()] if refused else foreign
    if not foreign and PICKLED in asked:
        return f"is {STRANGE}", ANEW
    if not foreign and not by_torch and any(name.endswith(ARRAYS) for name in asked):
        return f"holds numpy arrays in {STRANGE}", TENSORS
    if NO_NUMBERS in text:
        return f"holds {text[text.rindex(NO_NUMBERS) :].splitlines()[0]}, which can be any object", TENSORS
    if names:
        problem = (
            f"asks to build or call {', '.join(names)} when it is opened; weights need no such thing, and what a file "
            "may call can run any code, so it was refused and nothing was run"
        )
        return problem, ISOLATED
    if filled := FILLED.search(text):
        return f"holds a list or a dictionary of the class {filled['name']}, whose items cannot be read here", ANEW
    if asked and protocol > PROTOCOL:
        return (
            f"is a pickle of protocol {protocol}, and torch reads no other than {PROTOCOL} without running code",
            ANEW,
        )
    if is_archive(path) and member(path, "/data.pkl") == "":
        if member(path, ".npy"):
            return (
                "is an archive of numpy arrays (numpy.savez)",
                "save them as .safetensors (safetensors.numpy.save_file)",
            )
        return "is an archive that torch did not write", UNPACK
    reason = (text.partition(READER)[2] or text.partition(ADVICE)[0]).strip().splitlines()[:1] or [type(error).__name__]
    return f"cannot be read as tensors ({reason[0]}): damaged, cut short, or not weights at all", "fetch it again"


def safetensors_header(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON object, and the object."""
    size, most = HEADER
    with path.open("rb") as stream:
        head = stream.read(size + 1)
    return head[size:] == b"{" and int.from_bytes(head[:size], "little") <= most


def _tarred(path: Path) -> Diagnosis:
    """What a tar archive is."""
    try:
        with tarfile.open(path) as archive:
            names = set(archive.getnames())
    except (tarfile.TarError, *UNREADABLE):
        names = set()
    if names >= OLDEST:
        return "is of the format of torch before 0.2, which cannot be opened without running code", ISOLATED
    return "is a tar archive", UNPACK
