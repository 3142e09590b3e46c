"""What recipes for a GPU cost: python scripts/benchmarks/finetune_recipes.py [RECIPE ...] [--root DATA] [--out FILE.md]

Each recipe is tried on the encoder that its own first lines name, an untrained network of full size, on the ICBHI copy
at hand, simulated clips where there is none: a few steps on short to long batches, as ``--estimate`` takes them. The
table says clips a second, memory, and how long the whole run of one seed would take. Weights are random: it says
nothing of scores. Without a GPU name the recipes to try, which then run in float32, and slowly.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from finetune_gpu import task_at_hand

import bench
from bench.base import registry
from bench.base.errors import RespBenchError
from bench.data.manifest import Prepared, prepare
from bench.finetune.cost import estimate_prepared
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.recipe import load_recipe
from bench.reports.tables import markdown
from bench.types import TaskCard

RECIPES = Path(__file__).parents[1] / "recipes" / "finetune"
NAMED = re.compile(r"^#\s+respbench finetune --recipe \S+ --encoder (\S+)", re.MULTILINE)
HEADER = ("recipe", "encoder", "precision", "batch", "clips/s", "memory (GB)", "epochs", "hours, one seed")


def encoders() -> dict[str, str]:
    """{recipe: the encoder that its first lines name}, of the recipes that ask for a GPU."""
    named = {path.stem: NAMED.search(path.read_text(encoding="utf-8")) for path in sorted(RECIPES.glob("*.toml"))}
    return {name: found[1] for name, found in named.items() if found and load_recipe(name).needs.startswith("a GPU")}


def cost(name: str, encoder_id: str, card: TaskCard, prepared: Prepared, device: str) -> list[str]:
    """A row of the table. Raises ``RespBenchError`` where the recipe does not fit the encoder or the task."""
    recipe = load_recipe(name)
    if device == "cpu":
        recipe = replace(recipe, precision="float32")
    else:
        torch.cuda.reset_peak_memory_stats()
    encoder = bench.load_encoder(registry.twin_id(encoder_id), device=device)
    found = estimate_prepared(encoder, card, prepared, recipe, 0, ClipStores())
    measured = (f"{found.clips / found.train_s:.1f}", f"{found.memory_mb / 1e3:.2f}")
    return [
        name,
        encoder_id,
        recipe.precision,
        str(recipe.batches.size),
        *measured,
        str(found.epochs),
        f"{found.device_hours:.2f}",
    ]


def main() -> int:
    """Measures, prints, writes; 1 where a recipe could not be tried."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", nargs="*", help="by default all that ask for a GPU")
    parser.add_argument("--root", type=Path, help="data folder")
    parser.add_argument("--out", type=Path, help="also write the table here")
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    known = encoders()
    if unknown := set(asked.recipe) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: no recipe for a GPU; known: {', '.join(known)}")
    if device == "cpu" and not asked.recipe:
        parser.error("there is no GPU here; name the recipes to try on the CPU")
    rows, failed = [], []
    with tempfile.TemporaryDirectory() as folder:
        task = task_at_hand(asked.root, Path(folder), small=False)
        prepared = prepare(task)
        for name in asked.recipe or known:
            try:
                rows.append(cost(name, known[name], task.card, prepared, device))
                print(*rows[-1], flush=True)
            except (RespBenchError, torch.OutOfMemoryError) as error:
                failed.append(f"{name}: {error}")
                print(failed[-1], flush=True)
            gc.collect()
            if device != "cpu":
                torch.cuda.empty_cache()
    machine = torch.cuda.get_device_name() if device != "cpu" else "CPU"
    about = f"{machine}, torch {torch.__version__}; {task.card.id}, {task.state}, {len(task.manifest)} clips."
    text = "\n\n".join([about, markdown(HEADER, rows, right=range(3, 8)), *failed])
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
