"""A linear probe on band levels sees what each knob promises."""

import json

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly, stft
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench import simulate

RATE = 8000
BANDS_HZ = np.geomspace(60, 4000, 33)


def band_statistics(wave, rate):
    """Mean, spread and maximum over time of log energy in 32 bands at a common rate."""
    hz, _, spectrum = stft(resample_poly(wave, RATE, rate), RATE, nperseg=256, noverlap=128, boundary=None)
    band = np.digitize(hz, BANDS_HZ) - 1
    power = np.abs(spectrum) ** 2
    levels = np.log([power[band == k].sum(axis=0) + 1e-9 for k in range(32) if np.any(band == k)])
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1), levels.max(axis=1)])


def icbhi_table(folder):
    """(features, abnormal, split, patient) of every cycle."""
    split = dict(line.split("\t") for line in (folder / "ICBHI_challenge_train_test.txt").read_text().splitlines())
    rows = []
    for path in sorted((folder / "ICBHI_final_database").glob("*.wav")):
        wave, rate = soundfile.read(path)
        for row in path.with_suffix(".txt").read_text().splitlines():
            start_s, end_s, crackle, wheeze = map(float, row.split("\t"))
            clip = wave[round(start_s * rate) : round(end_s * rate)]
            rows.append((band_statistics(clip, rate), crackle + wheeze > 0, split[path.stem], path.stem[:3]))
    return tuple(map(np.array, zip(*rows)))


def inter_table(folder):
    """(features, abnormal) of every event of the inter test."""
    rows = []
    for path in sorted((folder / "test_json" / "inter_test_json").glob("*.json")):
        wave, rate = soundfile.read(folder / "test_wav" / f"{path.stem}.wav")
        for event in json.loads(path.read_text())["event_annotation"]:
            clip = wave[int(event["start"]) * rate // 1000 : int(event["end"]) * rate // 1000]
            rows.append((band_statistics(clip, rate), event["type"] != "Normal"))
    return tuple(map(np.array, zip(*rows)))


def probe(features, abnormal, C=0.01):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000)).fit(features, abnormal)


def auroc(fitted, features, abnormal):
    return roc_auc_score(abnormal, fitted.decision_function(features))


def in_domain(folder):
    features, abnormal, split, _ = icbhi_table(folder)
    train = split == "train"
    return auroc(probe(features[train], abnormal[train]), features[~train], abnormal[~train])


def test_score_rises_with_snr(tmp_path):
    scores = {}
    for snr_db in (-30.0, 12.0, 30.0):
        simulate.icbhi(tmp_path / str(snr_db), snr_db=snr_db, cycle_s=1.0)
        scores[snr_db] = in_domain(tmp_path / str(snr_db))
    assert scores[-30.0] == pytest.approx(0.5, abs=0.15)
    assert scores[-30.0] + 0.2 < scores[12.0] < scores[30.0]


def test_leaked_patients_score_higher_than_the_same_patients_unseen(tmp_path):
    """The adventitious sounds are inaudible: whatever is above chance is knowledge of the patient."""
    scores = []
    for seed in range(3):
        folder = tmp_path / str(seed)
        facts = simulate.icbhi(
            folder, seed=seed, snr_db=-30.0, leak=0.5, patients=30, recordings_per_patient=4, cycle_s=1.0
        )
        features, abnormal, split, patient = icbhi_table(folder)
        leaked, train = np.isin(patient, facts["leaked_patients"]), split == "train"
        test = ~train & leaked
        fits = (probe(features[k], abnormal[k], C=1.0) for k in (train, train & ~leaked))
        scores.append([auroc(fitted, features[test], abnormal[test]) for fitted in fits])
    with_leak, without = np.mean(scores, axis=0)
    assert with_leak > 0.62 and with_leak > without + 0.05


def test_shortcut_makes_the_in_domain_score_optimistic(tmp_path):
    """AUROC in-domain minus AUROC on SPRSound: nothing to speak of without a shortcut, much with it."""
    inside, outside = np.zeros((2, 3)), np.zeros((2, 3))
    for seed in range(3):
        simulate.sprsound(tmp_path / f"s{seed}", seed=seed)
        target = inter_table(tmp_path / f"s{seed}")
        for shortcut in (0, 1):
            folder = tmp_path / f"i{seed}{shortcut}"
            simulate.icbhi(folder, seed=seed, shortcut=float(shortcut), cycle_s=1.5)
            features, abnormal, split, _ = icbhi_table(folder)
            train = split == "train"
            fitted = probe(features[train], abnormal[train])
            inside[shortcut, seed] = auroc(fitted, features[~train], abnormal[~train])
            outside[shortcut, seed] = auroc(fitted, *target)
    optimism = (inside - outside).mean(axis=1)
    assert inside[1].min() > 0.97 and outside[1].mean() < outside[0].mean()
    assert optimism[0] < 0.1 < optimism[1] - optimism[0]
