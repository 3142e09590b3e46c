"""Writes and seals results/parity.md: how far every encoder is from its original, and what half precision changes.

    python scripts/parity.py [--golden FOLDER] [--device cuda] [--speed] [--out results/parity.md]

``--golden`` is the folder of complete fixtures (by default the one beside RESPBENCH_DATA, else tests/golden).
``--speed`` also times the full-size networks, untrained, on clips of 5 s.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the packages before the tests' folders of the same names

from bench.encoders.batches import embed  # noqa: E402
from bench.encoders.load import load_encoder  # noqa: E402
from bench.reports.pages import seal_pages  # noqa: E402
from bench.reports.tables import markdown  # noqa: E402
from bench.types import PRECISIONS  # noqa: E402
from parity import GATES, Case, build, cases, differences  # noqa: E402
from parity.golden import COMPACT, COMPACT_ALONE, Golden, place_of  # noqa: E402

SPEED_CLIPS, SPEED_S = 8, 5.0


def fixtures(folder: Path | None) -> Path:
    """The folder that was asked for, else the complete fixtures, else the compact ones."""
    beside = Path(os.environ.get("RESPBENCH_DATA") or "data").resolve().parent / "golden"
    return folder or (beside if beside.is_dir() else COMPACT)


def parity_rows(case: Case, golden: Golden, encoder: torch.nn.Module) -> Iterator[list[str]]:
    """One row per kind of array: the largest difference over all signals and its share of the gate."""
    worst: dict[str, tuple] = {}
    for found in differences(case, golden, encoder):
        kind = found.array.partition("/")[2] or found.array
        old = worst.get(kind)
        worst[kind] = (
            found.gate,
            max(found.largest, old[1] if old else 0.0),
            max(found.share, old[2] if old else 0.0),
            1 + (old[3] if old else 0),
        )
    for kind, (gate, largest, share, count) in worst.items():
        verdict = "holds" if share <= 1 else "FAILS"
        yield [case.encoder, case.fixture, kind, str(count), gate, f"{largest:.1e}", f"{100 * share:.1f} %", verdict]


def drift_row(case: Case, golden: Golden, encoder: torch.nn.Module) -> list[str]:
    """Largest change of the default pooling under autocast, relative to its largest value."""
    waves = [golden.wave(signal, encoder.card.sample_rate) for signal in case.signals]
    vectors = []
    for precision in PRECISIONS:
        encoder.precision = precision
        vectors.append(embed(encoder, waves, None))
    encoder.precision = PRECISIONS[0]
    exact, *halves = vectors
    cosine = [
        float(((exact * h).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(h, axis=1)).min()) for h in halves
    ]
    return [
        case.encoder,
        encoder.card.default_pooling,
        *(f"{np.abs(h - exact).max() / np.abs(exact).max():.1e}" for h in halves),
        *(f"{c:.6f}" for c in cosine),
    ]


def size_row(case: Case, golden: Golden, encoder: torch.nn.Module, folder: Path) -> list[str]:
    """Parameters of the full-size checkpoint that is built from the original's own list of tensors."""
    full = build(case, golden.full(folder, case.constants))
    listed = sum(int(np.prod(shape)) for _, shape, _, _ in golden.manifest("manifest_full.json"))
    used = sum(p.numel() for p in full.parameters())
    figures = (used, full.card.params, listed - used, listed)
    return [case.encoder, *(f"{figure:,}" for figure in figures), case.paper_params or "–"]


def speed_row(id: str, device: str) -> list[str]:
    """Clips of 5 s per second through the full-size network, untrained, in every precision."""
    row = [id]
    for precision in PRECISIONS:
        encoder = load_encoder(f"random.{id}", device=device, precision=precision)
        rng = np.random.default_rng(0)
        n = round(SPEED_S * encoder.card.sample_rate)
        waves = [(0.1 * rng.standard_normal(n)).astype(np.float32) for _ in range(SPEED_CLIPS)]
        embed(encoder, waves[:1], None)
        began = time.perf_counter()
        embed(encoder, waves, None)
        row.append(f"{SPEED_CLIPS / (time.perf_counter() - began):.1f}")
    return row


