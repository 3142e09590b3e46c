"""How far what lies below one 16-bit step moves every encoder's input: python scripts/benchmarks/floor.py [--write]

Recordings of SPRSound (8 kHz) are resampled to the encoder's rate, where the upper part of the band holds rounding
alone, and given to its front end as they are, with triangular noise of amplitude 1e-7 (a three-hundredth of a 16-bit
step), and with dither of one step. A shift is that of a clip's mean over time in one band, in units of the band's
standard deviation over the clips. Weights are random: a front end has none, but for statistics, measured on the clips.
Encoders that show no spectrogram are measured at their embedding, with random weights where they have any.

``--write`` puts every number into results/encode/floor.json and the table into results/encode/floor.md;
``scripts/docs_pages.py`` then takes it into docs/encoders.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.base import registry
from bench.base.errors import RespBenchError
from bench.data import audio
from bench.data.manifest import load_task, prepare
from bench.data.policies import dither
from bench.encoders.batches import collate, embed
from bench.encoders.load import load_encoder
from bench.reports.pages import seal_pages
from bench.reports.tables import markdown
from bench.scores.printed import BLANK

TASK, CLIPS, LEAST_S, MOST_S = "sprsound.events2", 16, 0.5, 2.0
NOISES = {"1e-7": 1e-7, "one 16-bit step": dither.STEP}
SENSITIVE = 1.0  # standard deviations: under the smaller noise a clip moves as far as clips differ
FOLDER = Path(__file__).resolve().parents[2] / "results" / "encode"
COMMAND = "python scripts/benchmarks/floor.py --write"


class _Seen(Exception):
    """Carries a spectrogram out of a forward pass before the network begins."""


def waves(rate: int) -> dict[str, list[np.ndarray]]:
    """{noise, "" for none: clips at a rate}, spread evenly over the recordings at hand."""
    prepared = prepare(load_task(TASK), "exclude")
    lasts = prepared.rows["end_s"] - prepared.rows["start_s"]
    rows = prepared.rows[(lasts >= LEAST_S) & (lasts <= MOST_S)]
    rows = rows.iloc[np.linspace(0, len(rows) - 1, CLIPS).astype(int)]
    out: dict[str, list[np.ndarray]] = {"": []}
    for path, start_s, end_s in zip(rows["path"], rows["start_s"], rows["end_s"]):
        wave, native = audio.read(Path(prepared.root) / path, start_s, end_s)
        out[""].append(audio.resample(wave, native, rate))
    for name, amplitude in NOISES.items():
        scale = amplitude / dither.STEP
        noises = [scale * dither.noise(len(wave), str(i)) for i, wave in enumerate(out[""])]
        out[name] = [(wave + noise).astype(np.float32) for wave, noise in zip(out[""], noises)]
    return out


def shifts(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    """Largest and median shift of the features (clips, P), and the share of those that move by ``SENSITIVE`` or more.

    Shifts are in standard deviations over the clips; features that do not vary are left out.
    """
    deviation = before.std(axis=0, dtype=np.float64)
    varies = deviation > 0
    moved = np.abs(after - before)[:, varies].max(axis=0) / deviation[varies]
    if not len(moved):
        return {"largest": 0.0, "median": 0.0, "share": 0.0}
    return {"largest": moved.max(), "median": float(np.median(moved)), "share": float((moved >= SENSITIVE).mean())}


def band_means(encoder: Any, clips: Sequence[np.ndarray]) -> np.ndarray:
    """(clips, bands) means over time of what the encoder's network is given."""

    def see(spectrogram: torch.Tensor) -> torch.Tensor:
        raise _Seen(spectrogram)

    encoder.taps = {"spectrogram": see}
    out = []
    for clip in clips:
        try:
            with torch.inference_mode():
                encoder(*collate(encoder, [clip]))
        except _Seen as seen:
            out.append(seen.args[0][0].mean(dim=0).double().numpy())
    encoder.taps = {}
    return np.stack(out)


def untrained(id: str) -> Any:
    """The encoder's network with random weights, or the encoder itself where it has none. Raises as loading does."""
    card = registry.encoder_card(id)
    if not card.weights:
        return load_encoder(id)
    return load_encoder(f"{registry.UNTRAINED_PREFIX}{id}").encoder


