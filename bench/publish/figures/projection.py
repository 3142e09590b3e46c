"""Features on a plane: a deterministic choice of clips, standardised, by principal components or UMAP."""

from __future__ import annotations

import numpy as np

from bench.base.errors import BadInput, UnknownId
from bench.base.optional_imports import require

METHODS = ("pca", "umap")
MOST = 2000  # clips of a map


def sampled(n: int, most: int = MOST, seed: int = 0) -> np.ndarray:
    """Indices of at most ``most`` of n clips, rising; drawn without replacement, the same ones every time."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def on_a_plane(features: np.ndarray, method: str = "pca", seed: int = 0) -> tuple[np.ndarray, tuple[str, str]]:
    """Places (N, 2) of clips by their features (N, P), and the titles of both axes.

    Features are standardised first, as every probe does. UMAP takes its own defaults.

    Raises
    ------
    UnknownId
        For another method.
    BadInput
        For fewer than three clips, features that are all alike or not finite, and UMAP where it is not installed.
    """
    if method not in METHODS:
        raise UnknownId("projection", method, METHODS)
    features = np.asarray(features, float)
    if len(features) < 3:
        raise BadInput("features", f"there are {len(features)} clips", "a map needs three at least")
    if not np.isfinite(features).all():
        raise BadInput("features", "some are not finite", "encode again")
    varied = features[:, np.ptp(features, axis=0) > 0]
    if varied.shape[1] < 2:
        raise BadInput("features", "fewer than two differ between clips", "take another encoder")
    standard = (varied - varied.mean(axis=0)) / varied.std(axis=0)
    if method == "umap":
        umap = require("umap", "maps")
        places = umap.UMAP(random_state=seed, n_jobs=1).fit_transform(standard)
        return np.asarray(places, float), ("UMAP 1", "UMAP 2")
    from sklearn.decomposition import PCA

    fitted = PCA(2, svd_solver="full").fit(standard)
    shares = 100 * fitted.explained_variance_ratio_
    return fitted.transform(standard), (f"PC 1 ({shares[0]:.0f} %)", f"PC 2 ({shares[1]:.0f} %)")
