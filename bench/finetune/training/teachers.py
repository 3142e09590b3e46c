"""Teachers of a run: earlier honest runs of its task and seed, and what they say of its training clips.

A teacher knows nothing of what the student is judged by. It is a run of the protocol ``finetune``, so that validation
patients chose its epoch, on the same data; of the same seed, so that those are the student's validation patients; and
of an encoder that was not pretrained on the task's corpora.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, UnknownId
from bench.data import audio
from bench.data.manifest import Prepared
from bench.encoders.batches import device_of
from bench.encoders.load import load_encoder
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.data.partition import partition
from bench.finetune.methods.shared.base import Method
from bench.finetune.model.fine_tuned import FineTunedModel
from bench.finetune.recipe import Distillation, Recipe, recipe_of
from bench.finetune.training.checkpoints import CHOSEN, TRAINING_FOLDER, RunFolder
from bench.finetune.training.start import RunStart, prepare_run, untrained
from bench.probe import protocols
from bench.runs.spec import data_identity
from bench.scores import records
from bench.scores.schema import Record
from bench.types import Encoder, EncoderCard, TaskCard

OF_ONE_SEED = ("seed", "parameters", "statistics", "teachers")  # of a spec: what differs between seeds of one recipe
METADATA_READ = "reads metadata of the clip"  # a mark of records; which columns follows
TRAIN = "train teachers with `respbench finetune --keep-weights`, that task and seed, and their folder as --out"


@dataclass(frozen=True)
class Teacher:
    """A run that teaches: its record, and the folder of its weights."""

    record: Record
    weights: Path

    @property
    def key(self) -> str:
        """Of its record."""
        return self.record.key

    @property
    def kind(self) -> str:
        """What it is whatever the seed: its encoder, and a digest of all else."""
        spec = {name: value for name, value in self.record.spec.items() if name not in OF_ONE_SEED}
        return f"{spec['encoder']}:{records.key(spec)[:8]}"


def find_teachers(settings: Distillation, card: TaskCard, prepared: Prepared, seed: int) -> tuple[Teacher, ...]:
    """Find all runs of a task and seed in the recipe's folders, in order of their kind, and check that each may teach.

    Records of other tasks, seeds and protocols are no teachers.

    Parameters
    ----------
    settings
        The recipe's; without folders there are no teachers.
    card, prepared, seed
        The student's task, its clips, and the student's seed.

    Raises
    ------
    BadInput
        For a folder without such a run, and for one that was made on other data, with other validation patients, by
        another version of the protocol or of resampling, on an encoder that has heard the task's corpora, by a method
        that reads metadata, twice, or without keeping its weights; and where its folder holds the weights of a run that
        has not ended, or ended otherwise than its record says.
    """
    found: dict[str, Teacher] = {}
    for name in settings.teachers:
        folder = Path(name)
        there = [records.read(path) for path in records.paths(folder) if path.parent == _place(folder, card)]
        honest = [r for r in there if (r.spec["protocol"], r.spec["seed"]) == (protocols.FINETUNE, seed)]
        if not honest:
            others = sorted({f"{r.spec['protocol']} with seed {r.spec['seed']}" for r in there})
            problem = f"no run of {card.id} by the protocol {protocols.FINETUNE} with seed {seed} to learn from"
            raise BadInput(folder, f"{problem} (it has {', '.join(others) or 'none of that task'})", TRAIN)
        for record in honest:
            teacher = Teacher(record, folder / TRAINING_FOLDER / record.key)
            where = records.path(folder, card.id, record.key)
            if problem := _objection(teacher, card, prepared, seed):
                raise BadInput(where, f"cannot teach: {problem}", TRAIN)
            if record.key in found:
                raise BadInput(where, "teaches twice, from two folders", "name one of them")
            found[record.key] = teacher
    return tuple(sorted(found.values(), key=lambda teacher: (teacher.kind, teacher.key)))


def _place(folder: Path, card: TaskCard) -> Path:
    return records.path(folder, card.id, "any").parent


def _objection(teacher: Teacher, card: TaskCard, prepared: Prepared, seed: int) -> str:
    """Why a run may not teach; empty where it may."""
    record, spec = teacher.record, teacher.record.spec
    differing = [name for name, value in data_identity(card, prepared).items() if spec[name] != value]  # type: ignore[literal-required]
    if differing:
        return f"it was trained on other data (other {', '.join(differing)})"
    rows = partition(card, prepared, seed).validation
    if record.selection.get("validation_groups") != sorted(set(prepared.rows["group"].astype(str).iloc[rows])):
        return f"it withheld other validation {card.group}s"
    if spec["protocol_version"] != protocols.get(protocols.FINETUNE).version or spec["resampler"] != audio.RESAMPLER:
        return "it was made by another version of the protocol or of resampling"
    read = [mark for mark in record.data["marks"] if mark.startswith(METADATA_READ)]
    if marks := [mark for mark in record.data["marks"] if mark not in read]:
        return f"its encoder: {', '.join(marks)}"
    if read:
        return f"its method {spec['recipe']['method']['name']} {read[0]}"
    if not (teacher.weights / CHOSEN).exists():
        return "its weights were not kept"
    history = RunFolder(teacher.weights, teacher.key).history()
    scores, losses = [step["score"] for step in record.selection["path"]], record.selection["losses"]
    if len(history) < len(scores):
        problem = "its weights are the best so far of a run that has not ended"
        return f"{problem}: {len(history)} epochs of {len(scores)} are in {teacher.weights}"
    if scores != [epoch["score"] for epoch in history] or losses != [
        round(epoch["loss"], records.DECIMALS) for epoch in history
    ]:
        return f"the run in {teacher.weights} is another than that of its record: its epochs had other scores"
    return ""


def teachers_encoders(recipes: Iterable[Recipe], trusted: Sequence[str]) -> list[EncoderCard]:
    """The cards of the encoders of all runs in the recipes' folders, but for those that cannot be had here any more."""
    folders = dict.fromkeys(Path(name) for recipe in recipes for name in recipe.distillation.teachers)
    specs = [spec for folder in folders for spec in records.stored_specs(folder).values()]
    out = []
    for id in dict.fromkeys(spec["encoder"] for spec in specs if spec["protocol"] == protocols.FINETUNE):
        try:
            out.append(registry.encoder_card(id, trusted))
        except (UnknownId, CheckpointError):  # said where it is asked to teach
            continue
    return out


