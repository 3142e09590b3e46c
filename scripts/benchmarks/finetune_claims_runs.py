"""Fine-tuning runs of the claims: each alone, in processes beside each other, kept where a second call finds them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from finetune_claims_corpora import CORPORA, PROBES, written
from finetune_claims_encoder import Frames
from finetune_claims_numbers import Run
from finetune_claims_plan import Plan

import bench
from bench.data.manifest import prepare
from bench.encoders.weights.find import parameter_digest
from bench.finetune import Recipe, TrainingDiverged, fit
from bench.finetune.fitting import TRAINING_FOLDER
from bench.finetune.record import run_specs
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.start import prepare_run
from bench.runs.evaluate import assemble_record, encoder_facts
from bench.scores import records
from bench.types import Task


@dataclass(frozen=True)
class Job:
    """One fine-tuning: of a recipe on a corpus in the folder ``corpora``, with a seed; ``kept`` holds its records and
    weights. ``last``: scored and probed after its last epoch, whatever the validation patients say."""

    corpus: str
    recipe: Recipe
    seed: int
    corpora: Path
    kept: Path
    last: bool = False

    def __call__(self) -> Run:
        began = time.monotonic()
        made = (at_last_epoch if self.last else run)(self)
        told = f"{self.corpus} {self.recipe.name} seed {self.seed}{', last epoch' if self.last else ''}"
        print(f"{told}: {time.monotonic() - began:.1f} s", flush=True)
        return made


def write_corpora(plan: Plan, folder: Path) -> None:
    """Write every corpus of the plan, and those that encoders are probed on, into ``folder``."""
    for name in dict.fromkeys([*plan.methods, *(PROBES[name] for name in plan.methods if name in PROBES)]):
        written(CORPORA[name], folder / name, plan.corpus_seed, plan.patients)


def load(name: str, folder: Path) -> Task:
    """A corpus that was written, as a task."""
    return bench.load_task(f"csv.{folder / name / name}.csv")


def run(job: Job) -> Run:
    """One fine-tuning, and the linear probe on the trained encoder as it is where its corpus has one."""
    try:
        fitted = fit(Frames(), load(job.corpus, job.corpora), job.recipe, job.seed, out=job.kept, keep=True)
    except TrainingDiverged as stopped:
        return Run(job.corpus, job.recipe.name, job.seed, None, None, str(stopped))
    probe = None
    if job.corpus in PROBES:
        [probe] = bench.evaluate(fitted.encoder, load(PROBES[job.corpus], job.corpora), "linear")
    return Run(job.corpus, job.recipe.name, job.seed, fitted.records[0], probe, "")


def at_last_epoch(job: Job) -> Run:
    """The same run, after its last epoch; it is trained only where ``kept`` does not hold it."""
    data, chosen = load(job.corpus, job.corpora), job.recipe
    prepared = prepare(data)
    spec = run_specs(Frames(), data.card, prepared, chosen, job.seed)[0]
    start = prepare_run(Frames(), data.card, prepared, chosen, job.seed)
    training = start.training(RunFolder(job.kept / TRAINING_FOLDER / records.key(spec), records.key(spec)))
    training.run()
    encoder = training.model.encoder.eval()
    encoder.weights_digest = parameter_digest(encoder)
    encoder.card = replace(encoder.card, from_scratch=False)
    [probe] = bench.evaluate(encoder, load(PROBES[job.corpus], job.corpora), "linear")
    scores, facts = training.folder.load_scores(chosen.epochs - 1, "test"), encoder_facts(encoder.card, data.card)
    record = assemble_record(data.card, prepared, spec, scores, {"method": "the last epoch"}, facts, {})
    return Run(job.corpus, chosen.name, job.seed, record, probe, "")


def done(jobs: Sequence[Job], processes: int) -> list[Run]:
    """Do jobs in as many processes, in order."""
    if processes == 1:
        return [job() for job in jobs]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        return [each.result() for each in [pool.submit(job) for job in jobs]]
