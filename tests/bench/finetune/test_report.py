import csv
import io
import json

import numpy as np
import pytest

import bench
from bench import records, run, stats
from bench.errors import BadInput
from bench.finetune import fit, report
from bench.finetune.numbers import arguments, part, rows
from bench.verify import verify
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


def test_a_row_is_the_mean_over_seeds_with_two_separate_uncertainties(folder, made):
    ours = of(records.load_all(folder), "focal", "finetune")
    values = [r.scores["corrected"]["icbhi.Score"]["value"] for r in ours]
    honest = made["focal", "corrected"].honest
    assert honest.seeds == SEEDS and honest.score.value == pytest.approx(np.mean(values), abs=1e-6)
    assert honest.seed_sd == pytest.approx(np.std(values, ddof=1), abs=1e-6)
    one = stats.mean_score([part(ours[0], "corrected")], "icbhi.Score", **arguments(ours[0]))
    assert records.score_json(one) == ours[0].scores["corrected"]["icbhi.Score"]


def test_the_comparison_is_paired_by_seed_and_says_when_more_differs(folder, made):
    found = records.load_all(folder)
    ours, base = (of(found, name, "finetune") for name in ("focal", "ce"))
    told = made["focal", "corrected"].compared
    gaps = [
        stats.paired_difference(part(a, "corrected"), part(b, "corrected"), "icbhi.Score", **arguments(a)).value
        for a, b in zip(ours, base, strict=True)
    ]
    assert told.difference.value == pytest.approx(np.mean(gaps)) and told.seed_sd == pytest.approx(np.std(gaps, ddof=1))
    assert told.alike and told.base == "ce" and told.seeds == SEEDS
    assert not made["other", "corrected"].compared.alike and made["ce", "corrected"].compared is None


def test_looking_at_the_test_never_costs_on_the_headline(made):
    for (_, test), row in made.items():
        assert row.gap.difference.value >= 0 or test != "corrected"
        assert row.gap.difference.value == pytest.approx(row.peeking.score.value - row.honest.score.value)


def test_the_report_has_both_protocols_the_gap_the_cost_and_the_frozen_probe(folder):
    files = report.write(folder)
    text = files[0].read_text()
    head = next(line for line in text.splitlines() if line.startswith("| encoder"))
    for title in ("finetune", "literature/best-test-epoch", "gap", "against ce", "device-hours", "peak memory"):
        assert f" {title} |" in head
    assert "linear probe" in text and "†" in text and "± " in text and "never merged" in " ".join(text.split())
    table = list(csv.DictReader(io.StringIO(files[1].read_text())))
    assert {row["what"] for row in table} >= {"finetune", "literature/best-test-epoch", "gap", "method", "device_hours"}
    assert {row["against"] for row in table if row["what"] == "method"} == {"ce"}


def test_verify_holds_the_report_against_records_and_costs(folder):
    report.write(folder)
    assert verify(folder)[1] == []
    path = folder / "finetune" / "finetune.md"
    path.write_text(path.read_text().replace("gap", "gain", 1))
    assert any("finetune.md: not what the records give" in problem for problem in verify(folder)[1])
    report.write(folder)
    ours = of(records.load_all(folder), "focal", "finetune")[0]
    cost = records.path(folder, ours.spec["task"], ours.key).with_suffix(".run.json")
    told = cost.read_text()
    cost.write_text(json.dumps(json.loads(told) | {"wall_s": 1e6, "device_hours": 1e3}))
    stale = report.stale(folder)
    cost.write_text(told)
    assert len(stale) == 2 and report.stale(folder) == []


def test_a_folder_without_fine_tuning_has_no_report(task, tmp_path):
    records.write(run.evaluate(tiny(), task)[0], tmp_path)
    with pytest.raises(BadInput, match="no fine-tuned record"):
        report.write(tmp_path)