def require_loadable(teacher: Teacher, card: TaskCard, prepared: Prepared, trusted: Sequence[str] = ()) -> None:
    """Load a teacher as before its student's first step, on the CPU; no clip is decoded. Raises as ``taught``."""
    encoder, recipe = _encoder(teacher, "cpu", trusted), _recipe(teacher)
    model, method = untrained(encoder, card, prepared, recipe, teacher.record.spec["seed"])
    _restore(teacher, model, method)


def taught(
    start: RunStart,
    teachers: Sequence[Teacher],
    card: TaskCard,
    prepared: Prepared,
    stores: ClipStores,
    trusted: Sequence[str] = (),
) -> RunStart:
    """Return a run with soft labels: the mean of what its teachers say of each training clip, at its temperature.

    Each teacher predicts clips as for a record: whole, without augmentation. ``trusted`` are revisions of code that
    comes with teachers' encoders and may run.

    Raises
    ------
    BadInput
        For a teacher whose encoder is another one by now, whose weights do not fit or whose predictions are not finite.
    MissingWeights, CodeNotTrusted, LicenceNotAccepted
        For an encoder that is not at hand, or that may not be used.
    """
    rows, device = start.data.training, next(start.model.parameters()).device
    total = np.zeros((len(rows), len(card.classes)))
    for teacher in teachers:
        logits = _predicted(teacher, rows, card, prepared, device, stores, trusted)
        if not np.isfinite(logits).all():
            raise BadInput(teacher.weights, "predicts what is not finite", "leave this teacher out")
        total += torch.softmax(torch.from_numpy(logits) / start.recipe.distillation.temperature, dim=1).numpy()
    return _with_soft_labels(start, total / len(teachers))


def evenly_taught(start: RunStart, card: TaskCard) -> RunStart:
    """Return a run that is only timed or tried with soft labels that say nothing, where its recipe has teachers."""
    if not start.recipe.distillation.teachers:
        return start
    return _with_soft_labels(start, np.full((len(start.data.training), len(card.classes)), 1 / len(card.classes)))


def _with_soft_labels(start: RunStart, probability: np.ndarray) -> RunStart:
    soft = np.full((len(start.data.label), probability.shape[1]), np.nan, np.float32)
    soft[start.data.training] = probability
    return replace(start, data=replace(start.data, soft_label=soft))


def _predicted(
    teacher: Teacher,
    rows: np.ndarray,
    card: TaskCard,
    prepared: Prepared,
    device: torch.device,
    stores: ClipStores,
    trusted: Sequence[str],
) -> np.ndarray:
    """A teacher's logits (n, K) of the clips at ``rows``."""
    encoder, recipe = _encoder(teacher, str(device), trusted), _recipe(teacher)
    own = prepare_run(encoder, card, prepared, recipe, teacher.record.spec["seed"], stores)
    _restore(teacher, own.model, own.method)
    return own.model.predict(own.method, own.data.clips, rows)


def _encoder(teacher: Teacher, device: str, trusted: Sequence[str]) -> Encoder:
    """The encoder that a teacher was trained from; code of its own runs only where the teacher's ran, too."""
    spec = teacher.record.spec
    encoder = load_encoder(spec["encoder"], None, device, trust_remote_code=trusted if spec.get("code") else ())
    made = (spec["encoder_version"], spec.get("settings", ""), spec.get("code", ""))
    if made != (encoder.card.version, encoder.card.settings, encoder.card.code):
        problem = f"was trained from another version, other settings or other code of {encoder.card.id} than are here"
        raise BadInput(teacher.weights, problem, "train it again")
    return encoder


def _recipe(teacher: Teacher) -> Recipe:
    """A teacher's recipe but for its own teachers."""
    spec = teacher.record.spec
    settings = {name: value for name, value in spec["recipe"].items() if name != "distillation"}
    return recipe_of({"name": teacher.record.data["recipe"]["name"], **settings}, str(teacher.weights))


def _restore(teacher: Teacher, model: FineTunedModel, method: Method) -> None:
    """Put a teacher's kept weights into its model and method. Raises ``BadInput`` where they do not fit."""
    content = RunFolder(teacher.weights, teacher.key).load(CHOSEN, device_of(model.encoder))
    try:
        model.load_state_dict(content["model"])
        method.load_state_dict(content["method"])
    except RuntimeError as error:
        problem = f"does not fit {model.encoder.card.id} ({error})"
        raise BadInput(teacher.weights, problem, "train it again") from error
