"""The harness on corpora whose answers are known: no signal gives chance, and leaks and shortcuts show."""

import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import bench
from bench import simulate
from bench.base.errors import BadInput
from bench.cli.main import main
from bench.data.manifest import prepare, validate
from bench.encoders.features.store import FeatureStore
from bench.probe import LogisticPathCV, protocols
from bench.scores import metrics
from tasks import icbhi

POOLING = "[mean,std]"


def auroc(record, test):
    return record.scores[test]["auroc"]["value"]


@pytest.fixture(scope="module")
def encoder():
    return bench.load_encoder("fbank.stats")


def relabelled(labels, groups, generator):
    """The labels with patients permuted: each keeps its run of labels together, on another patient's clips."""
    patients = generator.permutation(np.unique(groups))
    return np.concatenate([labels[groups == patient] for patient in patients])


@pytest.mark.long
@pytest.mark.parametrize("name", ["icbhi.cycles2", "icbhi.cycles4"])
def test_permuted_training_labels_score_chance(simulated, encoder, name):
    """Over 100 permutations of the labels among training patients, mean AUROC and UAR are 0.5 and 1/C within 4.5
    standard errors (beyond by chance: 2 of 100,000 each); one permutation alone scatters by many points."""
    task = bench.load_task(name, simulated)
    prepared = prepare(task)
    store = FeatureStore(encoder, prepared)
    store.encode([(-1, "mean")])
    rows = prepared.rows
    # 16 wide bands of the 128: the answer does not depend on the width, the time of 100 searches does
    features = store.gather((-1, "mean")).reshape(len(rows), 16, -1).mean(axis=2)
    train = (rows["split"] == "train").to_numpy()
    labels, groups = rows["label"].to_numpy(), rows["group"].to_numpy()
    # rows in the order of their patients, so that a permuted run of labels meets another patient's clips
    order = np.flatnonzero(train)[np.argsort(groups[train], kind="stable")]
    roles, named = metrics.Roles.of(task.card), protocols.get("linear")
    scores = []
    for seed in range(100):
        shuffled = relabelled(labels[order], groups[order], np.random.default_rng(seed))
        probe = protocols.probe(named, task.card, seed).fit(features[order], shuffled, groups[order])
        proba = probe.predict_proba(features[~train])
        found = (metrics.evaluate(m, labels[~train], proba.argmax(1), proba, roles) for m in ("auroc", "uar"))
        scores.append(list(found))
    mean, error = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1) / np.sqrt(len(scores))
    assert abs(mean[0] - 0.5) < 4.5 * error[0]
    assert abs(mean[1] - 1 / len(task.card.classes)) < 4.5 * error[1]


@pytest.mark.long
def test_a_score_rises_with_the_signal(encoder, tmp_path):
    """Means of three corpora; over 16 seeds, single AUROCs were 0.52 ± 0.093, 0.92 ± 0.046 and 0.999 ± 0.001, and the
    rise from the first to the second 0.40 ± 0.11, so each bound is more than four standard errors away."""
    scores = np.zeros((3, 3))
    for seed, (i, snr_db) in itertools.product(range(3), enumerate((-30.0, 12.0, 30.0))):
        root = tmp_path / f"{seed} {snr_db}"
        simulate.icbhi(root / "ICBHI", snr_db=snr_db, cycle_s=1.0, seed=seed)
        record = bench.evaluate(encoder, bench.load_task("icbhi.cycles2", root), pooling=POOLING)[0]
        scores[seed, i] = auroc(record, "corrected")
    none, some, clear = scores.mean(axis=0)
    assert none == pytest.approx(0.5, abs=0.25)
    assert some > none + 0.1
    assert clear > 0.97


def declared(task, overlap):
    """The task with those patients declared on its card, its manifest built anew."""
    card = dataclasses.replace(task.card, known_overlap=tuple(overlap))
    findings = []
    frame = icbhi.manifest(card, task.root, findings).sort_values("clip_id", ignore_index=True)
    assert not [f for f in validate(frame, dataclasses.replace(card, counts={})) if f.level == "error"]
    return dataclasses.replace(task, card=card, manifest=frame, findings=tuple(findings))


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A data folder in which ten test patients have recordings in train too, and who they are."""
    root = tmp_path_factory.mktemp("leaky")
    return root, simulate.icbhi(
        root / "ICBHI", snr_db=0.0, leak=0.8, patients=30, recordings_per_patient=4, cycles=3, cycle_s=0.5
    )["leaked_patients"]


@pytest.mark.long
def test_a_patient_leak_is_refused_unless_declared(encoder, leaky, capsys):
    root, leaked = leaky
    task = bench.load_task("icbhi.cycles2", root)
    with pytest.raises(BadInput, match=leaked[0]):
        bench.evaluate(encoder, task, pooling=POOLING)
    assert main(["check", "icbhi.cycles2", "--root", str(root)]) == 1
    assert leaked[0] in capsys.readouterr().out
    record = bench.evaluate(encoder, declared(task, leaked), pooling=POOLING)[0]
    assert record.data["groups_in_train"] == {"corrected": 0, "official": len(leaked)}


@pytest.mark.paths
@pytest.mark.long
def test_a_patient_leak_raises_the_score_of_those_patients(encoder, leaky):
    """Where a label is a patient's own and drawn at random, knowledge of the patient is all that there is to gain over
    the same fit without the leaked patients' training clips.

    Over 150 draws on five corpora the gain was 0.26 in the mean with a standard deviation of 0.14, and as large on each
    corpus as on the others: the mean of 20 draws is below 0.1 by chance in one of a million cases.
    """
    root, leaked = leaky
    prepared = prepare(declared(bench.load_task("icbhi.cycles2", root), leaked))
    store = FeatureStore(encoder, prepared)
    store.encode([(-1, POOLING)])
    rows = prepared.rows
    features = store.gather((-1, POOLING)).reshape(len(rows), 32, -1).mean(axis=2)
    split, group = rows["split"].to_numpy(), rows["group"].to_numpy()
    overlap = split == "test_overlap"
    with_leak = split == "train"
    without = with_leak & ~np.isin(group, leaked)
    patients, of_row = np.unique(group, return_inverse=True)
    gains = []
    for seed in range(20):
        label = np.random.default_rng(seed).permutation(np.arange(len(patients)) % 2)[of_row]
        fits = (
            LogisticPathCV((0.1,), (None,)).fit(features[fit], label[fit], group[fit]) for fit in (with_leak, without)
        )
        known, unknown = (roc_auc_score(label[overlap], fit.predict_proba(features[overlap])[:, 1]) for fit in fits)
        gains.append(known - unknown)
    assert np.mean(gains) > 0.1, gains


@pytest.mark.long
def test_a_device_shortcut_shows_as_a_drop_in_the_transfer_score(encoder, tmp_path):
    """AUROC in-domain minus out-of-domain: small without a shortcut, large with it."""
    inside, outside = np.zeros((2, 3)), np.zeros((2, 3))
    for seed in range(3):
        for shortcut in (0, 1):
            root = tmp_path / f"{seed}{shortcut}"
            simulate.corpora(root, seed=seed, shortcut=float(shortcut))
            task = bench.load_task("transfer.icbhi-sprsound", root)
            record = bench.evaluate(encoder, task, pooling=POOLING)[0]
            inside[shortcut, seed] = auroc(record, "source_corrected")
            outside[shortcut, seed] = auroc(record, "inter")
    assert inside[1].mean() > 0.95
    assert outside[1].mean() < outside[0].mean()
    optimism = (inside - outside).mean(axis=1)
    assert optimism[1] > optimism[0] + 0.1, (inside, outside)
