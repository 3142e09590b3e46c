import dataclasses

import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune import fit
from bench.finetune.data.training_data import input_texts
from bench.finetune.methods import create_method
from bench.finetune.methods.bts import COLUMNS, sentence
from bench.finetune.methods.shared.cross_entropy import cross_entropy
from bench.finetune.recipe import load_recipe
from bench.reports.names import METADATA, rank_class
from toy_finetune import recipe, tiny
from toy_methods import FACTS, ToyModel, batch, trained

# what the released code says of ICBHI's recordings
RELEASED = {
    ("adult", "M", "Tc", "Meditron"): "from the trachea of an adult male patient, using a Meditron stethoscope.",
    ("child", "F", "Al", "AKGC417L"): "from the left anterior chest of a female pediatric patient, "
    "using an AKGC417L microphone.",
    ("", "M", "Lr", "Litt3200"): "from the right lateral chest of a male patient with unknown age, "
    "using a Litt3200 stethoscope.",
    ("adult", "", "Pl", "LittC2SE"): "from the left posterior chest of an adult patient with unknown sex, "
    "using a LittC2SE stethoscope.",
    ("child", "", "Pr", ""): "from the right posterior chest of a pediatric patient with unknown sex, "
    "using an unknown device.",
    ("adult", "F", "", "Meditron"): "from an unknown region of an adult female patient, using a Meditron stethoscope.",
}


@pytest.mark.parametrize("values", RELEASED)
def test_sentences_are_those_of_the_released_code(values):
    assert sentence(*values) == f"This sound was recorded {RELEASED[values]}"


def test_what_no_one_knows_is_said_so():
    expected = "from an unknown region of a patient with unknown age and sex, using an unknown device."
    assert sentence("", "", "", "") == f"This sound was recorded {expected}"


def plain(ours, model, given, told):
    """Logits of one clip after another."""
    rows = []
    for clip, values in enumerate(told):
        text = ours.tower(*ours.tower.ids([sentence(*values)]))[0]
        sound = model.features(given)[clip]
        both = [*text, *sound]
        rows.append([sum(w * x for w, x in zip(row, both, strict=True)) for row in ours.classifier.weight])
    return torch.stack([torch.stack(row) for row in rows]) + ours.classifier.bias


def told(rows, unknown=()):
    return [["" if name in unknown else FACTS.inputs[name][row] for name in COLUMNS] for row in rows]


def test_the_loss_is_that_of_both_embeddings_side_by_side():
    torch.manual_seed(0)
    model, ours = ToyModel().double(), create_method("bts", FACTS).double()
    given = batch([0, 1, 2, 3])
    given = given._replace(wave=given.wave.double(), row=torch.tensor([4, 0, 2, 0]))
    loss, gradient = trained(ours, model, given)
    wanted = cross_entropy(plain(ours, model, given, told([4, 0, 2, 0])), given.label)
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    learned = {"method.tower.characters.weight": ours.tower.characters.weight, "model.out.weight": model.out.weight}
    for name, slow in zip(learned, torch.autograd.grad(wanted, learned.values()), strict=True):
        torch.testing.assert_close(gradient[name], slow, rtol=1e-9, atol=1e-12)
        assert slow.abs().max() > 0


@pytest.mark.parametrize("unknown", ["none", "location", "all"])
def test_predictions_read_the_sentences_of_their_own_clips(unknown):
    torch.manual_seed(0)
    model, ours = ToyModel(), create_method("bts", FACTS, unknown=unknown)
    given, rows = batch([0, 1, 2]), [5, 1, 5]
    scores = ours.scores(model, model.features(given), torch.tensor(rows))
    withheld = {"none": (), "location": ("location",), "all": COLUMNS}[unknown]
    torch.testing.assert_close(scores, plain(ours, model, given, told(rows, withheld)), rtol=1e-5, atol=1e-6)


def test_what_is_lacking_is_named(task):
    with pytest.raises(BadInput, match=r"no text tower; take clap\.laion"):
        create_method("bts", FACTS._replace(text=None))
    with pytest.raises(BadInput, match="unknown"):
        create_method("bts", FACTS, unknown="device and sex")
    with pytest.raises(BadInput, match="reads the location of every clip"):
        input_texts(task.manifest.drop(columns="meta_location"), COLUMNS)


def test_the_columns_are_those_of_the_manifest(task):
    found, rows = input_texts(task.manifest, COLUMNS), task.manifest
    for name, column in zip(COLUMNS, ("meta_age_group", "meta_sex", "meta_location", "domain"), strict=True):
        assert (found[name] == rows[column].replace("unknown", "").to_numpy()).all()


def test_the_recipe_is_the_released_script():
    numbers = load_recipe("bts-clap").numbers()
    assert numbers["method"] == {"name": "bts", "options": {}}
    assert (numbers["epochs"], numbers["batches"]["size"], numbers["batches"]["clip"]) == (50, 8, "tile8")
    told = {"name": "adam", "lr": 5e-5, "weight_decay": 1e-6, "decay_vectors": True, "clip_norm": 0}
    assert {name: numbers["optimiser"][name] for name in told} == told
    assert (numbers["schedule"]["kind"], numbers["schedule"]["unit"], numbers["schedule"]["floor"]) == (
        "cosine",
        "epoch",
        1e-3,
    )
    assert (numbers["averaging"]["kind"], numbers["averaging"]["decay"]) == ("step", 0.5)


@pytest.mark.long
def test_records_say_that_metadata_were_read_and_depend_on_those_of_test_clips_but_on_no_label(task):
    def scored(manifest):
        honest, _ = fit(tiny(), dataclasses.replace(task, manifest=manifest), short, 0).records
        return honest, honest.predictions[["s_0", "s_1"]].to_numpy()

    short = recipe(method={"name": "bts"}, epochs=1)
    test = (task.manifest["split"] != "train").to_numpy()
    moved, relabelled = task.manifest.copy(), task.manifest.copy()
    moved.loc[test, "meta_location"] = "Tc"
    relabelled.loc[test, "label"] = np.random.default_rng(0).permutation(relabelled.loc[test, "label"])
    (record, first), (_, second), (_, third) = scored(task.manifest), scored(moved), scored(relabelled)
    assert "reads metadata of the clip: age, sex, location, device" in record.data["marks"]
    assert record.spec["recipe"]["method"]["inputs"] == list(COLUMNS) and rank_class(record.spec) == METADATA
    assert (first != second).any() and (first == third).all()
