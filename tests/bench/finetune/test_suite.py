"""Plans of many runs: what is refused, what is estimated, what is trained and what is left alone."""

import dataclasses
from types import SimpleNamespace

import pytest

from bench.base import registry
from bench.base.errors import BadInput, UnknownId
from bench.finetune import suite
from bench.finetune.data.clip_store import ClipStores
from bench.finetune.training.loop import TrainingDiverged
from bench.runs import choices, evaluate
from bench.runs.choices import EncoderChoice
from bench.scores import records
from toy_finetune import card, recipe, tiny
from toy_methods import ToyText

TASK = "icbhi.cycles2"
TINY = EncoderChoice("test.tiny")


class Wordless(ToyText):
    """A text tower whose vocabulary is not at hand."""

    def ids(self, sentences):
        raise BadInput("roberta-base", "the text tower needs vocab.json", "put it there")


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    """The toy encoder under its id; the list of what was loaded, in order."""
    loaded = []

    def load(id, weights=None, device="cpu", precision="float32", trust_remote_code=()):
        loaded.append(id)
        encoder = tiny()
        encoder.card = dataclasses.replace(encoder.card, id=id)
        if id == "test.deaf":
            encoder.offers = frozenset()
        if id == "test.mute":
            encoder.text_tower = None
        if id == "test.wordless":
            encoder.text_tower = Wordless
        return encoder

    monkeypatch.setattr(choices, "load_encoder", load)
    real = registry.encoder_card
    monkeypatch.setattr(
        registry, "encoder_card", lambda id, *more: card(id=id) if id.startswith("test.") else real(id, *more)
    )
    monkeypatch.setattr(choices, "require_code", lambda card, trusted: None)  # their family is not registered
    return loaded


def quick(name="quick", **changes):
    return recipe(name=name, epochs=1, schedule={}, **changes)


def planned(corpus, recipes=None, encoders=(TINY,), seeds=(0, 1)):
    return suite.plan(recipes or [quick()], encoders, [TASK], seeds, root=corpus)


def test_a_plan_combines_all_with_all_and_holds_one_encoder_at_a_time(corpus, encoders):
    both = [TINY, EncoderChoice("test.other", ("max",))]
    plan = planned(corpus, [quick("a"), quick("b")], both, seeds=(3,))
    assert plan.seeds == (3,) and [card.id for card, _ in plan.data] == [TASK]
    encoders.clear()
    runs = list(plan.runs())
    assert encoders == ["test.tiny", "test.other"]
    assert [run.title for run in runs] == [
        f"{TASK}  {encoder}  {name}" for encoder in ("test.tiny", "test.other") for name in "ab"
    ]
    assert [run.recipe.head.pooling for run in runs] == ["", "", "max", "max"]
    assert runs[0].encoder is runs[1].encoder and runs[0].prepared is runs[2].prepared


