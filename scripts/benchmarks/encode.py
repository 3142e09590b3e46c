"""How fast clips are encoded: python scripts/benchmarks/encode.py [--write]

On real SPRSound events (RESPBENCH_DATA), as ratios within one run, so that they hold on other machines:

* ``efficientat.mn04`` through the store, against batches of equal length within a recording on all cores' threads, as
  it was done before clips of different lengths shared batches; on an idle machine and beside a process that keeps one
  core busy;
* a ViT-B (``ast.base``, random weights) against its bare forward pass on spectrograms that are ready, in the best
  batch size, and against the peak of a matrix product;
* both against the loop of OPERA's and eval-audio-repr's scripts: decode, spectrogram and forward pass, clip by clip.

Exit status 1 where a limit is missed. ``--write`` puts the figures into results/encode/speed.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from bench.base import registry
from bench.base.parallel.engine import LOCAL, Engine
from bench.base.parallel.threads import cores, workers
from bench.base.provenance import processor
from bench.data import clips
from bench.data.manifest import Prepared, load_task, prepare
from bench.encoders.batches import collate, encode_batch, plan_batches
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.reports.pages import seal_pages
from bench.types import Encoder

Clock = Callable[[], float]
Batch = tuple[torch.Tensor, torch.Tensor]  # (wave, length)

TASK = "sprsound.events2"
SMALL, LARGE = "efficientat.mn04", "random.ast.base"
RECORDINGS = {SMALL: 2000, LARGE: 4}
FORMER_RECORDINGS = {"idle": 100, "busy": 8}  # of the slow ways, which are timed on fewer
BATCHES, NETWORK_BATCHES = (1, 2, 4), (4, 16, 64)
LIMITS = {"idle": 2.5, "busy": 10.0, "bare": 0.85, LARGE: 1.3, SMALL: 6.0}
PAGE = Path(__file__).parents[2] / "results" / "encode" / "speed.md"


def part(prepared: Prepared, recordings: int) -> Prepared:
    """The clips of so many recordings, evenly spaced."""
    paths = sorted(prepared.rows["path"].unique())
    chosen = {paths[i] for i in np.linspace(0, len(paths) - 1, recordings).round().astype(int)}
    return replace(prepared, rows=prepared.rows[prepared.rows["path"].isin(chosen)].reset_index(drop=True))


def through_the_store(
    encoder: Encoder, prepared: Prepared, engine: Engine = LOCAL, clock: Clock = perf_counter
) -> float:
    """Clips per second of ``FeatureStore.encode``, from sound files to features on disk."""
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(encoder, prepared, folder=Path(folder))
        began = clock()
        count = store.encode([(-1, encoder.card.default_pooling)], engine=engine)
        return count / (clock() - began)


def recording_by_recording(encoder: Encoder, prepared: Prepared) -> float:
    """Clips per second with batches of equal padded length within a recording, on as many threads as cores."""
    rate, count = encoder.card.sample_rate, 0
    began = perf_counter()
    for unit in clips.units(prepared.rows, prepared.recordings):
        waves = clips.waves(unit, prepared.root, rate)
        for batch in plan_batches([len(wave) for wave in waves], encoder, 60 * rate, ragged=False):
            encode_batch(encoder, [waves[i] for i in batch], [(-1, encoder.card.default_pooling)])
            count += len(batch)
    return count / (perf_counter() - began)


def clip_by_clip(encoder: Encoder, prepared: Prepared) -> float:
    """Clips per second of the usual loop: each clip decoded, resampled and encoded by itself, on all threads."""
    rate, count = encoder.card.sample_rate, 0
    began = perf_counter()
    for unit in clips.units(prepared.rows, prepared.recordings):
        for start, end in zip(unit.start_s, unit.end_s, strict=True):
            (wave,) = clips.waves(replace(unit, start_s=(start,), end_s=(end,)), prepared.root, rate)
            encode_batch(encoder, [wave], [(-1, encoder.card.default_pooling)])
            count += 1
    return count / (perf_counter() - began)


def bare(
    encoder: Encoder,
    prepared: Prepared,
    threads: int | None = None,
    clock: Clock = perf_counter,
    many: Sequence[int] = BATCHES,
) -> tuple[float, int]:
    """(clips per second, batch size) of the forward pass alone on ready spectrograms, the best of several sizes.

    As the store does, each of ``threads`` (by default one a core) takes batches of its own. An encoder without a front
    end of its own is timed on waveforms.
    """
    rate = encoder.card.sample_rate
    waves = [
        wave
        for unit in clips.units(prepared.rows, prepared.recordings)
        for wave in clips.waves(unit, prepared.root, rate)
    ]
    rates = {}
    for size in many:
        batches = [collate(encoder, waves[i : i + size]) for i in range(0, len(waves) - size + 1, size)]
        with ready_spectrograms(encoder, batches), workers(threads or cores()) as pool:
            began = clock()
            list(pool.map(partial(forward, encoder), batches))
            rates[size] = len(batches) * size / (clock() - began)
    best = max(rates, key=rates.__getitem__)
    return rates[best], best


def forward(encoder: Encoder, batch: Batch) -> None:
    """One pass without gradients."""
    with torch.inference_mode():
        encoder(*batch)


@contextmanager
def ready_spectrograms(encoder: Encoder, batches: Sequence[Batch]) -> Iterator[None]:
    """The encoder's front end answers these batches at once, until the block ends."""
    network = inner(encoder)
    if not hasattr(network, "fbank"):
        yield
        return
    ready = {}

    def keep(wave: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        key = tuple(length.tolist())
        if key not in ready:
            ready[key] = frontend(wave, length)
        return ready[key]

    frontend, network.fbank = network.fbank, keep
    try:
        with torch.inference_mode():
            for batch in batches:  # as long as the encoder pads them
                keep(*batch)
        yield
    finally:
        network.fbank = frontend


def inner(encoder: Encoder) -> torch.nn.Module:
    """The encoder that an untrained twin delegates to, any other by itself."""
    return encoder.encoder if registry.is_twin(encoder.card.id) else encoder


def product_peak() -> float:
    """Float operations per second of a large matrix product, every core with a product of its own."""
    a, size = torch.randn(1024, 1024), 1024

    def once(_: int) -> None:
        for _ in range(8):
            a @ a

    with workers(cores()) as pool:
        list(pool.map(once, range(cores())))
        began = perf_counter()
        list(pool.map(once, range(cores())))
        return cores() * 8 * 2 * size**3 / (perf_counter() - began)


def operations(encoder: Encoder, prepared: Prepared) -> float:
    """Float operations of one clip's forward pass, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    unit = clips.units(prepared.rows, prepared.recordings)[0]
    wave, length = collate(encoder, clips.waves(unit, prepared.root, encoder.card.sample_rate)[:1])
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        encoder(wave, length)
    return float(counter.get_total_flops())


class Busy:
    """A process that keeps one core busy."""

    def __enter__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def measured(prepared: Prepared) -> tuple[list[tuple[str, float, float, float, float | None]], list[str]]:
    """Rows (what, clips/s of the store, clips/s of the other way, their ratio, limit), and remarks."""
    torch.set_num_threads(cores())
    rows, remarks = [], []
    encoder = load_encoder(SMALL)
    many = part(prepared, RECORDINGS[SMALL])
    former = {name: part(prepared, count) for name, count in FORMER_RECORDINGS.items()}
    through_the_store(encoder, former["busy"])  # warms up
    new = through_the_store(encoder, many)

    def row(what: str, ours: float, other: float, limit: str | None) -> None:
        rows.append((what, ours, other, ours / other, LIMITS.get(limit or "")))
        print(f"{what}: {ours:.1f} against {other:.1f} clips/s, {ours / other:.2f} times", flush=True)

    row(f"{SMALL}, idle, against equal lengths", new, recording_by_recording(encoder, former["idle"]), "idle")
    loop = clip_by_clip(encoder, former["idle"])
    row(f"{SMALL}, idle, against clip by clip", new, loop, SMALL)
    network, size = bare(encoder, former["idle"], many=NETWORK_BATCHES)
    remarks.append(
        f"The network of `{SMALL}` alone, on spectrograms that are ready in batches of {size}, does {network:.0f} "
        f"clips/s, {network / loop:.1f} times what the loop does with everything."
    )
    print(remarks[-1])
    with Busy():
        beside = through_the_store(encoder, many)
        slow = recording_by_recording(encoder, former["busy"])
        row(f"{SMALL}, beside a busy process, against equal lengths", beside, slow, "busy")
        with workers(1) as pool:
            alone = pool.submit(recording_by_recording, encoder, former["idle"]).result()
        row(f"{SMALL}, beside a busy process, against equal lengths with one thread", beside, alone, None)
    encoder = load_encoder(LARGE)
    few = part(prepared, RECORDINGS[LARGE])
    peak, per_clip = product_peak(), operations(encoder, few)
    fastest, size = bare(encoder, few)
    ours = through_the_store(encoder, few)
    row(f"{LARGE}, against the bare forward pass in batches of {size}", ours, fastest, "bare")
    loop = clip_by_clip(encoder, few)
    row(f"{LARGE}, against clip by clip", ours, loop, LARGE)
    gflops = per_clip * ours / 1e9
    remarks.append(
        f"A clip takes `{LARGE}` {per_clip / 1e9:.0f} GFLOP, so {ours:.2f} clips/s are {gflops:.0f} GFLOP/s: "
        f"{100 * per_clip * ours / peak:.0f} % of the {peak / 1e9:.0f} GFLOP/s that a product of 1,024 x 1,024 float32 "
        f"matrices reaches on {cores()} cores; the bare forward pass reaches {100 * per_clip * fastest / peak:.0f} %, "
        f"the loop {100 * per_clip * loop / peak:.0f} %, and {LIMITS[LARGE]} times the loop would be "
        f"{100 * LIMITS[LARGE] * per_clip * loop / peak:.0f} %."
    )
    print(remarks[-1])
    return rows, remarks


def main() -> int:
    """Measures, prints, writes; exit status 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the figures into results/encode/speed.md")
    asked = parser.parse_args()
    rows, remarks = measured(prepare(load_task(TASK)))
    missed = [what for what, *_, ratio, limit in rows if limit and ratio < limit]
    if asked.write:
        page(rows, remarks)
    for what in missed:
        print(f"missed: {what}")
    return 1 if missed else 0


def page(rows: Sequence[tuple[str, float, float, float, float | None]], remarks: Sequence[str]) -> None:
    """Writes results/encode/speed.md."""
    version = torch.__version__.partition("+")[0]
    lines = ["# Speed of encoding", "", "    python scripts/benchmarks/encode.py --write", ""]
    lines += [f"Real SPRSound events, from sound files to features on disk; {cores()} cores of {processor()}, torch"]
    lines += [f"{version}. Ratios are of one run.", ""]
    lines += ["| | clips/s | of the other way | times | at least |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {what} | {ours:.3g} | {other:.3g} | {ratio:.2f} | {limit or ''} |"
        for what, ours, other, ratio, limit in rows
    ]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join([*lines, "", *remarks, ""]), encoding="utf-8")
    seal_pages(PAGE.parent, [PAGE.name], "python scripts/benchmarks/encode.py --write")


if __name__ == "__main__":
    sys.exit(main())
