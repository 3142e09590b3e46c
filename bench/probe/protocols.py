"""Named evaluation protocols as data, and the probe that each one stands for.

``version`` is raised whenever a protocol's numbers change; name and version are part of every record's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.base.errors import BadInput, RespBenchError, UnknownId
from bench.base.progress import Tick
from bench.probe.literature import protocols as literature
from bench.types import Protocol, TaskCard

if TYPE_CHECKING:
    from bench.probe.linear.design import Designs

FOLDS = 5
SHOTS = (10, 50, 200)

FINETUNE, PEEK, BEST_TEST = "finetune", "finetune/best-test-epoch", "literature/best-test-epoch"
PEEKING = (PEEK, BEST_TEST)  # whose epoch the test chose: no results
DRAWN = (0, 1, 2, 3, 4)  # seeds of protocols in whose fit chance takes part
SELECTION = "pooled out-of-fold main metric, 5 folds by group inside train, stratified by class or set of labels"
ADAMW = (
    "class weight {none, balanced} (regression: none); AdamW, weight decay 0.01 on matrices, batches of a sixteenth of "
    "the rows (16 to 256); the best epoch and candidate trained anew on all train"
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "linear",
            4,
            "frozen",
            "shares by pooled out-of-fold main metric, StratifiedGroupKFold(5) by group inside train",
            "standardise on train, without features whose deviation is at most 0.001 of their largest magnitude; "
            "L2 logistic regression, C in 10^-6..10^5 by half decades x class weight "
            "{none, balanced}; the mean of the candidates less than 0.05 behind the best, refitted on all train, under "
            "shares that fall linearly to there and by a factor e for each decade of C; argmax. Multilabel: one such "
            "probe per label, compared by its AUROC, on folds stratified by the combination of labels. Regression: "
            "ridge, alpha in 10^-3..10^6 by half decades, compared by the absolute error of groups left out one at a "
            "time, relative to the least",
        ),
        Protocol(
            "knn",
            3,
            "frozen",
            SELECTION,
            "standardise on train; the k training clips of largest cosine similarity vote with exp(similarity / "
            "temperature); k in {1, 5, 10, 20, 50, 100} x temperature in {0.03, 0.07, 0.2}; ties to the larger k, then "
            "to the higher temperature. Multilabel: every label by itself, one choice for all. Regression: the "
            "weighted mean",
        ),
        Protocol(
            "prototype",
            2,
            "frozen",
            SELECTION,
            "standardise on train; cosine to each class's training mean, of which every feature is moved towards 0 by "
            "{0, 1, 2, 4, 8, 16} standard errors sqrt(1/n - 1/N); ties to the most; log probabilities of cosine / 0.1. "
            "Multilabel: presence against absence of every label. No regression",
        ),
        Protocol(
            "mlp",
            2,
            "frozen",
            f"{SELECTION}, after every epoch",
            "standardise on train; one hidden layer of {256, 1024} rectified units, dropout 0.5; rate in {1e-4, 1e-3}; "
            f"epochs 1..20; {ADAMW}; ties to the narrower, then to fewer epochs",
            seeds=DRAWN,
        ),
        Protocol(
            "attentive",
            2,
            "frozen",
            f"{SELECTION}, after every epoch",
            "the clip's tokens in 8 equal steps of time, frequency bands apart, whatever pooling is asked for; "
            "standardised by channel on train, each token normalised; {1, 4} learned queries weight them by softmax, "
            f"their averages are read by a linear layer; rate in {{1e-4, 1e-3, 1e-2}}; epochs 1..20; {ADAMW}; ties to "
            "the fewer queries, then to fewer epochs",
            reads="tokens",
            seeds=DRAWN,
        ),
        Protocol(
            "protobin-style",
            1,
            "frozen",
            f"{SELECTION}, after every epoch",
            "the clip's tokens in 8 equal steps of time, frequency bands apart, whatever pooling is asked for; "
            "standardised by channel on train; {64, 256} learned prototypes of signs (straight-through), the largest "
            "cosine of each with the clip's tokens is read by a linear layer, dropout 0.2; rate in "
            f"{{1e-3, 1e-2, 1e-1}}; epochs 1..20; {ADAMW}; ties to the fewer prototypes, then to fewer epochs. "
            "The pooling, its first values and dropout are those of protobin (Rauch et al., arXiv 2509.24901) as "
            "released; ours: steps of time, standardisation, the number of prototypes (10,000 there), training, choice",
            reads="tokens",
            seeds=DRAWN,
        ),
        Protocol(
            "cgp-style",
            2,
            "frozen",
            f"{SELECTION}, after every epoch",
            "all layers' tokens in 8 equal steps of time, averaged over frequency bands, whatever layer and pooling "
            "are asked for; standardised by layer and channel on train, each token scaled to length 1; their "
            "softmax-weighted sum over the layers; {64, 256} learned prototypes of length 1, the smallest, mean and "
            "largest product of each with the sums are read by a linear layer, dropout 0.2; rate in "
            f"{{1e-3, 1e-2, 1e-1}}, the weights' too; epochs 1..20; {ADAMW}; ties to the fewer "
            "prototypes, then to fewer epochs. Gate and pooling, their first values and dropout are those of convex "
            "gated probing (Ghaffari et al., arXiv 2602.16305) as released for encoders without a class token; ours: "
            "steps of time without bands, standardisation, the number of prototypes (10,000 there), training, choice",
            reads="layer-steps",
            seeds=DRAWN,
        ),
        Protocol(
            "layer-mix",
            2,
            "frozen",
            f"{SELECTION}, after every epoch",
            "all layers under one pooling, whatever layer is asked for, each standardised on train; their softmax-"
            "weighted sum is read by a linear layer; rate in {1e-4, 1e-3, 1e-2}, 10 times that for the weights; "
            f"epochs 1..20; {ADAMW}; ties to fewer epochs",
            reads="layers",
            seeds=DRAWN,
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
                4,
                "fewshot",
                "as linear, inside the groups drawn, in as many folds (2 to 5) as of them hold the rarest class",
                f"linear on all clips of {shots} training groups (patients, or recordings where nobody is known), "
                "drawn by the seed, stratified by the rarest class that a group holds, every class in two or more",
            )
            for shots in SHOTS
        ),
        Protocol(
            FINETUNE,
            1,
            "finetune",
            "epoch of the best main metric on validation patients, the first of equals",
            "encoder, head and method trained by a recipe (respbench finetune); validation patients are the task's own "
            "or one of five folds of the training rows, drawn by the seed; the test is predicted after every epoch and "
            "scored at the chosen one alone",
            seeds=DRAWN,
        ),
        Protocol(
            PEEK,
            1,
            "finetune",
            "epoch of the best main metric on the test itself",
            "the same run as finetune, at the epoch that does best on the test that the literature reports (official, "
            "where a task has it, else the headline): what looking is worth; never to be compared with a protocol that "
            "does not look",
            seeds=DRAWN,
        ),
        Protocol(
            BEST_TEST,
            2,
            "finetune",
            "epoch of the best main metric on the test itself, among those with a sensitivity above 5 %",
            "a run of its own, as released code of the literature does it: all training rows are trained on, none are "
            "withheld for validation, every epoch is trained, and the one that does best on the test that the "
            "literature reports (official, where a task has it, else the headline) is taken, unless it finds 5 % or "
            "less of the adventitious clips; never to be compared with a protocol that does not look",
            seeds=DRAWN,
        ),
        *literature.PROTOCOLS,
    )
}


def peeked_in_the_same_run(spec: Mapping) -> bool:
    """Whether a record's epoch was chosen on the test in the run whose honest record stands beside it.

    Version 1 of ``literature/best-test-epoch`` did so too, on the headline test.
    """
    return spec["protocol"] == PEEK or (spec["protocol"] == BEST_TEST and spec["protocol_version"] < 2)


def get(name: str, clip: str = "native") -> Protocol:
    """The protocol of that name under a clip policy.

    Parameters
    ----------
    name : str
        One of ``PROTOCOLS``.
    clip : str
        Clip policy of ``bench.data.clips``.

    Returns
    -------
    Protocol
        The protocol.

    Raises
    ------
    UnknownId
        For an unknown protocol or clip policy.
    """
    from bench.data.clips import clip_policy  # which decodes audio, of no use to a list of protocols

    if name not in PROTOCOLS:
        raise UnknownId("protocol", name, PROTOCOLS)
    clip_policy(clip)
    return replace(PROTOCOLS[name], clip=clip)


def probe(
    protocol: Protocol, card: TaskCard, seed: int, tick: Tick = lambda n: None, designs: Designs | None = None
) -> Any:
    """The unfitted probe that a protocol stands for on a task.

    Parameters
    ----------
    protocol : Protocol
        A protocol of frozen features.
    card : TaskCard
        The task.
    seed : int
        Seed of the probe.
    tick : callable
        Called with the number of units just done, ``FOLDS`` of them in all.
    designs : Designs, optional
        Shares factorisations between probes on the same rows.

    Returns
    -------
    estimator
        ``fit(X, y, groups)``, ``predict_scores(X) -> (N, K)`` as the task's kind has them (see
        ``bench.scores.label_kinds``), ``best_params_``, ``path_``.

    Raises
    ------
    UnknownId
        For a protocol without a probe.
    BadInput
        For a protocol that has no probe for the task's kind.
    RespBenchError
        For a protocol that is no probe of frozen features.
    """
    if protocol.kind == "finetune":
        raise RespBenchError(f"protocol {protocol.name} trains the encoder too; use `respbench finetune`")
    if protocol.name not in _BUILDERS:
        raise UnknownId("probe protocol", protocol.name, [name for name in PROTOCOLS if name != "control"])
    return _BUILDERS[protocol.name](_Request(protocol, card, seed, tick, designs))


class _Request(NamedTuple):
    """What a builder makes a probe from: the arguments of ``probe``."""

    protocol: Protocol
    card: TaskCard
    seed: int
    tick: Tick
    designs: Designs | None

    def settings(self) -> dict[str, Any]:
        """Parameters of every probe that compares candidates for a ``Goal`` on folds."""
        from bench.probe.goal import Goal

        return {
            "goal": Goal.of(self.card),
            "folds": FOLDS,
            "seed": self.seed,
            "progress": lambda done, parts: self.tick(_units(done, parts)),
        }


# Each probe is imported as it is built: listing protocols has no need of torch, scikit-learn or pandas.


def _linear(request: _Request) -> Any:
    card, designs = request.card, request.designs
    if card.kind == "regression":
        from bench.probe.linear.ridge import RidgePathCV

        return RidgePathCV(designs=designs, progress=lambda done, folds: request.tick(FOLDS))
    shared = {"folds": FOLDS, "seed": request.seed, "designs": designs}
    shared["progress"] = lambda done, folds: request.tick(1)
    if card.kind == "multilabel":
        from bench.probe.linear.multilabel import MultilabelPathCV

        return MultilabelPathCV(card.classes, **shared)
    from bench.probe.linear.logistic import LogisticPathCV
    from bench.scores.metrics import Roles

    classes = range(len(card.classes))
    return LogisticPathCV(metric=card.main_metric, roles=Roles.of(card), classes=classes, **shared)


def _knn(request: _Request) -> Any:
    from bench.probe.neighbours.knn import KnnProbe

    return KnnProbe(**request.settings())


def _prototype(request: _Request) -> Any:
    from bench.probe.neighbours.prototype import PrototypeProbe

    if request.card.kind == "regression":
        raise BadInput(
            request.card.id, "is a regression, which has no classes to be near to", "take the protocol linear"
        )
    return PrototypeProbe(**request.settings())


def _mlp(request: _Request) -> Any:
    from bench.probe.heads.mlp import MlpProbe

    return MlpProbe(**request.settings())


def _attentive(request: _Request) -> Any:
    from bench.probe.heads.attentive import AttentiveProbe

    return AttentiveProbe(**request.settings())


def _protobin_style(request: _Request) -> Any:
    from bench.probe.heads.protobin import ProtobinStyleProbe

    return ProtobinStyleProbe(**request.settings())


def _cgp_style(request: _Request) -> Any:
    from bench.probe.heads.cgp import CgpStyleProbe

    return CgpStyleProbe(**request.settings())


def _layer_mix(request: _Request) -> Any:
    from bench.probe.heads.layer_mix import LayerMixProbe

    return LayerMixProbe(**request.settings())


def _few_shot(request: _Request, shots: int) -> Any:
    from bench.probe.fewshot import FewShotProbe

    card = request.card
    return FewShotProbe(_linear(request), shots, card.kind, len(card.classes), request.seed)


def _literature(request: _Request) -> Any:
    return literature.probe(request.protocol, request.card, request.seed, _in_units(request.tick))


_BUILDERS: dict[str, Callable[[_Request], Any]] = {
    "linear": _linear,
    "knn": _knn,
    "prototype": _prototype,
    "mlp": _mlp,
    "attentive": _attentive,
    "protobin-style": _protobin_style,
    "cgp-style": _cgp_style,
    "layer-mix": _layer_mix,
    **{f"fewshot-{shots}": partial(_few_shot, shots=shots) for shots in SHOTS},
    **{protocol.name: _literature for protocol in literature.PROTOCOLS},
}


def _units(done: int, parts: int) -> int:
    """How many of ``FOLDS`` units the last of the parts done completes."""
    return FOLDS * done // parts - FOLDS * (done - 1) // parts


def _in_units(tick: Tick) -> Callable[[float], None]:
    """A function of the share of the work that is done, which ticks once for each of ``FOLDS`` parts."""
    ticked = 0

    def progress(share: float) -> None:
        nonlocal ticked
        while ticked < int(FOLDS * share + 1e-9):
            ticked += 1
            tick(1)

    return progress
