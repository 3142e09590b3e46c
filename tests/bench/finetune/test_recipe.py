import subprocess
import sys

import pytest

from bench.base.errors import BadInput, UnknownId
from bench.base.settings import plain
from bench.finetune.recipe import RECIPE_FOLDER, load_recipe, recipe_of, with_overrides

SHIPPED = {"scl-hybrid-scratch", "quality-margin-ast", "sprsound-scratch"}
ON_A_CPU = (  # recipes of each group differ in the method alone
    ("ce", "ce-weighted", "pafa-small", "qlung-small", "quality-margin", "supcon"),
    ("ce-scratch-ast", "pafa-scratch-ast", "patchmix-cl-scratch-ast", "qlung-scratch-ast"),
)
SHIPPED |= {name for group in ON_A_CPU for name in group}
SHIPPED |= {"bts-clap", "qlung-ast", "qlung-clap", "qlung-ast-fixed", "qlung-ast-quality", "qlung-ast-class"}
SHIPPED |= {"ast-ce", "patchmix-ce", "patchmix-cl", "patchmix-cl@release", "beats-ce"}
SHIPPED |= {"sprsound-records", "sprsound-records-scratch", "ce-any"}
SHIPPED |= {
    "sg-scl",
    "sg-scl@release",
    "dat",
    "dat@release",
    "pafa-beats",
    "dual-axis-patchmix-style-ast",
    "pc-mcl-style-beats",
}
MASKS = {"shared": True, "skipped": 0.1587, "fill": "batch"}
RELEASED = {  # {recipe: what its release does differently, table by table}
    "sg-scl": {"spectrogram": MASKS | {"carried": True}, "method": {"reverse": False, "stopped": True}},
    "dat": {"spectrogram": MASKS, "method": {"strength": "full", "domain_norm": True}},
    "patchmix-cl": {"spectrogram": {"skipped": 0.1587}, "method": {}},
}


def test_every_shipped_recipe_reads_and_names_itself():
    found = {path.stem: load_recipe(path.stem) for path in RECIPE_FOLDER.glob("*.toml")}
    assert set(found) == SHIPPED
    assert all(recipe.name == name and recipe.about for name, recipe in found.items())


def test_the_recipe_for_any_encoder_is_cross_entropy_without_its_masks():
    changed = plain(load_recipe("ce"))
    del changed["spectrogram"]
    assert recipe_of(changed).numbers() == load_recipe("ce-any").numbers()


def test_patch_mix_is_as_published():
    recipe = load_recipe("patchmix-cl")
    assert (recipe.epochs, recipe.batches.size, recipe.batches.clip) == (50, 8, "tile8")
    assert (recipe.optimiser.name, recipe.optimiser.lr, recipe.optimiser.weight_decay) == ("adam", 5e-5, 1e-6)
    assert (recipe.averaging.kind, recipe.averaging.decay, recipe.schedule.floor) == ("step", 0.5, 1e-3)
    assert recipe.patience is None and recipe.head.norm == "layer" and recipe.precision == "float16"


@pytest.mark.parametrize("name", RELEASED)
def test_a_release_differs_in_named_settings_alone(name):
    paper, release = load_recipe(name), load_recipe(f"{name}@release")
    changed = plain(paper)
    changed["spectrogram"] |= RELEASED[name]["spectrogram"]
    changed["method"]["options"] |= RELEASED[name]["method"]
    assert recipe_of(changed).numbers() == release.numbers()
    told = " ".join(line for line in release.differences if line.startswith("Against the paper, "))
    for table, settings in RELEASED[name].items():
        for setting in settings:
            assert f"{'method.options' if table == 'method' else table}.{setting} = " in told, setting


def test_the_scratch_recipe_of_recordings_differs_from_that_of_events_in_named_settings_alone():
    events, recordings = plain(load_recipe("sprsound-scratch")), load_recipe("sprsound-records-scratch")
    events |= {"epochs": 4, "patience": None}
    events["schedule"]["warmup_epochs"] = 0.5
    events["batches"] |= {"size": 16, "crop_s": 4.0, "sampling": "balanced"}
    assert recipe_of(events).numbers() == recordings.numbers()
    assert all(
        "abstract alone" in load_recipe(f"sprsound-{name}").differences[0] for name in ("scratch", "records-scratch")
    )


def test_what_bears_a_paper_s_name_says_what_differs():
    for name in SHIPPED:
        recipe = load_recipe(name)
        assert bool(recipe.differences) == bool(recipe.source), name
        assert all(line.endswith(".") for line in recipe.differences)


def test_settings_that_came_later_leave_the_keys_of_earlier_records():
    numbers = recipe_of({"name": "x"}).numbers()
    assert set(numbers["spectrogram"]) == {"band_mask", "bands", "frame_mask", "frames", "fill"}
    changed = recipe_of({"name": "x", "spectrogram": {"shared": True}}).numbers()
    assert changed["spectrogram"] == numbers["spectrogram"] | {"shared": True}


