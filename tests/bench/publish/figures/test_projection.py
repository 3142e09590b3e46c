import sys

import numpy as np
import pytest

from bench.base.errors import BadInput, UnknownId
from bench.publish.figures.projection import on_a_plane, sampled


def test_clips_are_drawn_without_replacement_the_same_ones_every_time():
    kept = sampled(5000, 300)
    assert len(set(kept)) == 300 and (np.diff(kept) > 0).all() and (kept == sampled(5000, 300)).all()
    assert sampled(7).tolist() == list(range(7))


def test_the_plane_is_that_of_the_largest_variance_of_standardised_features():
    draw = np.random.default_rng(0)
    line = draw.standard_normal(200)
    features = np.stack([line, 1000 * line, draw.standard_normal(200), np.ones(200)], axis=1)
    places, (first, _) = on_a_plane(features)
    assert abs(np.corrcoef(places[:, 0], line)[0, 1]) > 0.98
    assert first == "PC 1 (67 %)"  # two of three features that vary


def test_umap_is_the_same_every_time():
    pytest.importorskip("umap", reason="no umap-learn: pip install respbench[maps]")
    draw = np.random.default_rng(0)
    features = np.concatenate([draw.standard_normal((30, 5)), 8 + draw.standard_normal((30, 5))])
    places, titles = on_a_plane(features, "umap")
    again, _ = on_a_plane(features, "umap")
    assert titles == ("UMAP 1", "UMAP 2") and places.shape == (60, 2) and (places == again).all()
    between = np.linalg.norm(places[:30].mean(axis=0) - places[30:].mean(axis=0))
    assert between > np.linalg.norm(places[:30] - places[:30].mean(axis=0), axis=1).max()  # two clouds stay two


def test_what_makes_no_map_is_refused(monkeypatch):
    features = np.random.default_rng(0).standard_normal((10, 4))
    with pytest.raises(BadInput, match="three at least"):
        on_a_plane(features[:2])
    with pytest.raises(BadInput, match="not finite"):
        on_a_plane(np.where(features > 1, np.nan, features))
    with pytest.raises(BadInput, match="another encoder"):
        on_a_plane(np.ones((10, 4)))
    with pytest.raises(UnknownId, match="pca"):
        on_a_plane(features, "tsne")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(BadInput, match=r"respbench\[maps\]"):
        on_a_plane(features, "umap")
