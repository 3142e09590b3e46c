"""Many tasks times many encoders into a results folder; what is there already is not done again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput
from bench.base.progress import Progress, silent
from bench.data.manifest import Prepared
from bench.encoders import probe_inputs
from bench.encoders.features import FeatureStore
from bench.encoders.load import load_encoder, require_device
from bench.probe import protocols
from bench.probe.controls import names
from bench.runs import evaluate
from bench.runs.choices import (
    EncoderChoice,
    Outcome,
    _choices_of,
    encoders_at_hand,
    protocols_without_probe,
    require_same_data,
    tasks_at_hand,
    with_controls,
)
from bench.runs.spec import control_spec, encoder_spec
from bench.scores import metrics, per_test, records
from bench.scores.printed import amount
from bench.scores.schema import Record
from bench.types import TaskCard


def run_suite(
    tasks: Sequence[str],
    encoders: Sequence[EncoderChoice],
    out: Path,
    *,
    optional: Collection[str] = (),
    root: Path | None = None,
    protocol_names: Sequence[str] = ("linear",),
    seeds: Sequence[int] | None = None,
    device: str = "cpu",
    precision: str = "float32",
    clip: str = "native",
    on_bad_clip: str = "error",
    skip_absent: bool = False,
    controls: bool = True,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Runs every task with every encoder, and the control rows: chance, majority and, with ``controls``, the clip's
    duration and every encoder's untrained twin, where they give what a protocol reads. ``seeds`` default to each
    protocol's own. Ids, weights, device and data are checked before anything is computed.

    A task whose data cannot be used is listed with the reason where it is among the ``optional`` ones, as the members
    of a suite are. Raises ``BadInput`` for another such task, where no task is left, and where ``out`` holds records of
    a task on different data; and ``MissingWeights`` for an encoder without weights unless ``skip_absent``, which lists
    it instead.
    """
    named = [protocols.get(name, clip) for name in protocol_names]
    without = protocols_without_probe(named, tasks, optional, say)
    require_device(device)
    outcome = Outcome()
    at_hand = encoders_at_hand(encoders, skip_absent, outcome, say)
    for asked in at_hand:
        card = registry.encoder_card(asked.id)
        if asked.weights is None and all(card.dims.values()):  # of some, sizes are known once they are built
            _choices_of(asked, card, named, True, say)
    data = tasks_at_hand(tasks, optional, root, on_bad_clip, outcome, progress, say)
    require_same_data(data, out)
    keep_controls(data, out, outcome, say)
    for asked in with_controls(at_hand) if controls else at_hand:
        encoder = load_encoder(asked.id, asked.weights, device, precision)
        wanted = _choices_of(asked, encoder.card, named, asked in at_hand, say)
        for card, prepared in data:
            combinations = [
                (want, each, seed, encoder_spec(encoder, card, prepared, each.name, seed, *want, clip))
                for each, wants in wanted
                if (each.name, card.id) not in without
                for want in wants
                for seed in (each.seeds if seeds is None else seeds)
            ]
            missing = [(want, each.reads) for want, each, _, spec in combinations if not _path(out, spec).exists()]
            # one forward pass serves every pooling and layer asked for
            together = [
                source
                for want in dict.fromkeys(missing)
                for source in probe_inputs.required_features(encoder.card, *want)
            ]
            if together:
                FeatureStore(encoder, prepared, clip).encode(together, progress)
            for (layer, pooling), each, seed, spec in combinations:
                make = partial(evaluate.evaluate_prepared, encoder, card, prepared, each.name, seed, clip=clip)
                _keep(spec, out, outcome, say, partial(make, pooling=pooling, layer=layer, progress=progress))
    return outcome


def keep_controls(
    data: Sequence[tuple[TaskCard, Prepared]], out: Path, outcome: Outcome, say: Callable[[str], None]
) -> None:
    """Makes what is missing of the control rows that hear nothing."""
    for card, prepared in data:
        for name in names(card):
            spec = control_spec(name, card, prepared, 0)
            _keep(spec, out, outcome, say, partial(evaluate.control_record, name, card, prepared))


def _path(out: Path, spec: dict) -> Path:
    return records.path(out, spec["task"], records.key(spec))


def _keep(spec: dict, out: Path, outcome: Outcome, say: Callable[[str], None], make: Callable[[], Record]) -> None:
    """Makes and writes a record unless it is there and whole."""
    target = _path(out, spec)
    label = f"{spec['task']}  {spec['encoder']}  {spec['pooling']}  {spec['protocol']}"
    if target.exists():
        try:
            records.read(target)
        except BadInput as error:
            say(f"made again: {error}")  # whatever is wrong with it, it is not done
        else:
            outcome.kept.append(target)
            return
    record = make()
    outcome.made.append(records.write(record, out))
    test, main = per_test.headline(record.data["task"]), record.data["task"]["main_metric"]
    say(f"{label}: {main} {amount(record.scores[test][main], metrics.get(main).unit)} on {test}")
