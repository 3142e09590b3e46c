"""Whole trainings against loops written with torch.nn and torch.optim, on the same batches and initial weights."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from bench.probe.literature.dinov2 import DinoV2Probe, endless_batches
from bench.probe.literature.evar import EvarProbe
from bench.probe.literature.opera import OperaProbe
from bench.probe.literature.shared.loop import seeded_generator, shuffled_batches
from bench.probe.literature.shared.replicas import normal_layer, uniform_layer
from bench.probe.literature.xares import XaresProbe
from bench.scores.label_kinds import bits

pytestmark = pytest.mark.paths

D = 8


def data(kind="multiclass", n=120, classes=3, seed=0):
    """Features (N, D), labels, groups, and which rows validate."""
    rng = np.random.default_rng(seed)
    X = 3 * rng.normal(size=(n, D)) + 1
    signal = X @ rng.normal(size=(D, classes)) + 4 * rng.normal(size=(n, classes))
    if kind == "multilabel":
        y = (signal > 0) @ (1 << np.arange(classes))
    else:
        y = signal.argmax(1) if kind == "multiclass" else 40 + 5 * signal[:, 0]
    return X, y, np.repeat(np.arange(n // 4), 4).astype(str), np.arange(n) % 4 == 0


def linear(weights, r=0):
    """A torch.nn.Linear that begins where replica r begins."""
    layer = torch.nn.Linear(weights[0].shape[1], weights[0].shape[2])
    with torch.no_grad():
        layer.weight.copy_(weights[0][r].T)
        layer.bias.copy_(weights[1][r, 0])
    return layer


def tensors(X, y, validation, dtype=torch.long):
    x = torch.as_tensor(X, dtype=torch.float32)
    target = torch.as_tensor(y, dtype=dtype)
    return x[~validation], target[~validation], x[validation], np.asarray(y)[validation]


def copied(layer):
    return {name: value.clone() for name, value in layer.state_dict().items()}


@pytest.mark.parametrize("classes", [2, 3])
def test_opera(classes):
    X, y, groups, validation = data(classes=classes)
    epochs, batch, seed = 8, 16, 3
    probe = OperaProbe("multiclass", classes, seed=seed, batch=batch, epochs=epochs).fit(X, y, groups, validation)

    x, target, x_val, y_val = tensors(X, y, validation)
    generators = [seeded_generator("literature/opera", seed)]
    layer = linear(normal_layer(generators, D, classes))
    orders = shuffled_batches(generators, len(x), batch)
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.97)
    best, path = -1.0, []
    for epoch in range(epochs):
        for index in orders(epoch):
            optimiser.zero_grad()
            loss = functional.cross_entropy(layer(x[index[0]]), target[index[0]])
            (loss + 1e-5 * sum((p**2).sum() for p in layer.parameters())).backward()
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimiser.step()
        schedule.step()
        p_val = layer(x_val).softmax(1).detach().numpy()
        score = roc_auc_score(y_val, p_val[:, 1] if classes == 2 else p_val, multi_class="ovr")
        path.append(score)
        if score > best:
            best, state, chosen = score, copied(layer), epoch + 1
    layer.load_state_dict(state)
    expected = layer(torch.as_tensor(X, dtype=torch.float32)).softmax(1).detach().numpy()
    np.testing.assert_allclose(np.exp(probe.predict_scores(X)), expected, atol=1e-5)
    np.testing.assert_allclose([candidate["score"] for candidate in probe.path_], path, atol=1e-6)
    assert probe.best_params_ == {"epoch": chosen, "validation": "the task's own: 30 of 120 rows"}


def test_opera_of_a_target():
    X, y, groups, validation = data("regression")
    probe = OperaProbe("regression", 0, seed=1, epochs=40, keep=3, patience=5, delta=0.001)
    probe.fit(X, y, groups, validation)

    x, target, x_val, y_val = tensors(X, y, validation, torch.float32)
    generators = [seeded_generator("literature/opera", 1)]
    layer = linear(normal_layer(generators, D, 1))
    mean, spread = target.mean(), target.std(correction=0)
    orders = shuffled_batches(generators, len(x), 64)
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-4)
    best, top, waited = np.inf, np.inf, 0
    for epoch in range(40):
        optimiser.param_groups[0]["lr"] = 1e-4 * 0.97**epoch
        for index in orders(epoch):
            optimiser.zero_grad()
            error = layer(x[index[0]])[:, 0] * spread + mean - target[index[0]]
            ((error**2).mean() + 0.1 * sum((p**2).sum() for p in layer.parameters())).backward()
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimiser.step()
        error = np.abs((layer(x_val)[:, 0] * spread + mean).detach().numpy() - y_val).mean()
        if (epoch + 1) % 3 == 0 and error < best:
            best, state = error, copied(layer)
        waited = 0 if error < top - 0.001 else waited + 1
        top = min(top, error) if waited == 0 else top
        if waited == 5:
            break
    layer.load_state_dict(state)
    rows = torch.as_tensor(X, dtype=torch.float32)
    expected = (layer(rows) * spread + mean).detach()
    # each step and each term of a sum may lose one float32 unit of what the terms sum to where they do not cancel
    terms = ((rows.abs() @ layer.weight.abs().T + layer.bias.abs()) * spread + mean.abs()).detach().numpy()
    units = D + (epoch + 1) * -(-len(x) // 64)
    assert (np.abs(probe.predict_scores(X) - expected.numpy()) <= units * np.finfo(np.float32).eps * terms).all()
    assert {candidate["epoch"] % 3 for candidate in probe.path_} == {0}
    assert -max(candidate["score"] for candidate in probe.path_) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_evar(kind):
    X, y, groups, validation = data(kind)
    probe = EvarProbe(kind, 3, seed=42, rate=3e-2, epochs=60).fit(X, y, groups, validation)

    z = StandardScaler().fit(X[~validation]).transform(X)
    x, target, x_val, y_val = tensors(z, y, validation)
    generators = [seeded_generator("literature/evar", 42)]
    layer = linear(uniform_layer(generators, D, 3))
    orders = shuffled_batches(generators, len(x), min(200, len(x)))
    optimiser = torch.optim.Adam(layer.parameters(), lr=3e-2, weight_decay=1e-8)
    best, waited = 0.0, 0
    for epoch in range(60):
        for index in orders(epoch):
            optimiser.zero_grad()
            logits, wanted = layer(x[index[0]]), target[index[0]]
            if kind == "multiclass":
                loss = -(functional.one_hot(wanted, 3) * logits.log_softmax(1)).mean()
            else:
                wanted = torch.as_tensor(bits(wanted.numpy(), 3), dtype=torch.float32)
                loss = functional.binary_cross_entropy(logits.sigmoid(), wanted)
            loss.backward()
            optimiser.step()
        logits = layer(x_val).detach().numpy()
        if kind == "multiclass":
            score = accuracy_score(y_val, logits.argmax(1))
        else:
            score = average_precision_score(bits(y_val, 3), logits, average="macro")
        waited = 0 if score >= best else waited + 1
        if score >= best:
            best, state, chosen = score, copied(layer), epoch + 1
        if waited == 20:
            break
    layer.load_state_dict(state)
    outputs = layer(torch.as_tensor(z, dtype=torch.float32)).detach()
    expected = outputs.log_softmax(1) if kind == "multiclass" else outputs
    np.testing.assert_allclose(probe.predict_scores(X), expected, atol=1e-4)
    assert probe.best_params_["epoch"] == chosen and len(probe.path_) == epoch + 1


def test_xares():
    X, y, groups, validation = data()
    probe = XaresProbe("multiclass", 3, seed=42).fit(X, y, groups, validation)

    x, target, x_val, y_val = tensors(X, y, validation)
    generators = [seeded_generator("literature/xares", 42)]
    model = torch.nn.Sequential(torch.nn.LayerNorm(D), linear(uniform_layer(generators, D, 3)))
    orders = shuffled_batches(generators, len(x), 32)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10 * 3, eta_min=1e-4)
    best = -1.0
    for epoch in range(10):
        for index in orders(epoch):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[index[0]]), target[index[0]]).backward()
            optimiser.step()
            schedule.step()
        score = accuracy_score(y_val, model(x_val).argmax(1))
        if score > best:
            best, state = score, copied(model)
    model.load_state_dict(state)
    expected = model(torch.as_tensor(X, dtype=torch.float32)).softmax(1).detach()
    np.testing.assert_allclose(np.exp(probe.predict_scores(X)), expected, atol=1e-5)
    assert max(candidate["score"] for candidate in probe.path_) == best


def test_dinov2():
    X, y, groups, validation = data()
    probe = DinoV2Probe("multiclass", 3, epochs=2, epoch_steps=25).fit(X / 5, y, groups, validation)

    x, target, x_val, y_val = tensors(X / 5, y, validation)
    generator = seeded_generator("literature/dinov2", 0)
    weights = normal_layer([generator] * 13, D, 3)
    layers = [linear(weights, r) for r in range(13)]
    rates = [c["lr"] for c in probe.path_]
    assert rates[0] == 1e-5 and rates[-1] == 0.1 and len(rates) == 13
    groups_of = [{"params": layer.parameters(), "lr": rate / 2} for layer, rate in zip(layers, rates)]
    optimiser = torch.optim.SGD(groups_of, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    stream = endless_batches(len(x), 128, generator)
    for _ in range(50):
        index = next(stream)
        optimiser.zero_grad()
        sum(functional.cross_entropy(layer(x[index]), target[index]) for layer in layers).backward()
        optimiser.step()
        schedule.step()
    scores = [accuracy_score(y_val, layer(x_val).argmax(1)) for layer in layers]
    np.testing.assert_allclose([c["score"] for c in probe.path_], scores, atol=1e-9)
    chosen = int(np.argmax(scores))
    assert probe.best_params_["lr"] == rates[chosen]
    expected = layers[chosen](torch.as_tensor(X / 5, dtype=torch.float32)).softmax(1).detach()
    np.testing.assert_allclose(np.exp(probe.predict_scores(X / 5)), expected, atol=1e-5)
