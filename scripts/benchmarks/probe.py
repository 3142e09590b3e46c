"""The probe's path against scikit-learn's and a gradient-descent probe: python scripts/benchmarks/probe.py [D ...]

4,142 clips of 126 patients (as many as ICBHI's training split), 4 classes, 23 values of C, 5 patient-grouped folds, one
class weight, all in one process, on one core and on the same arrays. Arrays are simulated: latent factors of decaying
strength, patient effects, class signal in a tenth of the factors. Compared are

- ``LogisticPathCV``, standardisation of every fold and refit included;
- ``LogisticRegressionCV(solver="lbfgs")``, which warm-starts along C, on features standardised beforehand, iterating
  until its own criterion (default ``tol``) is met; at 9,216 features one fold, extrapolated;
- a linear layer trained by Adam, 200 epochs of batches of 256, weight decay in the place of C; one value of C on one
  fold, extrapolated.

Where the time of the first goes is printed for one fold, and what the second reads of memory.

The objective gap is relative, to a reference fit of scikit-learn at ``tol=1e-10`` on the same standardised rows, in
float64, over sampled (C, fold) cells; agreement is the share of held-out clips with the reference's prediction. Exit
status 1 where a gap exceeds 1e-6 or a target of speed is missed (20 times at 9,216, 10 times at 3,840, once at 768).
"""

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from threadpoolctl import threadpool_limits

from bench.probe import LogisticPathCV
from bench.probe.goal import assign_folds
from bench.probe.linear.design import standardise, suited
from bench.probe.linear.fold import GAP_TO_COMPARE
from bench.probe.linear.logistic import HALF_DECADES
from bench.probe.linear.solver.path import fit_path, one_hot

CLIPS, PATIENTS, SHARES, FOLDS = 4142, 126, (0.50, 0.29, 0.12, 0.09), 5
TARGETS = {768: 1.0, 3840: 10.0, 9216: 20.0}
CELLS, GAP = 12, 1e-6
EXTRAPOLATED = 9216  # the width at which the baseline runs one fold
EPOCHS, BATCH, RATE = 200, 256, 1e-3


def clips(d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D) float32, labels (N,) and patients (N,)."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(PATIENTS, CLIPS, p=rng.dirichlet(np.ones(PATIENTS)))
    y = rng.choice(len(SHARES), CLIPS, p=SHARES)
    factors = min(d, 512)
    latent = rng.normal(size=(CLIPS, factors)) + 0.6 * rng.normal(size=(PATIENTS, factors))[groups]
    latent += 0.5 * rng.normal(size=(len(SHARES), factors))[y] * (rng.random(factors) < 0.1)
    x = (latent * np.arange(1, factors + 1) ** -0.8) @ rng.normal(size=(factors, d))
    return (x + 0.15 * rng.normal(size=x.shape)).astype(np.float32), y, groups


