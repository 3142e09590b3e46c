"""``python -m bench.audit TASK… --out FOLDER``: writes a report per task."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.audit import REFERENCE, audit, render, write
from bench.errors import RespBenchError
from bench.progress import terminal


def main() -> int:
    """Runs the audits and returns the exit status."""
    parser = argparse.ArgumentParser("python -m bench.audit", description=__doc__)
    parser.add_argument("task", nargs="+")
    parser.add_argument("--root", type=Path, help="data folder, in place of $RESPBENCH_DATA or ./data")
    parser.add_argument("--encoder", help="whose embeddings are audited too")
    parser.add_argument("--reference", default=REFERENCE, help=f"the encoder to compare with (default {REFERENCE})")
    parser.add_argument("--out", type=Path, help="folder for <task>.md and <task>.json; default: print")
    asked = parser.parse_args()
    try:
        for task in asked.task:
            made = audit(task, asked.root, asked.encoder, reference=asked.reference, progress=terminal)
            if asked.out is None:
                print(render(made))
            else:
                write(asked.out, made)
    except RespBenchError as error:
        print(f"respbench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
