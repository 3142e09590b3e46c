import json

import numpy as np
import pandas as pd
import pytest

from bench import stats
from bench.base.errors import BadInput, UnknownId
from bench.cli.main import main
from bench.reports.agreement.paired.sides import Asked, compare_systems
from bench.scores import per_test, records

A, B = "meta.duration", "other.noise"


def record_of(folder, encoder):
    return next(r for r in records.load_all(folder) if r.spec["encoder"] == encoder)


def arguments_of(record):
    return {**per_test.label_arguments(record.data["task"]), "unit": "patient"}


def test_every_test_equals_the_paired_difference_of_its_predictions(rows):
    report = compare_systems((A, B), Asked(rows))
    ours, theirs = record_of(rows, A), record_of(rows, B)
    assert [each.test for each in report.tests] == ["corrected", "official"]
    for each in report.tests:
        parts = [per_test.tested(record, each.test) for record in (ours, theirs)]
        assert each.difference == stats.paired_difference(*parts, "icbhi.Score", **arguments_of(ours))
        assert (each.a.value, each.b.value) == pytest.approx(
            [r.scores[each.test]["icbhi.Score"]["value"] for r in (ours, theirs)], abs=1e-6
        )  # stored with six decimals
        for cut in each.domains:
            own = [part[part["domain"] == cut.name] for part in parts]
            assert cut.difference == stats.paired_difference(*own, "icbhi.Score", **arguments_of(ours))
            assert cut.clips == len(own[0])
        for k, cut in enumerate(each.classes):
            own = [part[part["y_true"] == k] for part in parts]
            assert cut.clips == len(own[0])
            if cut.clips:
                assert cut.difference == stats.paired_difference(*own, f"recall.{k}", **arguments_of(ours))
        assert each.resolved == (each.difference.high - each.difference.low) / 2 < each.found
    assert [each.p_holm for each in report.tests] == list(stats.holm([each.difference.p for each in report.tests]))


def test_clips_that_flip_are_counted_both_ways_and_listed(rows, tmp_path):
    (each,) = compare_systems((A, B), Asked(rows, tests=("headline",))).tests
    ours, theirs = (per_test.tested(record_of(rows, name), each.test) for name in (A, B))
    right = [(part["y_pred"] == part["y_true"]).to_numpy() for part in (ours, theirs)]
    expected = {
        "both": (right[0] & right[1]).sum(),
        "A": (right[0] & ~right[1]).sum(),
        "B": (~right[0] & right[1]).sum(),
        "neither": (~right[0] & ~right[1]).sum(),
    }
    assert each.right == expected and each.right["A"] + each.right["B"] > 0
    for cuts in (each.classes, each.domains):
        assert sum(cut.only_a for cut in cuts) == expected["A"] and sum(cut.only_b for cut in cuts) == expected["B"]
    file = tmp_path / "clips.csv"
    assert main(["compare", A, B, "--in", str(rows), "--test", "headline", "--clips", str(file)]) == 0
    listed = pd.read_csv(file)
    assert set(listed["clip_id"][listed["right"] == "A"]) == set(ours["clip_id"][right[0] & ~right[1]])
    assert set(listed["clip_id"][listed["right"] == "B"]) == set(ours["clip_id"][~right[0] & right[1]])
    assert set(listed["y_true"]) <= {"normal", "crackle", "wheeze", "both"}


def test_exchanging_the_two_exchanges_the_sign(rows):
    first = compare_systems((A, B), Asked(rows, tests=("headline",))).tests[0]
    second = compare_systems((B, A), Asked(rows, tests=("headline",))).tests[0]
    assert second.difference.value == -first.difference.value and second.difference.p == first.difference.p
    assert {first.better, second.better} in ({"A", "B"}, {"not resolved"})


