"""Where and how a number was made: written beside a record, never part of its key or of a comparison."""

from __future__ import annotations

import os
import platform
import re
import resource
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGES = (
    *("respbench", "torch", "torchaudio", "transformers", "peft", "s3prl", "scikit-learn"),
    *("numpy", "scipy", "pandas", "soundfile", "soxr", "safetensors"),
)
# choose instructions or kernels, and with them how sums are rounded
SETTINGS = (
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE"),
    *("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"),
)
_DESIGN = {"cpu family": "family", "model": "model", "stepping": "stepping"}  # as Linux and as we call them


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
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def arithmetic() -> dict[str, str]:
    """What the last digits of a result depend on, apart from versions, as far as the system tells.

    Returns
    -------
    dict
        ``processor`` (maker, name, and the numbers of its design where the system gives them), ``os`` (with the C
        library), ``cores``, and the variables of ``SETTINGS`` that are set; ``blas of numpy and scipy``; where torch
        is loaded ``instructions`` (of its vector kernels), ``threads`` and ``blas of torch``.
    """
    return _machine() | {name: os.environ[name] for name in SETTINGS if name in os.environ} | _loaded()


@cache
def _machine() -> dict[str, str]:
    cpu = _cpuinfo()
    design = " ".join(f"{word} {cpu[name]}" for name, word in _DESIGN.items() if name in cpu)
    maker = cpu.get("vendor_id", "")
    name = " ".join(filter(None, (maker, processor()))) + (f" ({design})" if design else "")
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = f"{platform.system()} {platform.release()}"
    return {"processor": name, "os": " ".join(filter(None, (system, *platform.libc_ver())))}


def _loaded() -> dict[str, str]:
    """Threads, instructions and BLAS; what took no part in a result is not loaded for it."""
    from bench.base.parallel.threads import cores

    facts = {"cores": str(cores()), "blas of numpy and scipy": _numpy_blas()}
    if torch := sys.modules.get("torch"):
        built = torch.__config__.show()
        kernels = {"mkl": r"Math Kernel Library Version ([\w.]+)", "oneDNN": r"MKL-DNN v([\w.]+)"}
        found = [f"{name} {match[1]}" for name, pattern in kernels.items() if (match := re.search(pattern, built))]
        other = re.findall(r"BLAS_INFO=(?!mkl)(\w+)", built)
        facts |= {
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": str(torch.get_num_threads()),
            "blas of torch": ", ".join(other + found) or "unknown",
        }
    return facts


def _numpy_blas() -> str:
    """Library, version and the kernels that it chose for this processor."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:  # an old installation; what numpy was built with is the next best
        import numpy as np

        built = np.show_config("dicts")["Build Dependencies"]["blas"]
        return f"{built['name']} {built['version']}"
    names = ("internal_api", "version", "architecture")
    libraries = (library for library in threadpool_info() if library["user_api"] == "blas")
    return ", ".join(sorted({" ".join(str(lib[n]) for n in names if lib.get(n)) for lib in libraries})) or "unknown"


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first core; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def stamp(device: str, wall_s: float) -> dict:
    """Commit, versions, machine with what its rounding depends on, device, wall time in seconds, peak memory in MB."""
    return {
        "commit": commit(),
        "versions": versions(),
        "machine": f"{platform.system()} {platform.machine()}",
        "arithmetic": arithmetic(),
        "device": device,
        "wall_s": round(wall_s, 2),
        "peak_memory_mb": peak_memory_mb(),
    }
