"""Fine-tuning as one call: from encoder, task, recipe and seed to records and the trained encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.base import provenance
from bench.base.errors import BadInput, UnknownId
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared, prepare
from bench.encoders.weights.code import revisions
from bench.encoders.weights.find import parameter_digest
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.recipe import Recipe, load_recipe
from bench.finetune.record import PROTOCOLS_OF_RUN, build_record, run_specs, total_seconds
from bench.finetune.training.checkpoints import CHOSEN, TRAINING_FOLDER, RunFolder
from bench.finetune.training.loop import Training
from bench.finetune.training.start import RunStart, prepare_run, run_folder
from bench.finetune.training.teachers import find_teachers, taught
from bench.probe.protocols import FINETUNE
from bench.runs import evaluate
from bench.scores import records
from bench.scores.schema import Record, RunFacts, Spec
from bench.types import Encoder, Task, TaskCard


@dataclass(frozen=True)
class Fit:
    """What one run gives.

    Attributes
    ----------
    records
        Of a run that withholds validation patients: the record whose epoch they chose (protocol ``finetune``), and the
        one whose epoch the test chose (``finetune/best-test-epoch``). Of a run on all training rows:
        ``literature/best-test-epoch``.
    encoder
        The encoder with the weights of the epoch that validation patients chose, ready for ``bench.evaluate`` and
        ``bench.embed``; None where the records existed already and the weights were not kept, and where nobody
        validated.
    """

    records: tuple[Record, ...]
    encoder: Encoder | None


def fit(
    encoder: Encoder,
    task: Task,
    recipe: Recipe | str | Path,
    seed: int = 0,
    *,
    out: Path | None = None,
    on_bad_clip: str = "error",
    keep: bool = False,
    progress: Progress = silent,
    protocol: str = FINETUNE,
    trust_remote_code: str | Sequence[str] | None = None,
) -> Fit:
    """Fine-tune a copy of an encoder on a task's training clips, on the device of the encoder.

    Parameters
    ----------
    encoder
        Stays as it is.
    task
        A multiclass task with recordings.
    recipe
        A recipe, or what ``load_recipe`` takes: a name or a TOML file.
    seed
        Decides the validation patients, the head's initial weights, the order of clips and every augmentation.
    out
        A results folder, where records are written: an interrupted run goes on there from its last epoch, and a
        finished one is read, not computed again.
    on_bad_clip
        As for ``bench.data.manifest.prepare``.
    keep
        Whether checkpoints stay in ``out/training/<key>``.
    progress
        Shows the steps.
    protocol
        Which run: ``finetune``, which withholds validation patients, or ``literature/best-test-epoch``, which trains
        on all training rows and lets the test choose.
    trust_remote_code
        As of ``bench.load_encoder``, for the encoders of the recipe's teachers.

    Returns
    -------
    Fit
        The run's records and the trained encoder.

    Raises
    ------
    BadInput
        For unusable data, for a recipe that does not suit the encoder or the task, and where no epoch can be chosen.
    UnknownId
        For a method, recipe or run that does not exist.
    CodeNotTrusted
        For a teacher whose encoder needs code of its own.
    TrainingDiverged
        For a loss, gradient or prediction that is not finite.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    prepared = prepare(task, on_bad_clip, progress)
    return fit_prepared(
        encoder,
        task.card,
        prepared,
        recipe,
        seed,
        out=out,
        keep=keep,
        progress=progress,
        protocol=protocol,
        trusted=revisions(trust_remote_code),
    )


