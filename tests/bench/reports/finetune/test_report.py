import csv
import dataclasses
import io
import json

import numpy as np
import pytest

import bench
from bench.base.errors import BadInput
from bench.finetune import fit
from bench.finetune.record import PROTOCOLS_OF_RUN
from bench.publish.sections.finetuning import finetune_section
from bench.reports.agreement.verify import verify
from bench.reports.finetune import recipe_rows
from bench.reports.finetune.recipe_rows import rows
from bench.reports.finetune.report import stale_finetune_report, write_finetune_report
from bench.reports.leaderboard.table import cells
from bench.runs import evaluate
from bench.scores import intervals, per_test, records
from toy_finetune import recipe, tiny

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def folder(task, tmp_path_factory):
    """Two seeds of three recipes, and the frozen probe."""
    out = tmp_path_factory.mktemp("report")
    for seed in SEEDS:
        for name, changes in (
            ("ce", {}),
            ("focal", {"method": {"name": "focal"}}),
            ("other", {"method": {"name": "focal"}, "optimiser": {"lr": 3e-3}}),
        ):
            fit(tiny(), task, recipe(name=name, epochs=2, **changes), seed, out=out)
    records.write(bench.evaluate(tiny(), task)[0], out)
    return out


@pytest.fixture(scope="module")
def made(folder):
    return {(row.recipe, row.test): row for row in rows(records.load_all(folder))}


def of(found, recipe_name, protocol):
    chosen = [r for r in found if r.data.get("recipe", {}).get("name") == recipe_name]
    return sorted((r for r in chosen if r.spec["protocol"] == protocol), key=lambda r: r.spec["seed"])


@pytest.mark.long
def test_a_row_is_the_mean_over_seeds_with_two_separate_uncertainties(folder, made):
    ours = of(records.load_all(folder), "focal", "finetune")
    values = [r.scores["corrected"]["icbhi.Score"]["value"] for r in ours]
    honest = made["focal", "corrected"].honest
    assert honest.seeds == SEEDS and honest.score.value == pytest.approx(np.mean(values), abs=1e-6)
    assert honest.seed_sd == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    one = intervals.mean_score(
        [per_test.tested(ours[0], "corrected")], "icbhi.Score", **per_test.comparison_arguments(ours[0])
    )
    assert records.score_json(one) == ours[0].scores["corrected"]["icbhi.Score"]


def test_the_comparison_is_paired_by_seed_and_says_when_more_differs(folder, made):
    found = records.load_all(folder)
    ours, base = (of(found, name, "finetune") for name in ("focal", "ce"))
    told = made["focal", "corrected"].compared
    gaps = [
        intervals.paired_difference(
            per_test.tested(a, "corrected"),
            per_test.tested(b, "corrected"),
            "icbhi.Score",
            **per_test.comparison_arguments(a),
        ).value
        for a, b in zip(ours, base, strict=True)
    ]
    assert told.difference.value == pytest.approx(np.mean(gaps)) and told.seed_sd == pytest.approx(np.std(gaps, ddof=1))
    assert told.alike and told.base == "ce" and told.seeds == SEEDS
    assert not made["other", "corrected"].compared.alike and made["ce", "corrected"].compared is None


def test_looking_at_the_test_never_costs_on_the_test_that_chose(made):
    for (_, test), row in made.items():
        assert row.gap.difference.value >= 0 or test != "official"
        assert row.gap.difference.value == pytest.approx(row.peeking.score.value - row.honest.score.value)


def test_the_report_has_both_protocols_the_gap_the_cost_and_the_frozen_probe(folder):
    files = write_finetune_report(folder)
    text = files[0].read_text()
    head = next(line for line in text.splitlines() if line.startswith("| encoder"))
    for title in (
        "finetune",
        "finetune/best-test-epoch",
        "gap",
        "literature/best-test-epoch",
        "against ce",
        "device-hours",
        "peak memory",
    ):
        assert f" {title} |" in head
    assert "linear probe" in text and "†" in text and "± " in text and "never merged" in " ".join(text.split())
    table = list(csv.DictReader(io.StringIO(files[1].read_text())))
    assert {row["what"] for row in table} >= {"finetune", "finetune/best-test-epoch", "gap", "method", "device_hours"}
    assert {row["against"] for row in table if row["what"] == "method"} == {"ce"}


