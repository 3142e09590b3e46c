"""Where and how a number was made: written beside a record, never part of its key or of a comparison."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = (
    *("respbench", "torch", "torchaudio", "transformers", "peft", "s3prl", "scikit-learn"),
    *("numpy", "scipy", "pandas", "soundfile", "soxr", "safetensors"),
)


def versions() -> dict[str, str]:
    """{package: installed version or ``absent``}, and Python's own."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "absent"
    return installed


def commit() -> str:
    """The commit of the checkout that the code runs from, ``+`` appended where it is modified; empty outside git."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain", "--", ":/*.py") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout.strip()


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def processor() -> str:
    """The processor's name, as its maker gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def stamp(device: str, wall_s: float) -> dict:
    """Commit, versions, machine, device, wall time in seconds and peak memory in MB."""
    return {
        "commit": commit(),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": device,
        "wall_s": round(wall_s, 2),
        "peak_memory_mb": peak_memory_mb(),
    }
