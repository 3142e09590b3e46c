import dataclasses
import re

import pytest

from bench.base.errors import BadInput
from bench.probe.protocols import PEEKING, PROTOCOLS
from bench.publish.papers.citations.bibliography import bibliography
from bench.publish.papers.methods import text
from bench.publish.papers.methods.paragraphs import methods
from paper_records import record

RECIPE = {
    "method": {"name": "focal", "options": {"gamma": 2.0}},
    "encoder": {"train": "all", "norm": "train", "last": 1},
    "lora": {"rank": 8, "alpha": 16.0},
    "head": {"kind": "linear", "norm": "none", "dropout": 0.0},
    "optimiser": {"name": "adamw", "lr": 0.0003, "head_lr": None, "weight_decay": 0.01, "clip_norm": 0},
    "schedule": {"kind": "cosine", "warmup_epochs": 0.0},
    "averaging": {"kind": "none", "decay": 0.999},
    "batches": {"size": 16, "accumulate": 1, "sampling": "shuffled", "crop_s": None},
    "waveform": {"gain_db": 0.0, "shift_s": 0.0, "noise_snr_db": None},
    "spectrogram": {"band_mask": 0, "bands": 2, "frame_mask": 0, "frames": 2},
    "epochs": 4,
    "patience": 8,
    "precision": "float32",
}


def said(*records):
    return {p.title: text.markdown([p]) for p in methods(records, bibliography(records))}


def of_protocol(name, version=None, **more):
    protocol = PROTOCOLS[name]
    spec = {"protocol": name, "protocol_version": version or protocol.version, "kind": protocol.kind}
    if protocol.kind == "finetune":
        spec |= {"recipe": RECIPE, "device": "cpu"}
    made = record("control.majority" if protocol.kind == "control" else "ast.base", **spec, **more)
    return dataclasses.replace(made, selection={"method": protocol.selection, "chosen": {}, "path": []})


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_each_protocol_is_told_as_it_is_and_no_other(name):
    paragraphs = said(of_protocol(name))
    if PROTOCOLS[name].kind == "control":
        assert "Protocols" not in paragraphs and "Features" not in paragraphs
        assert "know the training labels alone: control.majority" in paragraphs["Encoders"]
        return
    told = paragraphs["Protocols"]
    assert re.findall(r"Protocol (\S+), version (\d+)", told.replace("\\", "")) == [
        (name, str(PROTOCOLS[name].version))
    ]
    assert ("Recipe" in told) == (PROTOCOLS[name].kind == "finetune")
    assert ("no results" in told) == (name in PEEKING)
    assert "folds by" not in told.replace(text.escape.markdown(PROTOCOLS[name].selection), "")
    assert "candidates were compared" not in told and "Groups were held out" not in told


def test_another_version_is_not_described_in_the_words_of_today_s():
    today, before = (said(of_protocol("linear", version))["Protocols"] for version in (PROTOCOLS["linear"].version, 1))
    words = "the mean of the candidates less than 0.05 behind the best"
    assert words in today and words not in before
    assert "version 1" in before


def test_what_the_record_says_of_its_search_is_told():
    path = [{"C": 10.0**k, "class_weight": w, "score": 0.5} for k in range(-3, 3) for w in (None, "balanced")]
    selection = {"method": "by folds", "chosen": {}, "path": path, "folds": {"p1": 0, "p2": 4}, "at_edge": True}
    told = said(dataclasses.replace(record("ast.base"), selection=selection))["Protocols"]
    assert "12 candidates were compared: C from 0.001 to 100 (6 values); class_weight none or balanced." in told
    assert "held out in 5 folds" in told and "In 1 of 1 results" in told


def test_a_recipe_tells_what_took_effect_alone():
    told = said(of_protocol("finetune"))["Protocols"]
    assert "method focal (gamma 2.0)" in told and "batches of 16 clips, shuffled; 4 epochs" in told
    for silent in (
        "adapters",
        "soft labels",
        "vocal tract",
        "augmentation",
        "averaging",
        "ended early",
        "warm-up",
        "gradient norm",
        "dropout",
    ):
        assert silent not in told, silent
    lora = RECIPE | {"encoder": {"train": "lora"}, "patience": 2}
    tuned = record("ast.base", protocol="finetune", protocol_version=1, kind="finetune", recipe=lora, device="cpu")
    told = said(tuned)["Protocols"]
    assert "low-rank adapters (rank 8, alpha 16.0) are trained" in told and "ended early after 2 epochs" in told
    taught = RECIPE | {
        "spectrogram": {"vtlp": 0.1, "vtlp_hz": 4800.0},
        "distillation": {"weight": 0.5, "temperature": 2.0, "teachers": ["ast.base:01234567", "ast.base:89abcdef"]},
    }
    told = said(dataclasses.replace(tuned, spec=tuned.spec | {"recipe": taught}))["Protocols"]
    assert "soft labels of 2 teachers on ast.base (weight 0.5, temperature 2.0)" in told
    assert "augmentation by vocal tract length perturbation of up to 0.1 either way, below 4800 Hz" in told


