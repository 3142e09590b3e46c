"""What large corpora would take: python scripts/benchmarks/scale.py [--write]

Units are measured here, in seconds of one core, on real SPRSound recordings; totals are modelled from them and from the
sizes that the corpora's papers give. ``--write`` puts the table into results/encode/scale.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from encode import operations, part

from bench.base.parallel.shared import Shared
from bench.base.parallel.threads import workers
from bench.base.provenance import processor
from bench.data.manifest import Prepared, load_task, prepare
from bench.data.recordings import examine
from bench.encoders.batches import BATCH_S
from bench.encoders.features import blocks
from bench.encoders.features.encoding import BlockEncoding
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.reports.pages import seal_pages

TASK = "sprsound.records3"
SMALL, LARGE = "efficientat.mn04", "random.ast.base"
RECORDINGS = {SMALL: 60, LARGE: 4}
CORES = 16  # of a machine
GPU_FLOPS, GPU_SHARE = 9.9e14, 0.3  # of an H200 in bfloat16 without sparsity (NVIDIA), and what a ViT-B reaches of it
CORPORA = {  # (recordings, hours of audio, where the figures are from)
    "HF_Lung V1": (9_765, 9_765 * 15 / 3600, "Hsu et al., PLOS ONE 2021: 9,765 recordings of 15 s"),
    "Coswara": (2_635 * 9, 65, "Bhattacharya et al., Scientific Data 2023: 2,635 people, nine sounds each, 65 h"),
    "CoughVID": (25_000, 25_000 * 10 / 3600, "Orlandic et al., Scientific Data 2021: over 25,000, 10 s at most each"),
    "UK COVID-19": (
        72_999 * 3,
        72_999 * 3 * 10 / 3600,
        "Budd et al., Scientific Data 2024: 72,999 people; three open recordings each, 10 s assumed",
    ),
}
PAGE = Path(__file__).parents[2] / "results" / "encode" / "scale.md"


def inspection(prepared: Prepared) -> float:
    """Seconds for an hour of audio: decode a recording whole and digest it."""
    paths = sorted(prepared.rows["path"].unique())
    began = time.process_time()
    seconds = sum(examine(prepared.root / path).duration_s for path in paths)
    return (time.process_time() - began) * 3600 / seconds


def encoding(id: str, prepared: Prepared) -> float:
    """Seconds for an hour of audio on one core, from sound files to features."""
    encoder = load_encoder(id)
    store = FeatureStore(encoder, prepared)
    pooling = (-1, encoder.card.default_pooling)
    unit = BlockEncoding(Shared(encoder), store.folder, prepared.root, "native", (pooling,), BATCH_S)
    todo = blocks.cut(store.units, {each.key for each in store.units})
    with workers(1) as pool:
        pool.submit(lambda: unit.features(todo[0], unit.waves(todo[0])[:2])).result() if len(todo) > 1 else None
        began = time.process_time()
        for block in todo:
            pool.submit(lambda block=block: unit.features(block, unit.waves(block))).result()
        taken = time.process_time() - began
    return taken * 3600 / sum(each.seconds for each in store.units)


def main() -> int:
    """Measures, models, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into results/encode/scale.md")
    asked = parser.parse_args()
    prepared = prepare(load_task(TASK))
    parts = {id: part(prepared, count) for id, count in RECORDINGS.items()}
    inspect_s = inspection(parts[SMALL])
    encode_s = {id: encoding(id, parts[id]) for id in (SMALL, LARGE)}
    encoder = load_encoder(LARGE)
    clip_s = parts[LARGE].rows.eval("end_s - start_s").mean()
    gpu_s = operations(encoder, parts[LARGE]) / (GPU_FLOPS * GPU_SHARE) * 3600 / clip_s
    lines = [
        "# What large corpora would take",
        "",
        "    python scripts/benchmarks/scale.py --write",
        "",
        f"Measured on one core of {processor()}, for an hour of audio in recordings of {clip_s:.0f} s: looking at "
        f"recordings {inspect_s:.1f} s; encoding by `{SMALL}` {encode_s[SMALL]:.0f} s, by a ViT-B (`{LARGE}`) "
        f"{encode_s[LARGE] / 60:.0f} min. Modelled from that: blocks are independent, so cores simply add up, "
        f"{CORES} to a machine. A GPU is an H200 that reaches {100 * GPU_SHARE:.0f} % of its {GPU_FLOPS / 1e12:.0f} "
        f"TFLOP/s in bfloat16 and is kept fed by {inspect_s / gpu_s:.0f} or more decoding threads: not measured.",
        "",
        f"| corpus | recordings | hours | machines | looking | `{SMALL}` | ViT-B | ViT-B, one GPU a machine |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (recordings, hours, _) in CORPORA.items():
        for machines in (1, 10, 100):
            share = hours / (machines * CORES)
            cells = [inspect_s * share, encode_s[SMALL] * share, encode_s[LARGE] * share, gpu_s * hours / machines]
            lines.append(f"| {name} | {recordings:,} | {hours:.0f} | {machines} | {' | '.join(map(spoken, cells))} |")
    lines += ["", *(f"- {name}: {source}." for name, (_, _, source) in CORPORA.items()), ""]
    print("\n".join(lines))
    if asked.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text("\n".join(lines), encoding="utf-8")
        seal_pages(PAGE.parent, [PAGE.name], "python scripts/benchmarks/scale.py --write")
    return 0


def spoken(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else "< 1 s"


if __name__ == "__main__":
    sys.exit(main())
