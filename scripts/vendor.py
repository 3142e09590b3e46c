"""Fetches the JavaScript that pages carry with them, at the versions of their ``VERSIONS``, and checks its digests.

    python scripts/vendor.py            # checks what is there; fetches what is missing or differs
    python scripts/vendor.py --offline  # checks only

To move to another version, edit ``VERSIONS`` (file, npm package, version, path in the package, SHA-256) and run it.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "bench/publish/page/vendor", ROOT / "tests/bench/publish/page/axe")


def listed(folder: Path) -> list[tuple[str, str, str, str, str]]:
    """(file, package, version, path in the package, SHA-256) of each file of a folder."""
    lines = (folder / "VERSIONS").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split()) for line in lines if line and not line.startswith("#")]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetched(package: str, version: str, path: str) -> bytes:
    """A file of a released npm package."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{package}@{version}", "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            return tar.extractfile(f"package/{path}").read()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offline", action="store_true", help="check only")
    offline = parser.parse_args().offline
    wrong = 0
    for folder in FOLDERS:
        for name, package, version, path, sha256 in listed(folder):
            target = folder / name
            if target.exists() and digest(target.read_bytes()) == sha256:
                continue
            data = b"" if offline else fetched(package, version, path)
            if digest(data) == sha256:
                target.write_bytes(data)
                print(f"fetched {target.relative_to(ROOT)}: {package} {version}")
            else:
                what = "missing or changed" if offline else f"{package} {version} has SHA-256 {digest(data)}"
                print(f"{target.relative_to(ROOT)}: {what}", file=sys.stderr)
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
