"""Every encoder's speed: python scripts/benchmarks/encoders.py [--write] [ENCODER ...]

Clips per second of one core from sound files to features on disk, of every encoder that has weights at hand or runs
untrained, on SPRSound's events and ICBHI's cycles, and the share of the bare forward pass: the network on spectrograms
that are ready, or on waveforms where the front end is part of the network. Seconds are the processor's, so that other
programs on the machine count little. ``--write`` puts the table into results/encode/encoders.md, and the speeds into
encoders.csv beside it, which standings and docs/encoders.md read (``bench.reports.leaderboard.standings.cost``,
``scripts/docs_pages.py``). Where encoders are named, what is written of others stays.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import torch
from encode import bare, inner, part, through_the_store

from bench.base import registry
from bench.base.errors import RespBenchError
from bench.base.parallel.engine import Engine
from bench.base.provenance import processor
from bench.data.manifest import Prepared, load_task, prepare
from bench.encoders.features.statistics import fit
from bench.encoders.load import load_encoder, needs_statistics
from bench.encoders.weights.find import at_hand
from bench.reports.pages import seal_pages
from bench.types import Encoder

TASKS = {"SPRSound": "sprsound.events2", "ICBHI": "icbhi.cycles4"}
SECONDS = 2.5  # that one measurement may take, about
MOST, LEAST = 1500, 2  # clips
SPREAD = 40  # clips up to which each is of another recording
BATCHES = (1, 4)
ALONE = Engine(workers=1)
NOT_MEASURED = "Not measured, for want of a package or of an agreed licence"
PAGE = Path(__file__).parents[2] / "results" / "encode" / "encoders.md"


def encoders() -> list[str]:
    """Ids to measure: released weights where they are at hand, else the untrained network."""
    ids = []
    for card in registry.cards(registry.ENCODERS):
        if card.id.startswith("random."):
            continue
        ids.append(card.id if not card.weights or at_hand(card) is not None else registry.twin_id(card.id))
    return ids


def timed(id: str, corpora: Collection[Prepared]) -> tuple[list[tuple[float, float]], str]:
    """What was measured of an encoder on each corpus, and what its bare forward pass takes."""
    network = ready(load_encoder(id), next(iter(corpora)))
    front = "spectrograms" if hasattr(network, "fbank") else "waveforms"
    return [measured(network, prepared) for prepared in corpora], front


def ready(encoder: Encoder, prepared: Prepared) -> Encoder:
    """The network as it is once trained: what an untrained one measures of training clips first is no cost of it."""
    train = replace(prepared, rows=prepared.rows[prepared.rows["split"] == "train"].reset_index(drop=True))
    fit(encoder, some(train, LEAST), "native")
    network = inner(encoder)
    network.card, network.weights_digest = replace(network.card, from_scratch=False), encoder.weights_digest
    if needs_statistics(network):
        network.needs_stats = False
    return network


def measured(encoder: Encoder, prepared: Prepared) -> tuple[float, float]:
    """(clips per second through the store, share of the bare forward pass), on as many clips as time allows."""
    speed = through_the_store(encoder, some(prepared, LEAST), ALONE, process_time)  # warms up
    chosen = some(prepared, int(min(MOST, max(LEAST, SECONDS * speed))))
    speed = through_the_store(encoder, chosen, ALONE, process_time)
    sizes = [size for size in BATCHES if size <= len(chosen.rows)]
    return speed, speed / bare(encoder, chosen, 1, process_time, sizes)[0]


def some(prepared: Prepared, clips: int) -> Prepared:
    """About so many clips, evenly spaced: of few, each by itself; of many, those of whole recordings."""
    if clips > SPREAD:
        return part(prepared, max(1, round(clips * prepared.rows["path"].nunique() / len(prepared.rows))))
    rows = prepared.rows.iloc[np.linspace(0, len(prepared.rows) - 1, clips).round().astype(int)]
    return replace(prepared, rows=rows.reset_index(drop=True))


def main() -> int:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("encoder", nargs="*", help="ids as the table has them; by default all")
    parser.add_argument("--write", action="store_true", help="put the table into results/encode/encoders.md")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = {name: prepare(load_task(task)) for name, task in TASKS.items()}
    rows, speeds, left_out = {}, {}, []
    for id in asked.encoder or encoders():
        try:
            found, front = timed(id, data.values())
        except RespBenchError as error:
            print(f"{id}: left out: {error}", flush=True)
            left_out.append(id)
            continue
        cells = [f"{speed:.3g} | {100 * share:.0f} %" for speed, share in found]
        speeds[id] = [f"{id},{name},{speed:.4g}" for name, (speed, _) in zip(TASKS, found)]
        rows[id] = f"{' | '.join(cells)} | {front} |"
        print(f"{head(id)}{rows[id]}", flush=True)
        if asked.write:  # at once: the large ones take minutes
            write(*beside_others(dict(rows), dict(speeds), left_out))
    if asked.write:
        write(*(beside_others(rows, speeds, left_out) if asked.encoder else (rows, speeds, left_out)))
    return 0


Speeds = tuple[
    dict[str, str], dict[str, list[str]], list[str]
]  # {id: row of the page without its head}, {id: lines of the CSV}, left out


def head(id: str) -> str:
    """The first cells of a row: id, parameters."""
    params = registry.encoder_card(registry.original_id(id)).params
    return f"| `{id}` | {f'{params / 1e6:.1f} M' if params else '–'} | "


def beside_others(rows: dict[str, str], speeds: dict[str, list[str]], left_out: Sequence[str]) -> Speeds:
    """What was measured among what is written of other encoders, in the order of the cards."""
    page = PAGE.read_text(encoding="utf-8")
    known = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| (.+)$", page, re.MULTILINE))
    lines = PAGE.with_suffix(".csv").read_text(encoding="utf-8").splitlines()[1:]
    out = [id for found in re.findall(rf"^{NOT_MEASURED}: (.+)\.$", page, re.MULTILINE) for id in found.split(", ")]
    asked = {registry.original_id(id) for id in [*rows, *left_out]}
    rows |= {id: row for id, row in known.items() if registry.original_id(id) not in asked}
    speeds |= {id: [line for line in lines if line.startswith(f"{id},")] for id in rows if id not in speeds}
    out = [*(id for id in out if registry.original_id(id) not in asked), *left_out]
    order = [card.id for card in registry.cards(registry.ENCODERS)]
    ids = sorted(rows, key=lambda id: order.index(registry.original_id(id)))
    return {id: rows[id] for id in ids}, {id: speeds[id] for id in ids}, out


def write(rows: dict[str, str], speeds: dict[str, list[str]], left_out: Sequence[str]) -> None:
    """Writes results/encode/encoders.md and encoders.csv."""
    lines = ["# Speed of every encoder", "", "    python scripts/benchmarks/encoders.py --write", ""]
    lines += [
        f"Clips per second of one core of {processor()}, from sound files to features on disk, and the share of what "
        "the bare forward pass reaches: on spectrograms that are ready, or on waveforms where the front end is "
        "part of the network. Untrained networks (`random.`, `scratch.`) take as long as trained ones; what they "
        "measure of the training clips first is not counted.",
        "",
        f"| encoder | parameters | {' | '.join(f'{name}, clips/s | of bare' for name in TASKS)} | bare on |",
        "|---|---:|" + "---:|" * (2 * len(TASKS)) + "---|",
    ]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    behind = ["", f"{NOT_MEASURED}: {', '.join(left_out)}."] if left_out else []
    lines += [f"{head(id)}{row}" for id, row in rows.items()]
    PAGE.write_text("\n".join([*lines, *behind, ""]), encoding="utf-8")
    table = PAGE.with_suffix(".csv")
    table_rows = [line for id in rows for line in speeds[id]]
    table.write_text("\n".join(["encoder,corpus,clips_per_s", *table_rows, ""]), encoding="utf-8")
    seal_pages(PAGE.parent, [PAGE.name, table.name], "python scripts/benchmarks/encoders.py --write")


if __name__ == "__main__":
    sys.exit(main())