def measured(id: str, clips: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """Where an encoder was measured, and its shifts under each noise."""
    encoder = untrained(id)
    if getattr(encoder, "needs_stats", False):
        encoder.fit_stats([collate(encoder, [clip]) for clip in clips[""]])
    shown = "spectrogram" in getattr(encoder, "offers", ())
    means = {
        name: band_means(encoder, part) if shown else embed(encoder, part, None, encoder.card.pool_layer)
        for name, part in clips.items()
    }
    found = {name: shifts(means[""], means[name]) for name in NOISES}
    return {"at": "spectrogram" if shown else "embedding", "shifts": found}


def front_ends() -> Iterator[tuple[str, list[str]]]:
    """(id, all ids that share its front end): an encoder under each of its input policies."""
    shared: dict[tuple, list[str]] = {}
    for card in registry.cards(registry.ENCODERS):
        for policy in card.policies:
            id = card.id if policy == card.policies[0] else f"{card.id}@{policy}"
            family = card.id.partition(".")[0]
            own = card.id if family in ("meta", "opensmile", "s3prl", "fbank", "mfcc", "m2d") else family
            key = (own, policy, card.frontend, card.sample_rate)
            shared.setdefault(key, []).append(id)
    yield from ((ids[0], ids) for ids in shared.values())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The measured front ends as a Markdown table, the most sensitive first."""
    lines = []
    for row in sorted(
        rows, key=lambda row: (-row["shifts"]["1e-7"]["largest"] if "shifts" in row else 1.0, row["ids"])
    ):
        ids = ", ".join(f"`{id}`" for id in row["ids"])
        if "shifts" not in row:
            lines.append([ids, row["why"], *[BLANK] * 5])
            continue
        small, step = (row["shifts"][name] for name in NOISES)
        cells = [f"{small['largest']:.2g}", f"{100 * small['share']:.0f} %", f"{step['largest']:.2g}"]
        said = "**yes**" if small["largest"] >= SENSITIVE else "no"
        lines.append([ids, row["at"], said, *cells, f"{100 * step['share']:.0f} %"])
    header = ["encoder", "measured at", "sensitive", "1e-7: largest", "moved", "one step: largest", "moved "]
    return markdown(header, lines, right=(3, 4, 5, 6))


def main() -> int:
    """Measures every front end; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write results/encode/floor.json and floor.md")
    parser.add_argument(
        "--only", nargs="+", metavar="ID", help="measure these encoders alone, and keep what is written of others"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    clips: dict[int, dict[str, list[np.ndarray]]] = {}
    rows: list[dict[str, Any]] = []
    written = json.loads((FOLDER / "floor.json").read_text(encoding="utf-8")) if asked.only and asked.write else []
    for id, ids in front_ends():
        if asked.only and not set(ids) & set(asked.only):
            rows += [row for row in written if row["ids"] == ids]
            continue
        rate = registry.encoder_card(id).sample_rate
        clips[rate] = clips.get(rate) or waves(rate)
        try:
            rows.append({"ids": ids, **measured(id, clips[rate])})
        except (RespBenchError, ImportError) as error:
            rows.append({"ids": ids, "why": f"not measured: {str(error).splitlines()[0]}"})
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = "\n".join(
        [
            "# What lies below one 16-bit step, at the encoders' front ends",
            "",
            f"    {COMMAND}",
            "",
            f"{CLIPS} clips of SPRSound (8 kHz) with noise of amplitude 1e-7, and with dither of one 16-bit step. "
            "*Largest*: the most that a clip's mean in a band (or a feature of its embedding) moves, in standard "
            f"deviations of the band over the clips; *moved*: share of bands that move by one or more. "
            "*Sensitive*: some band does under 1e-7, so that its numbers depend on the make of the processor.",
            "",
            table(rows),
            "",
        ]
    )
    print(text)
    if asked.write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "floor.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        (FOLDER / "floor.md").write_text(text, encoding="utf-8")
        seal_pages(FOLDER, ["floor.md"], COMMAND)
    return 0


if __name__ == "__main__":
    sys.exit(main())
