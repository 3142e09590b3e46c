"""How far the two normalisations of QLung's audio quality score agree: python scripts/benchmarks/audio_quality.py

The paper does not say how spectral entropy and RMS energy come to [0, 1]; the method ``qlung`` offers two ways. Both
are measured on the training clips of the corpora at hand, at the sampling rate of AST. Writes audio_quality.md, sealed.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import bench
from bench.data.manifest import TRAIN, prepare
from bench.finetune.data.audio_quality import grading
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.methods import default_options
from bench.reports.pages import seal_pages, write_pages
from bench.reports.tables import markdown
from bench.types import Task

TASKS = ("icbhi.cycles4", "sprsound.events2", "sprsound.records3")
RATE = 16000
NORMALISATIONS = ("training", "absolute")
POOR = "Poor Quality"  # what clinicians call some recordings of SPRSound
FAR = 0.05  # radians

READING = """\
The method `qlung` widens the angle of a clip by a margin that grows with its audio quality score
AQS = clip(1 - 0.7 H + 0.3 R, 0, 1), H the spectral entropy and R the RMS energy. The paper does not say how H and R
come to [0, 1], so the method has two ways, of which `normalisation = "training"` is the default:

- **training**: each clip as it was recorded; H by Welch's method on 50-2000 Hz; R the level in dB between the 5th and
  the 95th percentile of the training clips.
- **absolute**: each clip repeated to 8 s; H over the whole band in windows of 25 ms every 10 ms; R the RMS of full
  scale.

The margin by quality is 0.5 AQS radians, of which the method takes half. *Margins apart* is the mean difference of that
half between the two ways, *far apart* the share of clips where it exceeds {far} radians, *order* Spearman's correlation
of the two scores. The last columns say how well a low score finds the recordings that clinicians called {poor!r}
(area under the ROC curve; 0.5 is chance), where a task has that class."""


def scores(task: Task, stores: ClipStores) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """({normalisation: score of every training clip}, their labels)."""
    prepared = prepare(task)
    store = stores.get(prepared, RATE, "native")
    training = np.flatnonzero(np.isin(prepared.rows["split"].to_numpy(), TRAIN))
    options, corpus, found = default_options("qlung"), task.card.id.partition(".")[0], {}
    for name in NORMALISATIONS:
        by = grading(f"aqs-{name}", {part: options[part] for part in ("entropy", "energy")})
        found[name] = np.array(by.qualities([by.measure(store[row], RATE) for row in training], corpus))
    return found, prepared.rows["label"].to_numpy()[training]


def line(task: Task, stores: ClipStores) -> list[str]:
    """A row of the table."""
    found, label = scores(task, stores)
    ours, other = (found[name] for name in NORMALISATIONS)
    options = default_options("qlung")
    apart = options["gamma"] * options["kappa"] * np.abs(ours - other)
    finds = ["–", "–"]
    if POOR in task.card.classes:
        poor = label == task.card.classes.index(POOR)
        finds = [f"{roc_auc_score(poor, -each):.3f}" for each in (ours, other)]
    return [
        task.card.id,
        str(len(label)),
        *(f"{each.mean():.2f} ± {each.std():.2f}" for each in (ours, other)),
        f"{spearmanr(ours, other).statistic:.2f}",
        f"{apart.mean():.3f}",
        f"{100 * (apart > FAR).mean():.0f} %",
        *finds,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of audio_quality.md")
    arguments = parser.parse_args()
    stores = ClipStores()
    header = ["task", "training clips", "training: mean ± SD", "absolute: mean ± SD", "order", "margins apart (rad)"]
    header += ["far apart", "training finds poor", "absolute finds poor"]
    table = markdown(header, [line(bench.load_task(name), stores) for name in TASKS], right=range(1, len(header)))
    command = f"python scripts/benchmarks/audio_quality.py --out {arguments.out.as_posix()}"
    text = "\n\n".join(
        [
            "# Two normalisations of QLung's audio quality score",
            READING.format(far=FAR, poor=POOR),
            table,
            f"Made by:\n\n    {command}",
        ]
    )
    write_pages(arguments.out, {"audio_quality.md": text + "\n"})
    seal_pages(arguments.out, ["audio_quality.md"], command)
    print(table)


if __name__ == "__main__":
    main()