def test_a_method_that_reads_metadata_says_which():
    method = {"name": "bts", "options": {"unknown": "none"}, "inputs": ["age", "sex"]}
    told = said(record("ast.base", kind="finetune", recipe=RECIPE | {"method": method}, device="cpu"))["Protocols"]
    assert "method bts (unknown none), which reads age and sex of every clip" in told


def test_recipes_of_one_name_are_told_once_with_what_differs():
    facts = {"recipe": {"name": "mine", "source": "", "about": ""}}
    spec = {"protocol": "finetune", "protocol_version": 1, "kind": "finetune", "device": "cpu"}
    two = [
        record("ast.base", recipe=RECIPE, data=facts, **spec),
        record("ast.base", "icbhi.cycles2", recipe=RECIPE | {"epochs": 6}, data=facts, **spec),
    ]
    told = said(*two)["Protocols"]
    assert told.count("Recipe mine") == 1
    assert "on icbhi.cycles2 6 epochs" in told and "on sprsound.events2 4 epochs" in told


def test_data_are_told_with_counts_state_and_licence():
    told = said(
        record("ast.base", state="subset", data={"state": "subset", "groups_in_train": {"inter": 3}, "licence": "CC0"}),
        record("ast.base", "icbhi.cycles2"),
    )["Data"]
    for words in ("600 clips of 80 patients", "360 of 360 recordings", "Licence: CC0", "digest", "3 patients of which"):
        assert words.lower() in told.lower(), words
    assert told.count("subset") == 1
    assert "simulated" not in told and "left out" not in told
    assert "[@zhang2022sprsound]" in told and "[@rocha2019icbhi]" in told


def test_encoders_are_told_with_version_and_weights_and_twins_as_untrained():
    told = said(record("ast.base"), record("random.ast.base"), record("fbank.stats", weights="none"))["Encoders"]
    assert "ast.base [@gong2021ast] (version 1; 2.0 million parameters; SHA-256 of the weights cdcdcdcdcdcd" in told
    assert "untrained weights: random.ast.base [@gong2021ast]" in told
    assert "fbank.stats [@povey2011kaldi] (version 1; 2.0 million parameters; no weights" in told


def test_revisions_of_a_model_s_own_code_are_told_though_the_model_is_not_here():
    told = said(*(record("hf.org/net", code=digit * 40) for digit in "ab"))["Encoders"]
    assert all(f"code of its own, revision {digit * 40}" in told for digit in "ab")


def test_policies_poolings_layers_and_seeds_are_those_of_the_records():
    told = said(record("ast.base", clip="lowpass2k", layer=-3, pooling="max", dtype="bfloat16", seed=4))
    assert "low-passed at 2 kHz" in told["Features"] and "the maximum over time" in told["Features"]
    assert "layer -3 (counted from the last), in bfloat16" in told["Features"]
    assert "Seed: 4." in told["Protocols"] and "annotated" not in told["Features"]


def test_software_is_what_the_runs_say():
    made = record("ast.base")
    assert "not known what made" in said(made)["Software"]
    made.run.update(
        versions={"torch": "2.13.0", "peft": "absent"}, commit="ab" * 20 + "+", machine="Linux", device="cuda"
    )
    told = said(made)["Software"]
    assert (
        "torch 2.13.0" in told and "peft" not in told and "abababababab (modified)" in told and "Linux (cuda)" in told
    )


def test_texts_of_records_are_escaped_and_forge_no_citation():
    evil = {"licence": "\ue000forged\ue001 <b> 50% _x_ \\input{y}"}
    made = [record("ast.base", data=evil)]
    paragraphs = methods(made, bibliography(made))
    assert "[@forged]" not in text.markdown(paragraphs) and "<b>" not in text.markdown(paragraphs)
    latex = text.tex(paragraphs)
    assert r"\cite{forged}" not in latex and r"50\%" in latex and r"{\textbackslash}input\{y\}" in latex


def test_no_records_is_an_error():
    with pytest.raises(BadInput, match="no records"):
        methods([], bibliography([record()]))
