"""Probes of the literature as published, so that its numbers can be set beside ours; they are ranked by themselves.

Each description ends with what is ours where a publication leaves a detail open or needs what is not at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.types import Protocol, TaskCard

if TYPE_CHECKING:
    from bench.probe.literature.shared.probe import LiteratureProbe

_OURS = "Ours: validation rows drawn by group, one in 5, where the task has no validation split of its own"

_EVAR = (
    "best validation accuracy (mAP if multilabel) of at most 200 epochs, ends after 20 without improvement",
    "standardise on the rows trained on; linear layer; Adam {rate}, weight decay 1e-8, batch min(200, n); float32. "
    + _OURS,
)

PROTOCOLS = (
    Protocol(
        "literature/opera",
        1,
        "frozen",
        "best validation AUROC (regression: absolute error) of 64 epochs",
        "embedding as it is; linear layer from N(0, 0.01²); cross-entropy + 1e-5 Σθ² (regression: squared error + 0.1 "
        "Σθ² of ŵx·σ+μ); Adam 1e-4 x 0.97 per epoch, gradient norm at most 1, batch 64; 32 rows a batch for T7 to T11, "
        "50 epochs and every 5th kept for T10, 32 and every 3rd for T12, every 3rd kept and early stopping for T13 to "
        f"T18; seeds 0 to 4 (published regressions: seed 0). {_OURS} (one in 9 for T13 to T18); no class is "
        "downsampled for VGGish, nothing is standardised for openSMILE",
        seeds=(0, 1, 2, 3, 4),
        validates=True,
    ),
    Protocol(
        "literature/evar", 1, "frozen", _EVAR[0], _EVAR[1].format(rate="3e-4"), seeds=(42, 43, 44), validates=True
    ),
    Protocol(
        "literature/evar-m2d",
        1,
        "frozen",
        _EVAR[0],
        _EVAR[1].format(rate="3e-5, as EVAR has it for M2D"),
        seeds=(42, 43, 44),
        validates=True,
    ),
    Protocol(
        "literature/hear",
        1,
        "frozen",
        "best validation main metric of 8 random points of 16, each of at most 500 epochs, seen every 3, ends after 20 "
        "looks without improvement",
        "embedding as it is; 1 or 2 hidden layers of 1024 with batch normalisation, dropout 0.1, ReLU; Xavier uniform "
        "or normal; Adam 3.2e-3, 1e-3, 3.2e-4 or 1e-4, batch 1024 unshuffled; seed 42. Ours: the main metric is the "
        f"task's here. {_OURS}",
        seeds=(42,),
        validates=True,
    ),
    Protocol(
        "literature/xares",
        1,
        "frozen",
        "best validation accuracy (mAP if multilabel) of 10 epochs",
        "layer normalisation, linear layer; Adam 1e-3 to 1e-4 by a cosine, batch 32; seed 42. Ours: the cosine goes by "
        f"steps; the test fold never validates. {_OURS}",
        seeds=(42,),
        validates=True,
    ),
    Protocol(
        "literature/dinov2",
        1,
        "frozen",
        "best validation accuracy of 13 learning rates after the last step",
        "embedding as it is; linear layers from N(0, 0.01²) for 13 learning rates 1e-5..0.1 (x 128/256), trained in "
        "one pass; SGD, momentum 0.9, cosine to 0, 12,500 steps of 128 rows; seed 0. Ours: the published choice of "
        f"blocks and average pooling is the run's layer and pooling; no augmentation. {_OURS}",
        seeds=(0,),
        validates=True,
    ),
)


def probe(
    protocol: Protocol, card: TaskCard, seed: int, progress: Callable[[float], None] | None = None
) -> LiteratureProbe:
    """The unfitted probe of one of ``PROTOCOLS``.

    Parameters
    ----------
    protocol : Protocol
        One of ``PROTOCOLS``.
    card : TaskCard
        The task; its ``probe_settings`` may hold settings of the protocol.
    seed : int
        Seed of the training.
    progress : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    LiteratureProbe
        ``fit(X, y, groups, validation)``, otherwise as every other probe.
    """
    from bench.scores.metrics import Roles

    settings = {
        "kind": card.kind,
        "n_classes": len(card.classes),
        "metric": card.main_metric,
        "roles": Roles.of(card),
        "seed": seed,
        "progress": progress,
    }
    return _PROBES[protocol.name](**settings, **card.probe_settings.get(protocol.name, {}))


# Each probe is imported as it is built: listing protocols has no need of torch, scikit-learn or pandas.


def _opera(**settings: Any) -> LiteratureProbe:
    from bench.probe.literature.opera import OperaProbe

    return OperaProbe(**settings)


def _evar(**settings: Any) -> LiteratureProbe:
    from bench.probe.literature.evar import EvarProbe

    return EvarProbe(**settings)


def _hear(**settings: Any) -> LiteratureProbe:
    from bench.probe.literature.hear import HearProbe

    return HearProbe(**settings)


def _xares(**settings: Any) -> LiteratureProbe:
    from bench.probe.literature.xares import XaresProbe

    return XaresProbe(**settings)


def _dinov2(**settings: Any) -> LiteratureProbe:
    from bench.probe.literature.dinov2 import DinoV2Probe

    return DinoV2Probe(**settings)


_PROBES: dict[str, Callable[..., LiteratureProbe]] = {
    "literature/opera": _opera,
    "literature/evar": partial(_evar, rate=3e-4),
    "literature/evar-m2d": partial(_evar, rate=3e-5),
    "literature/hear": _hear,
    "literature/xares": _xares,
    "literature/dinov2": _dinov2,
}
