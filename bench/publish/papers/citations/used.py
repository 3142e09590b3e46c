"""What records rest on, by name: ``encoder/ast.base``, ``corpus/icbhi``, ``metric/icbhi.Score``, ``method/supcon``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.base import registry
from bench.base.errors import UnknownId
from bench.scores.schema import Record

SOFTWARE = "software/respbench"
OWN_FAMILIES = ("control", "meta")  # of encoders that are this project's own, for which there is nothing to cite


def uses(records: Sequence[Record]) -> list[str]:
    """Everything that the records rest on, once, in the order in which a methods section comes to it.

    Untrained twins stand for the architecture of their originals; of metrics, those that tasks are ranked by.
    """
    found = [SOFTWARE]
    for of_record in (_of_data, _of_encoder, _of_protocol):
        for record in records:
            found += of_record(record)
    return list(dict.fromkeys(found))


def corpora(task: str) -> list[str]:
    """The corpora that a task's clips are from, as its card names them; its family where no card is known."""
    try:
        return list(registry.task_card(task).corpora) or [task.partition(".")[0]]
    except UnknownId:
        return [task.partition(".")[0]]


def encoder_use(encoder: str) -> str:
    """``encoder/<id>`` of the trained form of an encoder, without its input policy; empty for what is our own."""
    original = registry.original_id(encoder).partition("@")[0]
    return "" if original.partition(".")[0] in OWN_FAMILIES else f"encoder/{original}"


def _of_data(record: Record) -> Iterator[str]:
    task = record.spec["task"]
    for corpus in corpora(task):
        yield f"corpus/{corpus}"
        yield f"task/{corpus}"
    yield f"metric/{record.data['task']['main_metric']}"
    scores = (score for test in record.scores.values() for score in test.values())
    if any("expanded percentile" in score["method"] for score in scores):
        yield "interval/expanded-percentile"


def _of_encoder(record: Record) -> Iterator[str]:
    if use := encoder_use(record.spec["encoder"]):
        yield use
    for policy in record.spec["clip"].split("+"):
        yield f"clip/{policy}"
    yield f"pooling/{record.spec['pooling']}"


def _of_protocol(record: Record) -> Iterator[str]:
    yield f"protocol/{record.spec['protocol']}"
    recipe = record.spec.get("recipe")
    if recipe is None:
        return
    yield f"method/{recipe.get('method', {}).get('name', '')}"
    yield f"train/{recipe.get('encoder', {}).get('train', '')}"
    masks = recipe.get("spectrogram", {})
    if any(masks.get(f"{axis}_mask") and masks.get(f"{axis}s") for axis in ("band", "frame")):
        yield "augmentation/spectrogram"
    if masks.get("mixstyle"):
        yield "augmentation/mixstyle"
    if masks.get("vtlp"):
        yield "augmentation/vtlp"
    if teachers := recipe.get("distillation", {}).get("teachers"):
        yield "train/distillation"
        yield from filter(None, (encoder_use(teacher.partition(":")[0]) for teacher in teachers))
