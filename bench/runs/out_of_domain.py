"""The records behind an out-of-domain report: everything is an ordinary run, and what exists is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.base.progress import Progress, silent
from bench.data.clips import LOW_PASSES
from bench.data.manifest import TRAIN, Prepared, load_task, prepare
from bench.probe import protocols
from bench.probe.fewshot import draw_groups, presence
from bench.runs import evaluate, suite
from bench.runs.choices import EncoderChoice
from bench.runs.context import TransferNotes
from bench.types import TaskCard

DRAWS = 5
LEFT_OUT = "lodo-"  # variants of a task in which one domain is the test
SOURCE = "source_"  # how a transfer names the tests of its own corpus


@dataclass(frozen=True)
class Transfer:
    """A task from one corpus to another.

    Attributes
    ----------
    id, reverse
        The tasks in both directions.
    test, own
        The headline test, and the test of the training corpus itself.
    source, target
        The tasks that it trains on, and that its headline test is of.
    """

    id: str
    reverse: str
    test: str
    own: str
    source: str
    target: str

    @property
    def probed(self) -> str:
        """The clips of ``test`` in the reverse task, where a probe of their own corpus scores them."""
        return SOURCE + self.test


def transfer(id: str) -> Transfer | None:
    """The transfer of that id; None for a task that is none. Raises ``UnknownId``."""
    card = registry.task_card(id)
    family = registry.family(registry.TASKS, card.id)
    if not hasattr(family, "reverse"):
        return None
    own = next(name for name in card.tests if name.startswith(SOURCE))
    reverse = registry.task_card(family.reverse(card.id)).id
    return Transfer(card.id, reverse, next(iter(card.tests)), own, *family.ends(card.id))


def expanded(id: str) -> list[str]:
    """The canonical id of a transfer, or of every variant of a task in which one domain is the test.

    Raises ``UnknownId``, and ``BadInput`` for a task that is neither.
    """
    card = registry.task_card(id)
    if transfer(id) or card.variant.startswith(LEFT_OUT):
        return [card.id]
    left_out = [f"{card.id}@{name}" for name in card.variants if name.startswith(LEFT_OUT)]
    if card.variant or not left_out:
        raise BadInput(id, "is no transfer, and has no domains to leave out", "see `respbench ls tasks` for transfers")
    return left_out


def run_transfers(
    tasks: Sequence[str],
    encoders: Sequence[EncoderChoice],
    out: Path,
    *,
    root: Path | None = None,
    shots: Sequence[int] = protocols.SHOTS,
    draws: int = DRAWS,
    bandwidth: Sequence[str] = LOW_PASSES[:1],
    device: str = "cpu",
    precision: str = "float32",
    on_bad_clip: str = "error",
    skip_absent: bool = False,
    controls: bool = True,
    title: str | None = None,
    notes: Sequence[str] = (),
    command: str = "",
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> bool:
    """Computes the missing records of ``tasks`` in ``out`` and notes there what was asked for; no page is written.

    A task whose data are not at hand, and a draw that the data do not allow, is blank in the report with the reason.

    Parameters
    ----------
    tasks
        Transfers (each runs with its reverse), and tasks whose domains are left out in turn.
    encoders
        To run beside the clip's duration.
    out, root
        The results folder, and the data folder.
    shots, draws
        Numbers of target groups that a probe is fitted on, each drawn ``draws`` times.
    bandwidth
        Policies of ``LOW_PASSES`` under which transfers are run once more.
    controls
        Adds untrained twins, but not on few shots.
    title, notes, command
        For the report.
    say
        Called with each line that a user should see.

    Returns
    -------
    bool
        Whether it came to its end; False where Ctrl-C stopped it, whose finished records and notes are there.

    Raises
    ------
    UnknownId
        For ids that do not exist, and policies that control no bandwidth.
    MissingWeights
        For an encoder without weights, unless ``skip_absent``.
    BadInput
        Where no task can run.
    """
    for count in shots:
        protocols.get(f"fewshot-{count}")  # an unknown number is refused before anything is computed
    for name in bandwidth:
        if name not in LOW_PASSES:
            raise UnknownId("policy of bandwidth", name, LOW_PASSES)
    requested = [id for task in tasks for id in expanded(task)]
    transfers = {id: transfer(id) for id in requested}
    needed = dict.fromkeys(id for task, plan in transfers.items() for id in (task, plan.reverse if plan else task))
    data, refused = {}, {}
    for id in needed:
        try:
            data[id] = _data(id, root, on_bad_clip, progress)
        except BadInput as error:
            refused[id] = error
            say(f"left blank: {error}")
    if not data:
        raise next(iter(refused.values()))
    encoder_ids = {choice.id for choice in encoders}
    duration = [EncoderChoice(id) for id in registry.CONTROL_ENCODERS if id not in encoder_ids]
    run = partial(
        suite.run_suite,
        root=root,
        device=device,
        precision=precision,
        on_bad_clip=on_bad_clip,
        progress=progress,
        say=say,
    )
    outcome = run(list(data), [*encoders, *duration], out, skip_absent=skip_absent, controls=controls)
    interrupted = outcome.interrupted
    # a checkpoint of one's own is at hand also where its release is not
    at_hand = [choice for choice in (*encoders, *duration) if choice.weights or choice.id not in outcome.absent]

    listed = [id for id, plan in transfers.items() if plan and id in data]
    for clip in bandwidth if listed else ():
        interrupted = interrupted or run(listed, at_hand, out, clip=clip, controls=controls).interrupted

    few_shot: dict[str, list[str]] = {}
    few_shot_blanks: dict[str, str] = {}
    for plan in filter(None, transfers.values()):
        if plan.reverse not in data or interrupted:
            continue
        few_shot[plan.id], blanks = _feasible(plan, *data[plan.reverse], shots, draws)
        few_shot_blanks |= blanks
        for key, reason in blanks.items():
            say(f"left blank: {key}: {reason}")
        if few_shot[plan.id]:
            protocol_names = few_shot[plan.id]
            asked = {"protocol_names": protocol_names, "seeds": range(draws), "controls": False}
            interrupted = run([plan.reverse], at_hand, out, **asked).interrupted

    answered = {*data, *(f"{id} {name}" for id, names in few_shot.items() for name in names)}
    report = TransferNotes.read(out)
    report.absent |= outcome.absent
    report.blanks = {key: reason for key, reason in report.blanks.items() if key not in answered}
    report.blanks |= few_shot_blanks | {id: error.problem for id, error in refused.items()}
    report.tasks += [id for id in requested if id not in report.tasks]
    report.add(command, title, notes)
    report.write(out)
    return not interrupted


def _data(id: str, root: Path | None, on_bad_clip: str, progress: Progress) -> tuple[TaskCard, Prepared]:
    """Card and clips of a task. Raises ``BadInput`` where they are not at hand."""
    task = load_task(id, root)
    prepared = prepare(task, on_bad_clip, progress)
    evaluate.check_trainable(task.card, prepared.rows)
    plan, splits = transfer(id), set(prepared.rows["split"])
    for test in (plan.own, plan.test) if plan else ():
        if not splits & set(task.card.tests[test]):
            raise BadInput(id, f"there is no audio of the test `{test}`", "complete the corpus")
    return task.card, prepared


def _feasible(
    plan: Transfer, card: TaskCard, prepared: Prepared, shots: Sequence[int], draws: int
) -> tuple[list[str], dict[str, str]]:
    """(few-shot protocols that can be drawn from the target's training clips, {"task protocol": why not})."""
    train = prepared.rows[prepared.rows["split"].isin(TRAIN)]
    present = presence(train["label"].to_numpy(), card.kind, len(card.classes))
    feasible, blanks = [], {}
    for k in shots:
        name = protocols.get(f"fewshot-{k}").name
        try:
            for seed in range(draws):
                draw_groups(present, train["group"].to_numpy(str), k, seed)
            feasible.append(name)
        except BadInput as error:
            blanks[f"{plan.id} {name}"] = error.problem
    return feasible, blanks