@pytest.mark.long
def test_verify_holds_the_report_against_records_and_costs(folder):
    write_finetune_report(folder)
    assert verify(folder)[1] == []
    for name in ("finetune.md", "finetune.csv"):
        path = folder / "finetune" / name
        path.write_text(path.read_text().replace("5", "6", 1))
        (problem,) = verify(folder)[1]
        assert problem.startswith(f"{path}: not what the records give")
        write_finetune_report(folder)
    ours = of(records.load_all(folder), "focal", "finetune")[0]
    cost = records.path(folder, ours.spec["task"], ours.key).with_suffix(".run.json")
    told = cost.read_text()
    cost.write_text(json.dumps(json.loads(told) | {"wall_s": 1e6, "device_hours": 1e3}))
    stale = stale_finetune_report(records.load_all(folder), folder)
    cost.write_text(told)
    assert len(stale) == 2 and stale_finetune_report(records.load_all(folder), folder) == []


def varied(record, recipe=(), **spec):
    """The record as another run would have left it."""
    spec = record.spec | spec | {"recipe": record.spec["recipe"] | dict(recipe)}
    return dataclasses.replace(record, spec=spec, key=records.key(spec))


def told_of(found):
    return [(row.recipe, row.pooling, row.honest.seeds) for row in rows(found) if row.test == "corrected"]


def ce(folder):
    found = records.load_all(folder)
    return [record for protocol in PROTOCOLS_OF_RUN["finetune"] for record in of(found, "ce", protocol)]


def test_poolings_and_settings_of_one_recipe_have_rows_of_their_own(folder):
    long = ce(folder)
    short = [varied(r, {"epochs": 1}) for r in long]
    pooled = [varied(r, {"head": r.spec["recipe"]["head"] | {"pooling": "max"}}, pooling="max") for r in long]
    assert told_of(long) == [("ce", "mean", SEEDS)]
    assert told_of([*long, *pooled]) == [("ce", "mean", SEEDS), ("ce", "max", SEEDS)]
    assert told_of([*long, *short]) == [("ce [epochs 2]", "mean", SEEDS), ("ce [epochs 1]", "mean", SEEDS)]
    apart = [r for r in long if r.spec["seed"] == 0] + [r for r in short if r.spec["seed"] == 1]
    assert told_of(apart) == [("ce [epochs 2]", "mean", (0,)), ("ce [epochs 1]", "mean", (1,))]
    assert all(row.gap is not None for row in rows(apart))
    named = cells(apart).query("test == 'corrected' and protocol == 'finetune'")
    assert sorted(named["encoder"]) == ["test.tiny · ce [epochs 1]", "test.tiny · ce [epochs 2]"]
    assert list(named["seeds"]) == [1, 1]


def test_seeds_of_a_network_from_scratch_are_one_row_though_each_starts_from_its_own_parameters(folder):
    long = [varied(r, weights="none", parameters=f"{r.spec['seed']}" * 64) for r in ce(folder)]
    short = [varied(r, {"epochs": 1}) for r in long]
    assert told_of([*long, *short]) == [("ce [epochs 2]", "mean", SEEDS), ("ce [epochs 1]", "mean", SEEDS)]
    assert set(cells([*long, *short])["seeds"]) == {2}
    other = [varied(r, parameters="f" * 64) for r in long if r.spec["seed"] == 0]
    assert sorted(seeds for *_, seeds in told_of([*long, *other])) == [(0,), (0,), (1,)]


def test_the_same_recipe_on_another_checkpoint_is_no_base(folder):
    found = records.load_all(folder)
    focal = [varied(r, weights="b" * 64) for r in of(found, "focal", "finetune")]
    assert all(row.compared is None for row in rows([*ce(folder), *focal]))
    both = [*ce(folder), *(varied(r, weights="b" * 64) for r in ce(folder)), *focal]
    (row,) = (row for row in rows(both) if row.test == "corrected" and row.recipe == "focal")
    assert row.compared.base == "ce [weights bbbbbbbb]" and row.compared.alike


def test_another_revision_of_a_model_s_own_code_is_another_encoder(folder):
    found = records.load_all(folder)
    first, second = ([varied(r, code=digit * 40) for r in found if "recipe" in r.spec] for digit in "ab")
    both = [row for row in rows([*first, *second]) if row.test == "corrected" and row.recipe in ("ce", "focal")]
    assert sorted((row.encoder[:21], row.recipe, row.honest.seeds) for row in both) == [
        (f"test.tiny [own code {digit}", name, SEEDS) for digit in "ab" for name in ("ce", "focal")
    ]
    assert all(row.compared and row.compared.alike for row in both if row.recipe == "focal")
    named = cells([*first, *second]).query("protocol == 'finetune' and encoder.str.endswith('ce')")["encoder"]
    assert set(named) == {f"test.tiny [own code {digit * 8}] · ce" for digit in "ab"}
    across = [*(r for r in first if r.data["recipe"]["name"] == "ce"), *of(second, "focal", "finetune")]
    assert all(row.compared is None for row in rows(across))
    apart = [r for r in first if r.spec["seed"] == 0] + [r for r in second if r.spec["seed"] == 1]
    assert {row.honest.seeds for row in rows(apart)} == {(0,), (1,)}