def test_what_is_shown_names_both_and_what_is_better(rows, tmp_path, capsys):
    files = [tmp_path / "c.md", tmp_path / "c.json"]
    command = ["compare", A, B, "--in", str(rows), "--out", str(files[0]), "--out", str(files[1])]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert f"# A = {A}, B = {B}" in text and "By domain" in text and "simulated" in text
    assert main([*command[:5], "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body == json.loads(files[1].read_text()) and body["draws"] == 2000
    assert body["tests"][0]["difference"]["value"] is not None
    assert files[0].read_text().startswith(f"# A = {A}")


def test_seeds_are_averaged_on_the_same_draws(rows, add):
    for seed in (1, 2):
        add(rows, lambda table, seed=seed: _noise(table, seed), encoder=B, seed=seed)
    (each,) = compare_systems((A, B), Asked(rows, tests=("headline",))).tests
    assert each.seeds == ((0,), (0, 1, 2))
    ours = [per_test.tested(record_of(rows, A), each.test)]
    theirs = [per_test.tested(r, each.test) for r in records.load_all(rows) if r.spec["encoder"] == B]
    theirs = sorted(theirs, key=lambda part: part["s_0"].sum())
    expected = stats.mean_difference(ours, theirs, "icbhi.Score", **arguments_of(record_of(rows, A)))
    # the order of a sum of three moves its last digits
    assert each.difference.value == pytest.approx(expected.value, abs=1e-12)
    assert each.difference.low == pytest.approx(expected.low, abs=1e-12)


def test_without_a_seed_in_common_nobody_counts_who_is_right(rows, add):
    for seed in (1, 2):
        add(rows, lambda table, seed=seed: _noise(table, seed), encoder="other.seeds", seed=seed)
    (each,) = compare_systems((A, "other.seeds"), Asked(rows, tests=("headline",), draws=20)).tests
    assert each.right is None and each.flips.empty and {cut.only_a for cut in each.classes} == {None}


def _noise(table, seed):
    wrong = np.random.default_rng(seed).random(len(table)) < 0.5
    table.loc[wrong, ["s_0", "s_1", "s_2", "s_3"]] = np.log([0.03, 0.03, 0.9, 0.04])
    scores = {f"s_{k}": records.as_stored(table[f"s_{k}"].to_numpy()) for k in range(4)}
    table = table.assign(**scores)
    return table.assign(y_pred=table[list(scores)].to_numpy().argmax(axis=1))


def test_a_name_of_several_rows_is_refused_with_the_choices(rows, add):
    add(rows, lambda table: table.assign(s_0=table["s_0"]), encoder=B, pooling="mean")
    with pytest.raises(BadInput, match=rf"several rows.*{B}:mean:-1.*{B}:published:-1"):
        compare_systems((A, B), Asked(rows))
    report = compare_systems((A, f"{B}:mean"), Asked(rows, tests=("headline",)))
    assert report.tests[0].difference.value == 0 and report.tests[0].better == "not resolved"
    key = next(r.key for r in records.load_all(rows) if r.spec["encoder"] == B and r.spec["pooling"] == "published")
    assert compare_systems((A, key), Asked(rows, tests=("headline",))).tests[0].difference.value != 0
    with pytest.raises(UnknownId, match=f"{B}:mean"):
        compare_systems((A, f"{B}:maen"), Asked(rows))


def test_other_protocols_are_compared_only_when_asked_for(rows):
    with pytest.raises(BadInput, match=r"nothing in common.*--protocol"):
        compare_systems((A, "control.majority"), Asked(rows))
    asked = Asked(rows, protocols=("linear", "control"), tests=("headline",))
    assert compare_systems((A, "control.majority"), asked).tests[0].protocol == "linear / control"


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        ((A, A), {}, "same records"),
        ((A, "meta.duratoin"), {}, "did you mean 'meta.duration'"),
        ((A, "meta.level"), {}, "unknown row of the folder 'meta.level'; known: .*meta.duration"),  # no slip of the pen
        ((A, B), {"tasks": ("icbhi.cycles2",)}, "no record of task icbhi.cycles2"),
        ((A, B), {"protocols": ("knn",)}, "protocol knn"),
        ((A, B), {"tests": ("inter",)}, "unknown test of icbhi.cycles4 'inter'"),
        ((A, B), {"metric": "acc"}, "unknown metric"),
        ((A, B), {"draws": 0}, "draws"),
    ],
)
def test_what_cannot_be_compared_is_told(rows, words, more, told):
    with pytest.raises((BadInput, UnknownId), match=told):
        compare_systems(words, Asked(rows, **more))


def test_too_many_tests_for_the_draws_are_told(rows, capsys):
    command = ["compare", A, B, "--in", str(rows), "--draws", "20"]
    assert main(command) == 0
    assert "no difference can pass" in capsys.readouterr().out
