"""``python -m bench.ood``: makes an out-of-domain report."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import protocol
from bench.errors import RespBenchError
from bench.ood.runs import DRAWS, ood
from bench.suite import EncoderChoice


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser("python -m bench.ood", description=__doc__)
    parser.add_argument("--task", nargs="+", required=True, metavar="ID")
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ID[:POOLING,…][=CHECKPOINT]")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--shots", type=int, nargs="*", default=protocol.SHOTS, metavar="K")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--on-bad-clip", choices=("error", "exclude"), default="error")
    parser.add_argument("--skip-absent", action="store_true")
    parser.add_argument("--no-twins", action="store_true", help="without untrained twins")
    parser.add_argument("--note", action="append", default=[])
    asked = parser.parse_args(argv)
    try:
        paths = ood(
            asked.task,
            [EncoderChoice.parse(text) for text in asked.encoder],
            asked.out,
            root=asked.root,
            shots=asked.shots,
            draws=asked.draws,
            device=asked.device,
            on_bad_clip=asked.on_bad_clip,
            skip_absent=asked.skip_absent,
            controls=not asked.no_twins,
            notes=asked.note,
            command=shlex.join(["python", "-m", "bench.ood", *(sys.argv[1:] if argv is None else argv)]),
            say=print,
        )
    except RespBenchError as error:
        print(f"bench.ood: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(map(str, paths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
