"""Runs that the first results asked for: the shortcut's corpus at the last epoch, and quality-margin's margins without
the quality. They were planned after the results were known, so no verdict hangs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from finetune_claims_encoder import Frames
from finetune_claims_numbers import BASE, Run

import bench
from bench.data.manifest import prepare
from bench.encoders.weights.find import parameter_digest
from bench.finetune import Recipe
from bench.finetune.record import run_specs
from bench.finetune.training.checkpoints import RunFolder
from bench.finetune.training.start import prepare_run
from bench.runs.evaluate import assemble_record, encoder_facts
from bench.types import Task

OPTIONS: Mapping[str, float] = {"gamma": 0.5}  # of log-margin: quality-margin's own share


def at_last_epoch(data: Task, chosen: Recipe, seed: int, corpus: str, devices: Task, folder: Path) -> Run:
    """One fine-tuning, scored and probed as it is after its last epoch, whatever the validation patients say."""
    prepared = prepare(data)
    start = prepare_run(Frames(), data.card, prepared, chosen, seed)
    training = start.training(RunFolder(folder / f"{chosen.name}-{seed}", "last"))
    training.run()
    encoder = training.model.encoder.eval()
    encoder.weights_digest = parameter_digest(encoder)
    encoder.card = replace(encoder.card, from_scratch=False)
    [probe] = bench.evaluate(encoder, devices, "linear")
    scores, facts = training.folder.load_scores(chosen.epochs - 1, "test"), encoder_facts(encoder.card, data.card)
    record = assemble_record(
        data.card,
        prepared,
        run_specs(Frames(), data.card, prepared, chosen, seed)[0],
        scores,
        {"method": "the last epoch"},
        facts,
        {},
    )
    return Run(corpus, chosen.name, seed, record, probe, "")


def beside(runs: Sequence[Run], corpus: str, methods: Sequence[str] = (BASE, "quality-margin")) -> list[Run]:
    """The runs already made that new ones on a corpus are compared with."""
    return [run for run in runs if run.corpus == corpus and run.method in methods]