@contextmanager
def measured() -> Iterator[dict]:
    """Seconds, and the most memory held above what was held before (MB), of what runs inside."""
    out, over = {}, threading.Event()
    before = peak = _resident()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    yield out
    out["seconds"] = time.perf_counter() - began
    over.set()
    watcher.join()
    out["mb"] = (max(peak, _resident()) - before) / 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def ours(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> dict:
    with measured() as cost:
        LogisticPathCV(class_weights=(None,), folds=FOLDS).fit(x, y, groups)
    return cost


def baseline(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> dict:
    z, part = standardise(x)[0], x.shape[1] == EXTRAPOLATED
    model = LogisticRegressionCV(
        Cs=list(HALF_DECADES),
        cv=[(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(1 if part else FOLDS)],
        refit=not part,
        l1_ratios=(0.0,),
        scoring="balanced_accuracy",
        max_iter=100_000,
        use_legacy_attributes=False,
    )
    with measured() as cost:
        model.fit(z, y)
    iterations = int(model.n_iter_.sum())
    read = iterations * 2 * z.nbytes * (FOLDS - 1) / FOLDS  # for logits and gradient
    note = (
        f"{iterations} iterations: over {read / 1e9:.0f} GB of features read, {read / 1e9 / cost['seconds']:.0f} GB/s"
    )
    if part:
        cost["seconds"] *= FOLDS
        note = f"extrapolated from one fold: {note}"
    return cost | {"note": note}


def profile(x: np.ndarray, y: np.ndarray, folds: np.ndarray) -> str:
    """Where the time of a fold goes."""
    seen, parts = folds != 0, []

    def done(name: str, call: Callable) -> object:
        began = time.perf_counter()
        found = call()
        parts.append(f"{name} {time.perf_counter() - began:.2f} s")
        return found

    z = done("standardising", lambda: standardise(x[seen])[0])
    done("products of all pairs of rows or features", lambda: z @ z.T if len(z) < z.shape[1] else z.T @ z)
    kind = suited(z)
    design = done(f"all of {kind.__name__}", lambda: kind.of(z))
    fits = done(
        "path", lambda: fit_path(design, one_hot(y[seen])[None], np.ones((1, len(z))), HALF_DECADES, GAP_TO_COMPARE)
    )
    done("coefficients", lambda: fits.coefficients(design))
    return f"one fold: {', '.join(parts)}; {fits.products} Hessian products, {int(fits.stiff.sum())} stiff"


def descent(x: np.ndarray, y: np.ndarray, folds: np.ndarray, c: float = 1e-2) -> dict:
    """The Adam probe at one C on one fold, times the number of both; its objective gap needs no reference fit."""
    seen = folds != 0
    z = standardise(x[seen])[0]
    rows, labels = torch.from_numpy(z).float(), torch.from_numpy(y[seen])
    torch.manual_seed(0)
    layer = torch.nn.Linear(x.shape[1], len(SHARES))
    decay = 1 / (c * len(rows))  # scikit-learn's objective over C and the number of rows
    groups = [{"params": [layer.weight], "weight_decay": decay}, {"params": [layer.bias]}]
    optimiser = torch.optim.Adam(groups, lr=RATE)
    with measured() as cost:
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(rows)).split(BATCH):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(layer(rows[batch]), labels[batch]).backward()
                optimiser.step()
    coef, intercept = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    best = fit_path(suited(z).of(z), one_hot(y[seen])[None], np.ones((1, len(z))), [c], 1e-10).objective
    gap = objective(z, y[seen], c, coef, intercept) / float(best[0]) - 1
    cost["seconds"] *= FOLDS * len(HALF_DECADES)
    return cost | {"note": f"extrapolated; gap {gap:.1e} at C {c:g}"}


def objective(z: np.ndarray, y: np.ndarray, c: float, coef: np.ndarray, intercept: np.ndarray) -> float:
    """scikit-learn's, written down independently."""
    logits = z @ coef.T + intercept
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return c * -log_p[np.arange(len(y)), y].sum() + 0.5 * (coef**2).sum()


def gaps(x: np.ndarray, y: np.ndarray, folds: np.ndarray, cells: int) -> Iterator[tuple[float, int, float, float]]:
    """(C, fold, relative objective gap, agreement of held-out predictions) of sampled cells."""
    chosen = np.random.default_rng(1).permutation(len(HALF_DECADES) * FOLDS)[:cells]
    for fold in range(FOLDS):
        own = [i // FOLDS for i in sorted(chosen) if i % FOLDS == fold]
        if not own:
            continue
        seen = folds != fold
        z, scaler = standardise(x[seen])
        held, design = scaler(x[~seen]), suited(z).of(z)
        fits = fit_path(design, one_hot(y[seen])[None], np.ones((1, len(z))), HALF_DECADES, GAP_TO_COMPARE)
        coef, intercept = (each.numpy() for each in fits.coefficients(design))
        for i in own:
            c = HALF_DECADES[i]
            reference = LogisticRegression(C=c, tol=1e-10, max_iter=100_000).fit(z, y[seen])
            best = objective(z, y[seen], c, reference.coef_, reference.intercept_)
            gap = objective(z, y[seen], c, coef[i], intercept[i]) / best - 1
            same = (held @ coef[i].T + intercept[i]).argmax(1) == reference.predict(held)
            yield c, fold, gap, same.mean()


def timed(d: int) -> bool:
    """Prints time and memory of the three; whether the target of speed is met."""
    x, y, groups = clips(d)
    folds, _ = assign_folds(y, groups, FOLDS, 0)
    print(f"\n{CLIPS} x {d}, {len(HALF_DECADES)} values of C, {FOLDS} folds", flush=True)
    rows: list[tuple[str, Callable[[], dict]]] = [
        ("LogisticPathCV", lambda: ours(x, y, groups)),
        ("LogisticRegressionCV", lambda: baseline(x, y, folds)),
        (f"Adam, {EPOCHS} epochs", lambda: descent(x, y, folds)),
    ]
    first, met = None, True
    for name, run in rows:
        cost = run()
        first = first or cost["seconds"]
        ratio = cost["seconds"] / first
        note = f"  {cost['note']}" if "note" in cost else ""
        print(f"  {name:22s}{cost['seconds']:9.1f} s  {ratio:6.1f} x  {cost['mb']:7.0f} MB{note}", flush=True)
        if name == "LogisticRegressionCV" and ratio < TARGETS.get(d, 0.0):
            print(f"  missed: {TARGETS[d]:.0f} times was the target")
            met = False
    print(f"  {profile(x, y, folds)}", flush=True)
    return met


def compared(d: int, cells: int) -> bool:
    """Prints objective gap and agreement of sampled cells; whether the gap holds in all."""
    x, y, groups = clips(d)
    folds, _ = assign_folds(y, groups, FOLDS, 0)
    print(f"\n{CLIPS} x {d}, {cells} of {len(HALF_DECADES) * FOLDS} cells", flush=True)
    worst, least = -np.inf, 1.0
    for c, fold, gap, agreement in gaps(x, y, folds, cells):
        print(f"    C {c:8.1e} fold {fold}: objective gap {gap:+.1e}, agreement {100 * agreement:.2f} %", flush=True)
        worst, least = max(gap, worst), min(agreement, least)
    print(f"  largest gap {worst:.1e} (limit {GAP:.0e}), least agreement {100 * least:.2f} %", flush=True)
    return worst <= GAP


def main(widths: list[str]) -> int:
    warnings.simplefilter("ignore", ConvergenceWarning)  # of the baseline; its gap shows in the printed ratio's favour
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, scikit-learn {sklearn.__version__}, on one core", flush=True)
    chosen = list(map(int, widths or TARGETS))
    with threadpool_limits(1):
        held = [timed(d) for d in chosen] + [compared(d, CELLS) for d in chosen]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
