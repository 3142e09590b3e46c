"""Seals pages that were written by hand or by measurement: python scripts/seal.py FILE … [--command COMMAND]

Notes the digest of each file in the ``pages.json`` beside it, so that ``respbench verify`` finds later changes.
``--command`` is what made the page, where a command did.
"""

import argparse
from pathlib import Path

from bench.reports.pages import seal_pages


def main() -> None:
    """Seals the files that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="+")
    parser.add_argument("--command", help="what made the page")
    arguments = parser.parse_args()
    for path in arguments.file:
        print(seal_pages(path.parent, [path.name], arguments.command or f"python scripts/seal.py {path.as_posix()}"))


if __name__ == "__main__":
    main()
