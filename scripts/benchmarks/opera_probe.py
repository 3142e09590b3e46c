"""The protocol literature/opera beside a plain loop of torch.nn.Linear and torch.optim.Adam, on real features.

The two share features, training and validation rows, and nothing else: own initial weights, own batches, own
validation score (scikit-learn). They agree where their difference is within the spread of their seeds.

    python scripts/benchmarks/opera_probe.py --encoder efficientat.mn04 --task icbhi.disease2 sprsound.events2
"""

from __future__ import annotations

import argparse
import copy

import numpy as np
import torch
from scipy.stats import ttest_rel
from sklearn.metrics import roc_auc_score

from bench.data.manifest import TRAIN, load_task, prepare
from bench.encoders.features.store import FeatureStore
from bench.encoders.load import load_encoder
from bench.probe import protocols
from bench.probe.literature.shared.probe import fit_together
from bench.reports.tables import markdown


def main() -> None:
    """Prints a table per encoder and task: AUROC of both for every seed, their means and the paired difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", nargs="+", default=["efficientat.mn04"])
    parser.add_argument("--task", nargs="+", default=["icbhi.disease2", "sprsound.events2"])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(protocols.get("literature/opera").seeds))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for encoder in arguments.encoder:
        for task in arguments.task:
            print(compared(encoder, task, arguments.seeds), flush=True)


def compared(encoder_id: str, task_id: str, seeds: list[int]) -> str:
    """The table of one encoder on one two-class task, and the figures under it."""
    task = load_task(task_id)
    prepared, encoder = prepare(task), load_encoder(encoder_id)
    want = (encoder.card.pool_layer, encoder.card.default_pooling)
    store = FeatureStore(encoder, prepared)
    store.encode([want])
    features, rows = store.gather(want), prepared.rows
    labels, groups = rows["label"].to_numpy(), rows["group"].to_numpy()
    train = rows["split"].isin(TRAIN).to_numpy()
    test = rows["split"].isin(next(iter(task.card.tests.values()))).to_numpy()

    named = protocols.get("literature/opera")
    probes = [protocols.probe(named, task.card, seed) for seed in seeds]
    own = (rows["split"] == "val").to_numpy()[train]
    fit_together(probes, features[train], labels[train], groups[train], own)
    held = own if own.any() else probes[0].folds_ == 0
    ours = [roc_auc_score(labels[test], probe.predict_scores(features[test])[:, 1]) for probe in probes]

    settings = {name: probes[0].get_params()[name] for name in ("batch", "epochs", "keep")}
    x, y = features[train], labels[train]
    parts = (x[~held], y[~held], x[held], y[held])
    plain = [roc_auc_score(labels[test], by_hand(*parts, features[test], seed, **settings)) for seed in seeds]

    difference = np.array(ours) - np.array(plain)
    table = [[seed, *(f"{100 * v:.2f}" for v in values)] for seed, *values in zip(seeds, ours, plain, difference)]
    wins = f"ours higher on {int((difference > 0).sum())} seeds, the plain loop on {int((difference < 0).sum())}"
    p = ttest_rel(ours, plain).pvalue if len(seeds) > 1 else float("nan")
    return "\n".join(
        [
            f"\n{task_id}, {encoder_id} {want[1]}: {train.sum() - held.sum()} rows trained on, {held.sum()} validate, "
            f"{test.sum()} tested, {features.shape[1]} features; AUROC in %",
            markdown(["seed", "literature/opera", "plain loop", "difference"], table, right=range(4)),
            f"mean ± SD (population): {told(ours)} and {told(plain)}; paired difference {told(difference)}, "
            f"t test p = {p:.2f}; {wins}",
        ]
    )


def by_hand(
    x: np.ndarray,
    y: np.ndarray,
    x_val: np.ndarray,
    y_val: np.ndarray,
    x_test: np.ndarray,
    seed: int,
    batch: int,
    epochs: int,
    keep: int,
) -> np.ndarray:
    """(N,) probability of class 1 of the test rows, from the state of best validation AUROC."""
    torch.manual_seed(seed)
    layer = torch.nn.Linear(x.shape[1], 2)
    torch.nn.init.normal_(layer.weight, 0, 0.01)
    torch.nn.init.zeros_(layer.bias)
    dataset = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch, shuffle=True)
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, gamma=0.97)
    best, state = -1.0, None
    for epoch in range(epochs):
        for rows, labels in loader:
            loss = torch.nn.functional.cross_entropy(layer(rows), labels)
            loss = loss + 1e-5 * sum(p.square().sum() for p in layer.parameters())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimiser.step()
        schedule.step()
        score = roc_auc_score(y_val, probability(layer, x_val))
        if (epoch + 1) % keep == 0 and score > best:
            best, state = score, copy.deepcopy(layer.state_dict())
    layer.load_state_dict(state)
    return probability(layer, x_test)


@torch.no_grad()
def probability(layer: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
    """(N,) probability of class 1."""
    return layer(torch.as_tensor(x)).softmax(1)[:, 1].numpy()


def told(values: np.ndarray | list[float]) -> str:
    """Mean and spread in percent."""
    return f"{100 * np.mean(values):.2f} ± {100 * np.std(values):.2f}"


if __name__ == "__main__":
    main()
