"""Whether memory grows with the number of clips: python scripts/benchmarks/memory.py [--write]

Two corpora of simulated recordings that differ in nothing but their number, 1,000 clips and 50,000, are read, prepared,
encoded by ``fbank.stats`` and gathered, step by step in a process of its own; after each step its peak of resident
memory is read and set back (Linux). Once on threads of that process, as work this short is done, and once with two
worker processes, whose memory is added. Exit status 1 where the peak of encoding, less the clips' table, grows by more
than ``LIMIT``. ``--write`` puts the tables into results/encode/memory.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import soundfile

from bench.reports.pages import seal_pages
from bench.reports.tables import markdown

CLIPS = (1_000, 50_000)
CLIPS_OF_A_RECORDING, CLIP_S, RATE = 40, 0.5, 4000
ENCODER, LIMIT = "fbank.stats", 0.05
Step = dict[str, float]  # MB
WAYS = {"threading": "one process", "loky": "two worker processes"}
PAGE = Path(__file__).parents[2] / "results" / "encode" / "memory.md"
LOOK_S = 0.05  # between looks at the workers' memory


def make(folder: Path, clips: int) -> Path:
    """Writes recordings of noise with ``clips`` annotated segments, and returns the table of them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "start", "end", "label", "group"))
        for i in range(clips // CLIPS_OF_A_RECORDING):
            noise = 0.1 * rng.standard_normal(round(CLIPS_OF_A_RECORDING * CLIP_S * RATE))
            soundfile.write(folder / f"{i:05d}.wav", noise, RATE, subtype="PCM_16")
            for k in range(CLIPS_OF_A_RECORDING):
                bounds = (f"{k * CLIP_S:.1f}", f"{(k + 1) * CLIP_S:.1f}")
                table.writerow((f"{i:05d}.wav", *bounds, ("normal", "wheeze")[k % 2], f"patient {i}"))
    return folder / "clips.csv"


# ------------------------------------------------------------------ the process that is measured


def steps(table: Path, backend: str) -> dict[str, Step]:
    """{step: MB held when it ended, and its peak} of reading, preparing, encoding and gathering a corpus."""
    from bench.base.parallel import engine
    from bench.data.manifest import load_task, prepare
    from bench.encoders.features.store import FeatureStore
    from bench.encoders.load import load_encoder

    engine.WORTH_S = 0  # with processes, although the work is too short to be worth them
    found = {"imports": _taken()}
    task = load_task(f"csv.{table}")
    found["load_task"] = _taken()
    prepared = prepare(task)
    found["prepare"] = _taken() | {"rows": float(prepared.rows.memory_usage(deep=True).sum()) / 1e6}
    encoder = load_encoder(ENCODER)
    store = FeatureStore(encoder, prepared)
    found["load_encoder"] = _taken()
    pooling = (-1, encoder.card.default_pooling)
    store.encode([pooling], engine=engine.Engine(workers=2, backend=backend))
    found["encode"] = _taken()
    features = store.gather(pooling)
    found["gather"] = _taken() | {"features": features.nbytes / 1e6}
    return found


def _taken() -> Step:
    """Resident memory of this process now and its peak since the last look, in MB."""
    now, peak = (_resident(os.getpid(), name) for name in ("VmRSS", "VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    return {"held": now, "peak": peak}


def _resident(process: int, name: str) -> float:
    """A size that Linux keeps of a process, in MB; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith(name)), 0.0)


# ------------------------------------------------------------------ from outside


def measured(table: Path, backend: str) -> dict[str, Step]:
    """``steps`` in a process and a cache of its own; ``encode`` gets the workers' peak as ``workers``."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"RESPBENCH_CACHE": cache, "OMP_NUM_THREADS": "1"}
        words = [sys.executable, __file__, "--steps", str(table), backend]
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        workers = 0.0
        while process.poll() is None:
            workers = max(workers, sum(_resident(worker, "VmRSS") for worker in _below(process.pid)))
            time.sleep(LOOK_S)
        answer = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with status {process.returncode}")
    found = json.loads(answer.splitlines()[-1])
    found["encode"]["workers"] = workers
    return found


def _below(process: int) -> list[int]:
    """Processes that any thread of a process has started, and those that they have.

    A process that has forked and not begun its own program yet is still a copy of the other, memory and all.
    """
    own: list[str] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            own += path.read_text().split()
    begun = [int(child) for child in own if _words(child) != _words(process)]
    return [each for child in begun for each in (child, *_below(child))]


def _words(process: int | str) -> bytes:
    """The command line of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> int:
    """Makes the corpora, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into results/encode/memory.md")
    parser.add_argument("--steps", nargs=2, metavar=("TABLE", "BACKEND"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.steps:
        print(json.dumps(steps(Path(asked.steps[0]), asked.steps[1])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        tables = {clips: make(Path(folder) / str(clips), clips) for clips in CLIPS}
        found: dict[str, dict[int, dict[str, Step]]] = {way: {} for way in WAYS}
        for way, clips in product(WAYS, CLIPS):
            found[way][clips] = measured(tables[clips], way)
            print(f"{WAYS[way]}, {clips:,} clips: {json.dumps(found[way][clips])}", file=sys.stderr, flush=True)
    lines, growth = page(found)
    print("\n".join(lines))
    if asked.write:
        PAGE.write_text("\n".join(lines), encoding="utf-8")
        seal_pages(PAGE.parent, [PAGE.name], "python scripts/benchmarks/memory.py --write")
    return 1 if max(growth.values()) > LIMIT else 0


def page(found: dict[str, dict[int, dict[str, Step]]]) -> tuple[list[str], dict[str, float]]:
    """(lines of the page, {way: growth of the memory of encoding without the table, as a fraction})."""
    few, many = CLIPS
    rows, growth = [], {}
    for way, title in WAYS.items():
        without = {}
        for clips in CLIPS:
            step = found[way][clips]
            peak, workers = step["encode"]["peak"], step["encode"]["workers"]
            without[clips] = peak + workers - _table_mb(step)
            sizes = (_table_mb(step), peak, workers, without[clips])
            rows.append([title, f"{clips:,}", *(f"{size:.0f}" for size in sizes)])
        growth[way] = without[many] / without[few] - 1
        rows.append([title, "growth", "", "", "", f"{100 * growth[way]:+.1f} %"])
    steps = found["threading"]
    per_clip = {name: 1e6 * (step(steps[many]) - step(steps[few])) / (many - few) for name, step in _GROWING.items()}
    beyond = steps[many]["gather"]["peak"] - steps[many]["encode"]["held"] - steps[many]["gather"]["features"]
    total = steps[many]["encode"]["peak"] / steps[few]["encode"]["peak"] - 1
    lines = [
        "# Memory of encoding",
        "",
        "    python scripts/benchmarks/memory.py --write",
        "",
        f"`{ENCODER}` on {few:,} and on {many:,} clips of {CLIP_S:g} s, {CLIPS_OF_A_RECORDING} in a recording, listed "
        "in a CSV table; resident memory in MB. What Python and its libraries take is in every number.",
        "",
        markdown(
            ("", "clips", "table of clips", "peak of the process", "peak of its workers", "both, without the table"),
            rows,
            right=range(1, 6),
        ),
        "",
        f"Encoding takes recordings block by block and writes each block's features to disk, so its own memory stays "
        f"within {100 * LIMIT:.0f} %. What grows with the clips, per clip:",
        "",
        markdown(("", "bytes a clip"), [[name, f"{size:,.0f}"] for name, size in per_clip.items()], right=(1,)),
        "",
        "What of the table is not in its columns Python took for reading it, line by line, and keeps for later. "
        f"With the table, the peak of the process grows by {100 * total:.0f} % from {few:,} to {many:,} clips. A probe "
        f"holds the features of its task: `gather` takes {beyond:.0f} MB beyond the {many:,} rows that it returns; "
        "`respbench encode --out` writes them without holding them.",
        "",
    ]
    return lines, growth


def _table_mb(step: dict[str, Step]) -> float:
    """What reading and preparing the clips left in the process."""
    return step["prepare"]["held"] - step["imports"]["held"]


_GROWING = {
    "table of clips, as the process grows by `load_task` and `prepare`": _table_mb,
    "of these in columns and their strings": lambda step: step["prepare"]["rows"],
    "for a while, in `load_task`": lambda step: step["load_task"]["peak"] - step["load_task"]["held"],
    "for a while, in `prepare`": lambda step: step["prepare"]["peak"] - step["prepare"]["held"],
    "bounds and rows of recordings, while encoding": lambda step: step["encode"]["held"] - step["prepare"]["held"],
    f"features that `gather` returns (`{ENCODER}`)": lambda step: step["gather"]["features"],
}


if __name__ == "__main__":
    sys.exit(main())