def fit_prepared(
    encoder: Encoder,
    card: TaskCard,
    prepared: Prepared,
    recipe: Recipe,
    seed: int,
    *,
    out: Path | None = None,
    keep: bool = False,
    progress: Progress = silent,
    stores: ClipStores | None = None,
    protocol: str = FINETUNE,
    trusted: Sequence[str] = (),
) -> Fit:
    """Do what ``fit`` does, for clips that have been prepared already; ``stores`` are shared by runs of a process.

    A run that is finished is found without decoding a clip.
    """
    evaluate.check_trainable(card, prepared.rows)
    if protocol not in PROTOCOLS_OF_RUN:
        raise UnknownId("run of fine-tuning", protocol, PROTOCOLS_OF_RUN)
    require_own_folder(recipe, out)
    specs = run_specs(encoder, card, prepared, recipe, seed, protocol)
    stored = [_read_stored(out, spec) for spec in specs]
    folder = Path(out) / TRAINING_FOLDER / records.key(specs[0]) if out else None
    kept = folder is not None and (folder / CHOSEN).exists()
    validated = protocol == FINETUNE
    if all(stored) and not kept and not (keep and folder and validated):
        return Fit(tuple(stored), None)
    stores = stores or ClipStores(progress)
    start = prepare_run(encoder, card, prepared, recipe, seed, stores, protocol=protocol)
    if all(stored) and kept:
        trained = _kept_encoder(start, folder, card)
        if trained is not None or not keep:
            return Fit(tuple(stored), trained)
    if recipe.distillation.teachers:
        teachers = find_teachers(recipe.distillation, card, prepared, seed)
        start = taught(start, teachers, card, prepared, stores, trusted)
    with run_folder(folder) as path:
        training = start.training(RunFolder(path, records.key(specs[0])))
        title = f"{recipe.name} {encoder.card.id} on {card.id}, seed {seed}" + ("" if validated else f", {protocol}")
        steps = training.steps_per_epoch * recipe.epochs
        with progress(title, steps) as tick:
            training.run(tick)
        costs = _costs(training)
        made = tuple(build_record(spec, training, encoder.card, card, prepared, costs) for spec in specs)
        trained = _trained_encoder(training, card) if validated else None
        if out is not None:
            for record in made:
                records.write(record, Path(out))
            if not keep:
                training.folder.remove()
    return Fit(made, trained)


def require_own_folder(recipe: Recipe, out: Path | None) -> None:
    """Raise ``BadInput`` where a recipe's runs would be written among its teachers."""
    if out is not None and Path(out).resolve() in {Path(name).resolve() for name in recipe.distillation.teachers}:
        raise BadInput(out, f"{recipe.name} takes its teachers from the folder that it writes to", "give another --out")


def _read_stored(out: Path | None, spec: Spec) -> Record | None:
    """Read the record of a spec where a results folder holds it whole."""
    if out is None:
        return None
    path = records.path(Path(out), spec["task"], records.key(spec))
    try:
        return records.read(path) if path.exists() else None
    except BadInput:
        return None  # a damaged record is made again


def _kept_encoder(start: RunStart, folder: Path, card: TaskCard) -> Encoder | None:
    """Load the trained encoder of a run whose chosen weights were kept.

    None where the run in the folder has not ended: its weights are those of the best epoch so far.
    """
    training = start.training(RunFolder(folder, folder.name))
    return _trained_encoder(training, card) if training.resume() else None


def _trained_encoder(training: Training, card: TaskCard) -> Encoder:
    """Return the encoder at the chosen epoch, in prediction mode.

    Its weights digest is that of its parameters, its card lists the task's corpora as trained on, and an encoder that
    was trained from scratch may be evaluated from now on.
    """
    training.restore_chosen()
    encoder = training.model.encoder.eval()
    encoder.weights_digest = parameter_digest(encoder)
    trained_on = tuple(dict.fromkeys([*encoder.card.trained_on, *card.corpora]))
    encoder.card = replace(encoder.card, from_scratch=False, trained_on=trained_on)
    return encoder


def _costs(training: Training) -> RunFacts:
    """Costs and provenance of a run: seconds, device-hours and peak memory of all epochs, resumed ones included."""
    train_s, predict_s = total_seconds(training.history)
    on_gpu = training.device.type == "cuda"
    return provenance.stamp(str(training.device), train_s + predict_s) | {
        "train_s": round(train_s, 3),
        "predict_s": round(predict_s, 3),
        "epochs_run": len(training.history),
        "device_hours": round((train_s + predict_s) / 3600, 5),
        "device_name": torch.cuda.get_device_name(training.device) if on_gpu else "",
        "device_memory_mb": round(torch.cuda.max_memory_allocated(training.device) / 1e6, 1) if on_gpu else None,
    }