def test_seeds_are_those_of_the_protocol_unless_given(corpus):
    assert planned(corpus, seeds=None).seeds == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"encoders": [TINY, EncoderChoice("test.deaf")]}, BadInput, "test.deaf: .*no tap 'spectrogram'"),
        ({"encoders": [EncoderChoice("test.tiny", ("mean", "max"))]}, BadInput, "name one"),
        ({"encoders": [EncoderChoice("efficientat.mn99")]}, UnknownId, "efficientat"),
        ({"seeds": (0, -1)}, BadInput, "seed -1: is out of range"),
        ({"recipes": [quick(distillation={"teachers": ["nowhere"]})]}, BadInput, "nowhere: no run of .* to learn from"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_the_plan(changes, error, says, corpus):
    with pytest.raises(error, match=says):
        planned(corpus, **changes)


def by(name, **options):
    return [quick(method={"name": name, "options": options})]


@pytest.mark.parametrize(
    ("recipes", "encoder", "error", "says"),
    [
        (by("bts"), "test.mute", BadInput, "this encoder has no text tower"),
        (by("bts"), "test.wordless", BadInput, "the text tower needs vocab.json"),
        (by("dat", column="weather"), "test.tiny", UnknownId, "column of metadata.*weather"),
        (by("pafa", column="chest_side"), "test.tiny", UnknownId, "column of metadata.*chest_side"),
        (by("pc-mcl-style"), "test.tiny", BadInput, "the task's classes are"),
        ([quick(encoder={"train": "last", "last": 9})], "test.tiny", BadInput, "the recipe trains the last 9"),
    ],
)
def test_what_a_method_needs_of_task_and_tower_is_asked_before_any_clip_is_decoded(
    recipes, encoder, error, says, corpus, monkeypatch
):
    monkeypatch.setattr(ClipStores, "get", lambda *what: pytest.fail("clips were decoded"))
    with pytest.raises(error, match=says):
        planned(corpus, [quick(), *recipes], [TINY, EncoderChoice(encoder)])


def test_metadata_that_the_task_lacks_are_missed_by_the_plan(corpus, monkeypatch):
    real = suite.tasks_at_hand

    def without_places(*what):
        found = real(*what)
        return [(card, dataclasses.replace(p, rows=p.rows.drop(columns="meta_location"))) for card, p in found]

    monkeypatch.setattr(suite, "tasks_at_hand", without_places)
    with pytest.raises(BadInput, match="reads the location of every clip, and this task's manifest has none"):
        planned(corpus, by("bts"))


def test_a_text_tower_is_read_once_for_all_seeds(corpus, monkeypatch):
    read, built = [], ToyText.__init__
    monkeypatch.setattr(ToyText, "__init__", lambda self: (read.append(1), built(self))[1])
    assert planned(corpus, by("bts"), seeds=(0, 1, 2)).seeds == (0, 1, 2) and len(read) == 1


def test_every_teacher_is_tried_by_the_plan(corpus, monkeypatch):
    tried = []
    teacher = SimpleNamespace(weights="there")
    monkeypatch.setattr(suite, "find_teachers", lambda settings, *what: [teacher] if settings.teachers else [])
    monkeypatch.setattr(suite, "require_loadable", lambda *what: tried.append(what))
    choice = EncoderChoice("test.tiny", trusted=("a" * 40,))
    planned(corpus, [quick("a"), quick("b", distillation={"teachers": ["x"]})], [choice])
    ((given, *_, trusted),) = tried
    assert given is teacher and trusted == ("a" * 40,)


def test_what_a_results_folder_decides_is_refused_before_the_first_run(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "fit_prepared", lambda *what, **more: pytest.fail("a run began"))
    monkeypatch.setattr(suite, "_require_teachers", lambda plan: None)
    with pytest.raises(BadInput, match="float16 does not train on cpu"):
        suite.run_plan(planned(corpus, [quick(), quick("half", precision="float16")]), tmp_path)
    with pytest.raises(BadInput, match="takes its teachers from the folder that it writes to"):
        suite.run_plan(planned(corpus, [quick(), quick("b", distillation={"teachers": [str(tmp_path)]})]), tmp_path)


def test_tokens_are_read_without_a_pooling():
    head = {"kind": "attentive"}
    assert suite.with_pooling(quick(head=head), TINY).head.kind == "attentive"
    with pytest.raises(BadInput, match="max beside the head 'attentive'"):
        suite.with_pooling(quick(head=head), EncoderChoice("test.tiny", ("max",)))


def test_estimates_are_those_of_every_run_and_leave_nothing(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    estimates = dict(suite.estimate_plan(planned(corpus, [quick("a"), quick("b", head={"kind": "mlp", "hidden": 4})])))
    a, b = (estimates[f"{TASK}  test.tiny  {name}"] for name in "ab")
    assert a.epochs == 1 and a.train_s > 0 and b.parameters - a.parameters == (8 * 4 + 4 + 4 * 2 + 2) - (8 * 2 + 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_plan_is_run_once_and_a_diverged_run_leaves_the_others(corpus, tmp_path, monkeypatch):
    plan, fit, lines, done = planned(corpus), suite.fit_prepared, [], []

    def diverges_at_first(*arguments, **options):
        if arguments[-1] == 0 and not lines:
            raise TrainingDiverged("quick: the loss is nan in epoch 1")
        return fit(*arguments, **options)

    monkeypatch.setattr(suite, "fit_prepared", diverges_at_first)

    def run():
        done.clear()
        return suite.run_plan(
            plan, tmp_path, command="respbench finetune", say=lines.append, done=lambda title, fit: done.append(title)
        )

    title = f"{TASK}  test.tiny  quick"
    outcome = run()
    assert outcome.made == 1 and outcome.diverged == {f"{title}  seed 0": "quick: the loss is nan in epoch 1"}
    assert done == [f"{title}  seed 1"] and lines[0] == f"{title}  seed 0: quick: the loss is nan in epoch 1"
    keys = {record.key for record in records.load_all(tmp_path)}
    assert len(keys) == 2 + 2  # two protocols, two control records
    assert "respbench finetune" in (tmp_path / "board.json").read_text()
    assert run().made == 2 and done == [f"{title}  seed 0", f"{title}  seed 1"]
    kept = {path: path.stat().st_mtime_ns for path in records.paths(tmp_path)}
    assert len(kept) == len(keys) + 2 and run().made == 2
    assert {path: path.stat().st_mtime_ns for path in records.paths(tmp_path)} == kept
    assert not any((tmp_path / "training").glob("*"))


@pytest.mark.long
def test_weights_are_kept_where_asked(corpus, tmp_path):
    suite.run_plan(planned(corpus, seeds=(0,)), tmp_path, keep_weights=True)
    assert len(list((tmp_path / "training").glob("*/chosen.pt"))) == 1


def test_records_of_other_data_are_not_mixed_with(corpus, tmp_path):
    plan = planned(corpus, seeds=(0,))
    card, prepared = plan.data[0]
    other = dataclasses.replace(prepared, digest="0" * 64)
    records.write(evaluate.control_record("control.chance", card, other), tmp_path)
    with pytest.raises(BadInput, match="made on different data"):
        suite.run_plan(plan, tmp_path)


def test_training_is_on_one_device():
    with pytest.raises(BadInput, match="device cpu,cpu: is several devices where one computes"):
        suite.plan([quick()], [TINY], [TASK], device="cpu,cpu")