def test_cross_entropy_with_soft_labels_is_compared_with_cross_entropy_and_says_whom_it_learned_from(folder, tmp_path):
    learned = {"weight": 0.5, "temperature": 2.0, "teachers": ["test.tiny:01234567"]}
    student = [
        dataclasses.replace(r, data=r.data | {"recipe": r.data["recipe"] | {"name": "student"}})
        for r in (varied(r, {"distillation": learned}, teachers=["a" * 20]) for r in ce(folder))
    ]
    found = {row.recipe: row for row in rows([*ce(folder), *student]) if row.test == "corrected"}
    assert found["student"].compared.base == "ce" and not found["student"].compared.alike
    assert found["ce"].compared is None
    for record in (*ce(folder), *student):
        records.write(record, tmp_path)
    text = write_finetune_report(tmp_path)[0].read_text()
    assert ": ce (no options), and soft labels (weight 0.5, temperature 2.0) of test.tiny:01234567. Run" in text


def test_the_probe_beside_is_of_the_same_weights_and_if_it_is_there_the_same_pooling(folder):
    found = records.load_all(folder)
    row = next(row for row in rows(found) if row.recipe == "ce")
    (probe,) = (r for r in found if r.spec["protocol"] == "linear")
    changes = [{}, {"pooling": "max"}, {"pooling": "a"}, {"clip": "tile8"}, {"weights": "b" * 64}]
    several = [dataclasses.replace(probe, spec=probe.spec | change, key=f"{9 - i}") for i, change in enumerate(changes)]
    assert recipe_rows.frozen(several, row).key == "9"
    assert recipe_rows.frozen(several[1:], row).key == "7" and recipe_rows.frozen(several[3:], row).key == "6"
    assert recipe_rows.frozen(several[4:], row) is None
    assert recipe_rows.frozen([dataclasses.replace(probe, spec=probe.spec | {"code": "a" * 40})], row) is None


def test_the_report_tells_epochs_and_settings_apart(folder, tmp_path):
    long = ce(folder)
    for record in [*long, *(varied(r, {"epochs": 1}) for r in long)]:
        records.write(record, tmp_path)
    text = write_finetune_report(tmp_path)[0].read_text()
    assert "| ce [epochs 1] " in text and "| ce [epochs 2] " in text
    assert "- **ce [epochs 1]**: ce (no options). Run for at most 1 epochs." in text
    table = list(csv.DictReader(io.StringIO((tmp_path / "finetune" / "finetune.csv").read_text())))
    assert {(row["recipe"], row["pooling"]) for row in table} == {("ce [epochs 1]", "mean"), ("ce [epochs 2]", "mean")}


def test_a_comparison_over_some_of_the_seeds_says_over_which(folder, tmp_path):
    found = records.load_all(folder)
    for record in [*of(found, "focal", "finetune"), *(r for r in ce(folder) if r.spec["seed"] == 1)]:
        records.write(record, tmp_path)
    lines = [line for line in write_finetune_report(tmp_path)[0].read_text().splitlines() if "| focal " in line]
    assert lines and all("(seeds 1) |" in line for line in lines)


def test_a_folder_without_fine_tuning_has_no_report(task, tmp_path):
    records.write(evaluate.evaluate(tiny(), task)[0], tmp_path)
    with pytest.raises(BadInput, match="no fine-tuned record"):
        write_finetune_report(tmp_path)


def test_what_differs_from_a_recipe_s_source_stands_beside_its_row(folder, tmp_path):
    told = {"name": "ce", "about": "", "source": "A paper", "published": "Score 1.0", "differences": ["It is late."]}
    plain = ce(folder)
    for record in plain:
        records.write(dataclasses.replace(record, data=record.data | {"recipe": told}), tmp_path)
    text = write_finetune_report(tmp_path)[0].read_text()
    assert "| ce (differs: 1) " in text
    assert "Source: A paper. Published: Score 1.0. Differences from the source: It is late." in text
    section = finetune_section(tmp_path)
    shown = [block for part in section.blocks for block in getattr(part, "blocks", ())]
    assert any("It is late." in line for block in shown for line in getattr(block, "paragraphs", ()))
    before = {name: told[name] for name in ("name", "about", "source")}  # as older records have it
    for record in plain:
        records.write(dataclasses.replace(record, data=record.data | {"recipe": before}), tmp_path)
    assert "| ce (differences not recorded) " in write_finetune_report(tmp_path)[0].read_text()