@pytest.mark.parametrize("names", ON_A_CPU)
def test_recipes_of_a_group_for_a_cpu_differ_in_the_method_alone(names):
    numbers = [load_recipe(name).numbers() for name in names]
    methods = [each.pop("method")["name"] for each in numbers]
    assert len(set(methods)) == len(names) and all(each == numbers[0] for each in numbers)
    assert load_recipe(names[0]).epochs <= 8


@pytest.mark.parametrize(
    "data, message",
    [
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"epochs": 0}, "at least 1"),
        ({"epochs": 2.5}, "not a whole number"),
        ({"epochs": True}, "not a whole number"),
        ({"optimiser": {"learning_rate": 1e-3}}, "optimiser: unknown key"),
        ({"optimiser": {"lr": -1.0}}, "above 0"),
        ({"optimiser": {"lr": float("nan")}}, "not a number"),
        ({"optimiser": {"betas": [0.9]}}, "list of 2, each a number"),
        ({"optimiser": {"betas": [0.9, 1.0]}}, "below 1"),
        ({"optimiser": 3}, "not a table"),
        ({"optimiser": {"name": "sgd"}}, "one of adamw, adam"),
        ({"head": {"kind": "mpl"}}, "one of linear"),
        ({"encoder": {"train": "some"}}, "one of all"),
        ({"averaging": {"decay": 1.0}}, "below 1"),
        ({"precision": "fp16"}, "one of float32"),
        ({"waveform": {"noise_snr_db": [30.0, 10.0]}}, "above its second"),
        ({"schedule": {"warmup_epochs": 8.0}}, "leave none"),
        ({"encoder": {"norm": "train", "checkpointing": True}}, "measured twice"),
        ({"lora": {"targets": [1]}}, "not text"),
        ({"distillation": {"weight": 0.3}}, "has no teachers"),
        ({"distillation": {"teachers": "runs"}}, "not a list"),
        ({"method": {"options": []}}, "not a table"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(data, message):
    with pytest.raises(BadInput, match=message):
        recipe_of({"name": "x", **data})


def test_names_that_do_not_exist_suggest_others(tmp_path):
    for data, near in (
        ({"method": {"name": "supcom"}}, "supcon"),
        ({"method": {"name": "focal", "options": {"gama": 1.0}}}, "gamma"),
        ({"head": {"pooling": "meen"}}, "mean"),
        ({"batches": {"clip": "tile"}}, "tile8"),
    ):
        with pytest.raises(UnknownId, match=near):
            recipe_of({"name": "x", **data})
    with pytest.raises(UnknownId, match="supcon"):
        load_recipe("supkon")
    with pytest.raises(BadInput, match="lacks the key 'name'"):
        recipe_of({})
    broken = tmp_path / "broken.toml"
    broken.write_text("epochs = ")
    with pytest.raises(BadInput, match="not TOML"):
        load_recipe(broken)
    with pytest.raises(BadInput, match="cannot be read"):
        load_recipe(tmp_path / "absent.toml")


def test_a_file_is_named_after_itself_and_labels_are_no_numbers(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('about = "a"\n[optimiser]\nbetas = [0.9, 0.99]\n')
    recipe = load_recipe(path)
    assert recipe.name == "mine" and recipe.optimiser.betas == (0.9, 0.99)
    other = recipe_of({"name": "other", "optimiser": {"betas": [0.9, 0.99]}})
    assert recipe.numbers() == other.numbers() and "name" not in recipe.numbers()
    assert recipe_of(plain(recipe)) == recipe


def test_other_epochs_and_another_precision_are_another_recipe():
    recipe = recipe_of({"name": "x", "about": "y", "schedule": {"warmup_epochs": 2}})
    assert with_overrides(recipe) == recipe
    assert with_overrides(recipe, precision="bfloat16") == recipe_of(plain(recipe) | {"precision": "bfloat16"})
    assert with_overrides(recipe, 3).epochs == 3 and with_overrides(recipe, 3).about == "y"
    with pytest.raises(BadInput, match="x: precision: 'bf16' is not one of float32"):
        with_overrides(recipe, precision="bf16")
    with pytest.raises(BadInput, match="2 epochs of warm-up leave none of 2"):
        with_overrides(recipe, 2)
    with pytest.raises(BadInput, match="x: epochs: 0 is not at least 1"):
        with_overrides(recipe, 0)


def test_the_package_and_its_recipes_are_importable_without_torch():
    code = "import sys, bench.finetune, bench.finetune.recipe, bench.cli.finetune; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=RECIPE_FOLDER.parents[2]).returncode == 0
