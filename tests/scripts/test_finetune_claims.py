import io
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

WANTED = ("ce", "log-margin", "patchmix-cl", "dat", "qlung, fixed", "pafa")
FOLDER = Path(__file__).parents[2] / "scripts" / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def scripts():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plan of two seeds and two epochs on few patients."""
    import finetune_claims as claims

    methods = {name: {k: rows[k] for k in rows if k in WANTED} for name, rows in claims.METHODS.items()}
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("claims")
        patch.setenv("RESPBENCH_CACHE", str(folder / "cache"))
        plan = claims.Plan(seeds=(0, 1), corpus_seed=0, epochs=2, patients=8, methods=methods)
        return claims.results(plan, folder, processes=2)


@pytest.mark.long
def test_every_claim_has_its_line_and_its_verdict(made):
    from finetune_claims_plan import METHODS

    table, page = pd.read_csv(io.StringIO(made["claims.csv"])), made["claims.md"]
    for corpus, measure, method in (
        ("long_tail", "recall of d", "log-margin"),
        ("shortcut", "device probe", "dat"),
        ("shortcut", "gap", "dat"),
    ):
        own = table[(table.corpus == corpus) & (table.measure == measure) & (table.method == method)]
        line = own[(own.against == "ce") & (own.over == "seeds")].iloc[0]
        assert line.n == 2 and line.verdict in ("seen", "absent", "reversed")
        assert line.low <= line.value <= line.high
    both = table[(table.against == "ce") & (table.method == "dat") & (table.measure == "device probe")]
    assert np.ptp(both.value) < 1e-12  # seeds and patients speak of one difference
    each = pd.read_csv(io.StringIO(made["claims_runs.csv"]))
    rows = sum(name in WANTED for of_corpus in METHODS.values() for name in of_corpus)
    assert len(each) == 2 * rows and each["epoch"].notna().all()
    after = pd.read_csv(io.StringIO(made["claims_after.csv"]))
    assert set(after.verdict) == {"–"} and set(after.corpus) == {"long_tail", "shortcut"}
    assert "Verdict: **as defined**" in page and "Patch-Mix CL trains stably" in page


@pytest.mark.parametrize(
    ("low", "high", "direction", "says"),
    [
        (0.1, 0.2, 1, "seen"),
        (-0.2, -0.1, 1, "reversed"),
        (-0.2, -0.1, -1, "seen"),
        (0.1, 0.2, -1, "reversed"),
        (-0.1, 0.2, 1, "absent"),
        (0.0, 0.2, 1, "absent"),
        (0.1, 0.2, 0, "–"),
        (np.nan, np.nan, 1, "–"),
    ],
)
def test_verdicts_follow_the_interval(low, high, direction, says):
    from finetune_claims_numbers import verdict

    assert verdict(low, high, direction) == says


def test_intervals_over_seeds_are_those_of_t():
    from finetune_claims_numbers import over_seeds

    mean, sd, low, high = over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (mean, round(sd, 4)) == (3.0, 1.5811)
    assert (round(low, 3), round(high, 3)) == (1.037, 4.963)  # 2.776 * 1.5811 / sqrt(5) either way


def test_what_can_be_attained_is_what_a_draw_attains():
    from finetune_claims_corpora import PATIENT_SD, PITCH_SD, SHORTCUT, attainable

    rng, abs_error = np.random.default_rng(0), 5e-3  # 4.5 standard errors of a share of 200,000
    place = np.where(rng.random(200_000) < 0.5, -0.25, 0.25)
    pitch = place + rng.normal(0, np.hypot(PITCH_SD, PATIENT_SD), len(place))
    assert attainable(SHORTCUT, "test", "even")["wheeze"] == pytest.approx(
        ((pitch > 0) == (place > 0)).mean(), abs=abs_error
    )
    within, beyond = (attainable(SHORTCUT, split, "device")["normal"] for split in ("test", "test_ood"))
    assert within > attainable(SHORTCUT, "test", "even")["normal"] > beyond


def test_devices_and_classes_are_dealt_out_as_planned(tmp_path):
    from finetune_claims_corpora import AGREEMENT, SHORTCUT, written

    table = pd.read_csv(written(SHORTCUT, tmp_path / "a", 3, patients=10))
    agreed = (table["label"] == "normal") == (table["domain"] == "A")
    assert agreed[table["split"] == "train"].mean() == pytest.approx(AGREEMENT, abs=0.07)
    assert agreed[table["split"] == "test_ood"].mean() == pytest.approx(1 - AGREEMENT, abs=0.07)
    again = written(SHORTCUT, tmp_path / "b", 3, patients=10)
    assert (again.parent / "train-00.wav").read_bytes() == (tmp_path / "a" / "train-00.wav").read_bytes()


def test_worn_clips_are_those_of_the_control_under_noise_at_their_level(tmp_path):
    import soundfile
    from finetune_claims_corpora import CLIP_S, CLIPS, EVEN, RATE, WORN, written

    told = [written(corpus, tmp_path / corpus.name, 3, patients=2).read_text() for corpus in (WORN, EVEN)]
    assert told[0] == told[1]
    sides = [soundfile.read(tmp_path / corpus.name / "train-00.wav")[0] for corpus in (WORN, EVEN)]
    worn, clear = (side.reshape(CLIPS, round(CLIP_S * RATE)) for side in sides)
    noisy = [not np.array_equal(a, b) for a, b in zip(worn, clear, strict=True)]
    assert sum(noisy) == CLIPS / 2
    levels_db = [20 * np.log10(np.sqrt((side**2).mean(1))) for side in (worn, clear)]
    assert np.abs(levels_db[0] - levels_db[1]).max() < 0.1  # of steps of 16 bits, and of peaks beyond full scale


def test_patients_to_be_told_apart_are_on_both_sides_with_other_clips(tmp_path):
    from finetune_claims_corpora import CLIPS, IDENTITIES, written

    table = pd.read_csv(written(IDENTITIES, tmp_path / "a", 3, patients=3))
    assert (table.groupby(["label", "split"]).size() == CLIPS).all() and table["label"].nunique() == 3
    assert not table.duplicated(["path", "start"]).any()
    sides = table.groupby("group")["split"].nunique()
    assert (sides == 1).all()


def test_two_bands_are_told_as_well_as_one_squared_where_patients_do_not_shift_them(monkeypatch):
    import finetune_claims_corpora as corpora

    monkeypatch.setattr(corpora, "PATIENT_SD", 0.0)
    both = corpora.attainable(corpora.PATIENTS, "test", "even")
    alone = corpora.norm.cdf(0.25, scale=corpora.PITCH_SD)  # the half octave between low and high, from its middle
    assert list(both.values()) == pytest.approx([alone**2] * 4, abs=5e-3)  # cells of 0.01 octaves by a density of 1.7


def test_every_claim_compares_rows_that_are_run_and_measures_of_their_corpus():
    from finetune_claims_corpora import CONTROLS
    from finetune_claims_plan import METHODS
    from finetune_claims_rules import AGAINST, CLAIMS, IN_TABLES, MEASURES, direction

    for claim in (*CLAIMS, *IN_TABLES):
        assert {claim.method, claim.against} <= set(METHODS[claim.corpus])
        assert claim.measure in MEASURES[claim.corpus]
        assert claim.against in AGAINST.get(claim.method, ("ce",))
        assert direction(claim.corpus, claim.measure, claim.method, claim.against) == claim.direction
        if claim.measure in MEASURES[CONTROLS[claim.corpus]]:
            control = CONTROLS[claim.corpus]
            assert direction(control, claim.measure, claim.method, claim.against) == claim.direction
    assert direction("long_tail", "UAR", "patchmix-cl", "ce") == 0


def test_the_encoder_answers_a_clip_as_it_would_alone():
    from finetune_claims_encoder import Frames

    from bench import check_encoder

    assert check_encoder(Frames().eval()) == []


def test_noise_moves_the_level_by_what_its_ratio_says():
    from finetune_claims_quality import EQUAL, FREE, SILENCES, conditions

    wave = np.random.default_rng(1).normal(0, 0.05, 2560)
    level = 10 * np.log10(np.mean((wave - wave.mean()) ** 2))
    for condition, _, changed, shift_db in conditions(wave, np.random.default_rng(2)):
        if condition in (EQUAL, FREE, "quieter"):
            assert 10 * np.log10(np.mean(changed**2)) == pytest.approx(level + shift_db, abs=1e-9)
        assert (shift_db is None) == (condition in SILENCES)


def test_initialisation_follows_the_seed():
    from finetune_claims_encoder import Frames

    a, b = Frames(), Frames()
    b.reset(1)
    assert not torch.equal(a.net.patches.weight, b.net.patches.weight)
    b.reset(0)
    assert torch.equal(a.net.patches.weight, b.net.patches.weight)