def report(folder: Path, device: str, speed: bool, command: str) -> tuple[str, bool]:
    """The page, and whether every gate holds."""
    parity, drift, sizes, absent = [], [], [], []
    for case in cases():
        place = place_of(case.fixture, folder)
        if place is None:
            absent.append(f"{case.encoder} ({case.fixture})")
            continue
        golden = Golden(place, case.fixture)
        with tempfile.TemporaryDirectory() as scratch:
            encoder = build(case, case.weights(golden, Path(scratch)), device)
            parity += parity_rows(case, golden, encoder)
            drift.append(drift_row(case, golden, encoder))
            if golden.has_full and "@" not in case.encoder:
                sizes.append(size_row(case, golden, encoder, Path(scratch)))
    held = all(row[-1] == "holds" for row in parity)
    gates = ", ".join(f"{name} {a:g} + {r:g} |x|" for name, (a, r) in GATES.items())
    parts = [
        "# Parity with the original implementations",
        f"Made by `{command}` with torch {torch.__version__} on {_device(device)}, "
        f"{torch.get_num_threads()} threads, {platform.python_version()}.",
        "Every array that the public original (of openl3 a port of it) computes on a reduced network with synthetic "
        "weights is compared with ours after loading the same checkpoint in its released format; the largest "
        f"absolute difference over all signals, and its share of what the gate allows. Gates (absolute + relative): "
        f"{gates}. The fixtures {' and '.join(COMPACT_ALONE)} hold fewer arrays than others.",
        markdown(
            ["encoder", "fixture", "array", "arrays", "gate", "largest difference", "share of gate", ""],
            parity,
            right=(3, 5, 6),
        ),
    ]
    if absent:
        parts.append("No fixture at hand: " + ", ".join(absent) + ".")
    parts += [
        "## Full size",
        "Checkpoints rebuilt from the original's list of tensors load strictly: every value in the file is a parameter "
        "of ours, or declared not to be one (heads, decoders, projectors, copies of tied tensors, constants, "
        "batch-norm statistics). The last column is the paper's own figure, where we know it.",
        markdown(
            ["encoder", "parameters", "on the card", "not parameters of ours", "values in the file", "paper"],
            sizes,
            right=range(1, 6),
        ),
        "## Half precision",
        "Largest change of the default pooling, relative to its largest value, and smallest cosine similarity with "
        "float32, on the fixtures' reduced networks. Front ends stay in float32.",
        markdown(
            ["encoder", "pooling", "bfloat16", "float16", "cosine bfloat16", "cosine float16"],
            drift,
            right=range(2, 6),
        ),
    ]
    if speed:
        ids = list(dict.fromkeys(c.encoder for c in cases() if "@" not in c.encoder))
        parts += [
            "## Speed",
            f"Clips of {SPEED_S:g} s per second, full-size untrained networks, batches of the default size.",
            markdown(["encoder", *PRECISIONS], [speed_row(id, device) for id in ids], right=range(1, 4)),
        ]
    return "\n\n".join(parts) + "\n", held


def _device(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else f"CPU ({platform.machine()})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, help="folder of fixtures")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--speed", action="store_true", help="also time the full-size networks")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "parity.md")
    arguments = parser.parse_args()
    command = "python scripts/parity.py" + "".join(
        f" {a}" for a in (["--device", arguments.device] if arguments.device != "cpu" else [])
    )
    command += " --speed" if arguments.speed else ""
    text, held = report(fixtures(arguments.golden), arguments.device, arguments.speed, command)
    arguments.out.write_text(text, encoding="utf-8")
    seal_pages(arguments.out.parent, [arguments.out.name], command)
    print(text)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
