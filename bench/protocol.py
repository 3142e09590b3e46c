"""Named evaluation protocols as data, and the probe that each one stands for.

``version`` is raised whenever a protocol's numbers change; name and version are part of every record's key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.errors import BadInput, UnknownId
from bench.probe import literature
from bench.progress import Tick
from bench.types import Protocol, TaskCard

if TYPE_CHECKING:
    from bench.probe._design import Designs

FOLDS = 5
SHOTS = (10, 50, 200)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "linear",
            2,
            "frozen",
            "pooled out-of-fold main metric, StratifiedGroupKFold(5) by group inside train",
            "standardise on train; L2 logistic regression, C in 10^-6..10^5 by half decades x class weight "
            "{none, balanced}; ties to the smaller C; refit on all train; argmax. Multilabel: one such probe per "
            "label, chosen by its AUROC, on folds stratified by the combination of labels. Regression: ridge, alpha in "
            "10^-3..10^6 by half decades, chosen by the absolute error of groups left out one at a time",
        ),
        Protocol(
            "knn",
            1,
            "frozen",
            "none: k and temperature are fixed",
            "standardise on train; the 10 training clips of largest cosine similarity vote with exp(similarity / 0.07)",
        ),
        Protocol(
            "control",
            1,
            "control",
            "none",
            "no features: predictions from the training labels alone",
        ),
        *(
            Protocol(
                f"fewshot-{shots}",
                2,
                "fewshot",
                "as linear, inside the groups drawn, in as many folds (2 to 5) as of them hold the rarest class",
                f"linear on all clips of {shots} training groups (patients, or recordings where nobody is known), "
                "drawn by the seed, stratified by the rarest class that a group holds, every class in two or more",
            )
            for shots in SHOTS
        ),
        *literature.PROTOCOLS,
    )
}


def get(name: str, clip: str = "native") -> Protocol:
    """The protocol of that name under a clip policy of ``bench.clips``. Raises ``UnknownId`` for either."""
    from bench.clips import clip_policy

    if name not in PROTOCOLS:
        raise UnknownId("protocol", name, PROTOCOLS)
    clip_policy(clip)
    return replace(PROTOCOLS[name], clip=clip)


def probe(
    protocol: Protocol, card: TaskCard, seed: int, tick: Tick = lambda n: None, designs: Designs | None = None
) -> Any:
    """An unfitted probe: ``fit(X, y, groups)``, ``predict_scores(X) -> (N, K)`` as the task's kind has them (see
    ``bench.kinds``), ``best_params_``, ``path_``.

    ``tick`` is called with 1 after each of its ``FOLDS`` folds, or parts of the work; ``designs`` shares factorisations
    between probes on the same rows. Raises ``UnknownId`` for a protocol without a probe, ``BadInput`` for one that has
    none for the task's kind.
    """
    if protocol.name.startswith("literature/"):
        return literature.probe(protocol, card, seed, _parts(tick))
    if protocol.name == "linear" and card.kind == "multilabel":
        from bench.probe.multilabel import MultilabelPathCV

        return MultilabelPathCV(
            card.classes, folds=FOLDS, seed=seed, designs=designs, progress=lambda done, folds: tick(1)
        )
    if protocol.name == "linear" and card.kind == "regression":
        from bench.probe.ridge import RidgePathCV

        return RidgePathCV(designs=designs, progress=lambda done, folds: tick(FOLDS))
    if protocol.name == "linear":
        from bench.metrics import Roles
        from bench.probe.linear import LogisticPathCV

        return LogisticPathCV(
            folds=FOLDS,
            seed=seed,
            metric=card.main_metric,
            roles=Roles.of(card),
            classes=range(len(card.classes)),
            designs=designs,
            progress=lambda done, folds: tick(1),
        )
    if protocol.name == "knn" and card.kind != "multiclass":
        raise BadInput(card.id, f"is a {card.kind} task, and knn votes for one class", "take the protocol linear")
    if protocol.name == "knn":
        from bench.probe.knn import KnnProbe

        return KnnProbe(n_classes=len(card.classes))
    if protocol.name.startswith("fewshot-"):
        from bench.probe.fewshot import FewShotProbe

        shots = int(protocol.name.partition("-")[2])
        return FewShotProbe(probe(get("linear"), card, seed, tick, designs), shots, card.kind, len(card.classes), seed)
    raise UnknownId("probe protocol", protocol.name, [name for name in PROTOCOLS if name != "control"])


def _parts(tick: Tick) -> Callable[[float], None]:
    """A function of the share of the work that is done, which ticks once for each of ``FOLDS`` parts."""
    told = 0

    def progress(share: float) -> None:
        nonlocal told
        while told < int(FOLDS * share + 1e-9):
            told += 1
            tick(1)

    return progress
