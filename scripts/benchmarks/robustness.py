"""Kills runs at random moments and compares what they end with: python scripts/benchmarks/robustness.py [--write]

A run of two encoders on a simulated corpus is killed by SIGKILL, with its workers or alone, and started again until it
ends; then every byte of its features and records is compared with those of a run that nothing disturbed, and a new one
begins, until there were ``KILLS`` kills. What is stored when a run is killed must not be written again. In this
process alone, with two worker processes, and with a Dask cluster of two. Exit status 1 where a byte differs.
``--write`` puts the counts into results/robustness.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import simulate
from bench.reports.pages import seal_pages

KILLS, CLIPS, SEED = 25, 2400, 0
# the command line, with processes for work that is too short to be worth them otherwise
COMMAND = "from bench.base.parallel import engine; engine.WORTH_S = 0; from bench.cli.main import main; exit(main())"
ENGINES = {
    "one process": ["--workers", "1"],
    "two worker processes": ["--workers", "2"],
    "a Dask cluster of two": ["--workers", "2", "--backend", "dask"],
}
VARYING = ("*.run.json", "board.json", "leaderboard.md")  # times, machine, the command with its --out
PAGE = Path(__file__).parents[2] / "results" / "robustness.md"
ROOM = Path(__file__).parents[2] / "tests" / "bench" / "encoders" / "features" / "test_faults.py"


@dataclass
class Outcome:
    """What became of the runs of one engine."""

    kills: int = 0
    ended: int = 0
    blocks_kept: int = 0
    blocks_again: int = 0
    differing: int = 0


def start(command: list[str], root: Path, place: Path) -> subprocess.Popen:
    """Starts a run with its cache and results in ``place``."""
    environment = os.environ | {"RESPBENCH_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", COMMAND, "run", "--root", str(root), "--out", str(place / "out")]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*words, *command], env=environment, stdout=quiet, stderr=quiet, start_new_session=True)


def blocks(place: Path) -> dict[Path, int]:
    """{listing of a stored block: its inode}, which changes when a file is written again."""
    return {path: path.stat().st_ino for path in (place / "cache").glob("features/*/*/*.json")}


def content(place: Path) -> dict[Path, bytes]:
    """Every byte of features and records."""
    files = [*(place / "cache").glob("features/*/*/*.np?"), *(place / "out").rglob("*")]
    kept = (path for path in files if path.is_file() and not any(map(path.match, VARYING)))
    return {path.relative_to(place): path.read_bytes() for path in kept}


def kill(process: subprocess.Popen, alone: bool) -> None:
    """SIGKILL to the process, alone or with its workers; orphans end by themselves, beside the next run."""
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.wait()


def tried(command: list[str], root: Path, folder: Path, rng: random.Random) -> Outcome:
    """Kills runs of one engine until there were enough kills and the last run has ended."""
    quiet = folder / "quiet"
    began = time.monotonic()
    if start(command, root, quiet).wait() != 0:
        raise SystemExit("the undisturbed run failed")
    whole, expected = time.monotonic() - began, content(quiet)
    outcome, place = Outcome(), folder / "disturbed"
    while True:
        before = blocks(place)
        process = start(command, root, place)
        ending = outcome.kills >= KILLS
        try:
            status = process.wait(None if ending else rng.uniform(0.1, 1.0) * whole)
        except subprocess.TimeoutExpired:
            kill(process, alone=rng.random() < 0.5)
            outcome.kills += 1
            status = None
        after = blocks(place)
        outcome.blocks_kept += len(before)
        outcome.blocks_again += sum(after.get(path) != inode for path, inode in before.items())
        if status is None:
            continue
        outcome.ended += 1
        actual = content(place)
        names = expected.keys() | actual.keys()
        different = sorted(str(name) for name in names if expected.get(name) != actual.get(name))
        if status != 0 or different:
            print(f"exit status {status}, {len(different)} files differ: {' '.join(different[:5])}", flush=True)
        outcome.differing += len(different) + (status != 0)
        shutil.rmtree(place)
        if ending:
            return outcome


def main() -> int:
    """Tries every engine, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the counts into results/robustness.md")
    asked, rng, lines = parser.parse_args(), random.Random(SEED), []
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        simulate.clips(root / "ICBHI", CLIPS)
        command = ["--task", "icbhi.cycles2", "--encoder", "fbank.stats", "meta.level", "--no-controls"]
        for name, words in ENGINES.items():
            done = tried([*command, *words], root, Path(folder) / name, rng)
            bad += done.differing + done.blocks_again
            counts = (done.kills, done.ended, done.blocks_kept, done.blocks_again, done.differing)
            row = f"| {name} | {' | '.join(map(str, counts))} |"
            lines.append(row)
            print(row, flush=True)
    if asked.write:
        write(lines)
    return 1 if bad else 0


def write(rows: list[str]) -> None:
    """Writes results/robustness.md."""
    tests = [line for line in ROOM.read_text(encoding="utf-8").splitlines() if line.startswith("def test_")]
    faults = [line.partition("(")[0].removeprefix("def test_") for line in tests]
    lines = [
        "# Robustness",
        "",
        "    python scripts/benchmarks/robustness.py --write",
        "",
        f"Runs of two encoders on {CLIPS} simulated clips, killed by SIGKILL at random moments, with their workers or "
        "alone, and started again until they end. Compared is every byte of features and records with those of a run "
        "that nothing disturbed.",
        "",
        "| | kills | runs that ended | blocks found when a run began | of these written again | files that differ |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"Faults of disks, locks, clocks and workers that have a test each ({len(faults)}, in "
        f"`{ROOM.relative_to(PAGE.parents[1])}`; workers that die or hang in `tests/bench/base/parallel/`):",
        "",
        *(f"- {name.replace('_', ' ')}" for name in faults),
        "",
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    seal_pages(PAGE.parent, [PAGE.name], "python scripts/benchmarks/robustness.py --write")


if __name__ == "__main__":
    sys.exit(main())
