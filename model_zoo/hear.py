"""Any module of the HEAR API by its importable name: ``hear.<module>``, such as ``hear.hear21passt.base``.

API: Turian et al., HEAR: Holistic evaluation of audio representations, PMLR 176, 2022 (arXiv 2203.03022),
https://hearbenchmark.com/hear-api.html: ``load_model``, ``get_timestamp_embeddings``, ``get_scene_embeddings``, and a
model with ``sample_rate``, ``timestamp_embedding_size``, ``scene_embedding_size``. Checkpoint, licence and training
data are the module's own. Naming a module runs its code; PyTorch modules alone are taken.

Tokens are the timestamp embeddings (one layer, no frequency axis), ``published`` is the scene embedding. Front ends are
inside the module, which therefore computes in float32 whatever the precision asked for. Batches hold clips of equal
length; whether the module keeps their rows apart is its own affair (``respbench check``). Sizes are known once the
model is loaded. A module that raises, when it is imported too, or whose times are not rising milliseconds within the
clip (seconds, say), is refused by name. The API knows no shortest clip: 1 s, or the model's own ``min_s``.
``load_model`` gets the path of a weight file ``<module>.<suffix>`` from the weight folders, else no path. There is no
untrained form.

One id is no module: ``hear.google`` is Google's HeAR, which only shares the name (``_networks/google_hear.py``). A
module ``google`` of the HEAR API would go by the same id: where there is one, the id is refused as ambiguous, and the
module is used under another name; the packages that other libraries keep in a namespace ``google`` have none of the
API's functions and stand in nobody's way, and ``hear.google.<module>`` is a module as ever.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput, RespBenchError
from bench.base.paths import file_digest, weight_folders
from bench.base.registry import original_id
from bench.encoders.weights.code import CodeNotTrusted
from bench.types import EncoderCard, Weights
from model_zoo._adapters.foreign import UNKNOWN
from model_zoo._networks import google_hear

if TYPE_CHECKING:
    from types import ModuleType

    from torch import Tensor, nn

CARDS = (google_hear.CARD,)
PREFIX = "hear."
OPEN = "hear.<module>: any importable module of the HEAR API"
RATES = (16000, 22050, 32000, 44100, 48000)  # of the API
SHORTEST_S = 1.0
FUNCTIONS = ("load_model", "get_timestamp_embeddings", "get_scene_embeddings")
SIZES = ("sample_rate", "timestamp_embedding_size", "scene_embedding_size")
ANYTHING = (Exception, SystemExit)  # what a stranger's code may raise; a script that is no module may exit


def module_file(name: str) -> Path | None:
    """The file of a module, which is not run (its parent packages are); None where it has no file.

    Raises ``BadInput`` for what cannot be imported.
    """
    try:
        spec = importlib.util.find_spec(name)
    except ANYTHING as error:
        raise BadInput(
            PREFIX + name, f"cannot be imported ({_told(error)})", "install it with what it needs"
        ) from error
    if spec is None:
        raise BadInput(PREFIX + name, f"there is no module {name!r}", "install it, or put its folder on PYTHONPATH")
    return Path(spec.origin) if spec.has_location and spec.origin else None


def card(id: str) -> EncoderCard:
    """The card of an importable module, without its sizes.

    Raises ``KeyError`` for no id of this family, ``BadInput`` for a module that is not there.
    """
    name = id.removeprefix(PREFIX)
    if not id.startswith(PREFIX) or not name:
        raise KeyError(id)
    module_file(name)
    files = sorted(path.name for root in weight_folders() for path in root.glob(f"{name}.*") if path.stem == name)
    return EncoderCard(
        id=id,
        version=1,
        sample_rate=0,
        min_s=SHORTEST_S,
        dims={"published": 0} | UNKNOWN,
        frontend="the module's own",
        citation="Turian et al., HEAR, PMLR 176, 2022, and the module's authors",
        licence="that of the module",
        weights=tuple(Weights(file, licence="that of the module", restricted=False) for file in files[:1]),
        parity="self-consistent",
        default_pooling="published",
        notes="clips of equal length are batched, because the API has no word for padding",
    )


TAKES_WEIGHTS = True  # a path for the module's load_model, also where no file of its name is at hand


def has_untrained(card: EncoderCard) -> bool:
    """Whether it is Google's HeAR: a module gives its own weights."""
    return _is_google(card)


def _is_google(card: EncoderCard) -> bool:
    return original_id(card.id).partition("@")[0] == google_hear.CARD.id


def _require_no_module(id: str) -> None:
    """Raises ``BadInput`` where a module of the HEAR API goes by the id of Google's HeAR."""
    name = google_hear.CARD.id.removeprefix(PREFIX)
    try:
        file = module_file(name)
        source = file.read_text(encoding="utf-8", errors="replace") if file and file.is_file() else ""
    except BadInput:
        return  # there is none
    if all(function in source for function in FUNCTIONS):
        problem = f"is Google's HeAR here, but {file} is a module of the HEAR API and would go by the same id"
        raise BadInput(id, problem, f"rename the module and use it as {PREFIX}<its name>, or take it off the path")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The module's model, loaded with ``weights`` or without a path; Google's HeAR by its id.

    Raises ``BadInput`` for a module that breaks the API.
    """
    if _is_google(card):
        _require_no_module(card.id)
        return google_hear.build(card, weights)
    import dataclasses

    import torch

    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.foreign import measure_card

    name = card.id.removeprefix(PREFIX)
    if weights is None and card.weights:
        raise BadInput(card.id, "a HEAR module has no untrained form", "leave it out")

    class Hear(Adapter):
        threads_may_share = False  # nothing is known of the module

        def __init__(self, api: ModuleType, model: nn.Module):
            super().__init__(dataclasses.replace(card, sample_rate=model.sample_rate, min_s=shortest_s))
            self.api, self.model = api, model

        @full_precision
        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            tokens, times_ms = self.call("get_timestamp_embeddings", wave, parts=2)
            (clip,) = self.call("get_scene_embeddings", wave, parts=1)
            self.check(tokens, times_ms, clip, len(wave))
            self.check_times(times_ms, 1000 * wave.shape[1] / self.card.sample_rate)
            steps = times_ms.shape[1] - 1
            hop_s = float(times_ms[0, -1] - times_ms[0, 0]) / steps / 1000 if steps else 0.0
            count = torch.full_like(length, steps + 1)
            return Tokens((Grid(tokens[:, :, None], count, hop_s, "timestamps"),), clip)

        def call(self, function: str, wave: Tensor, parts: int) -> tuple[Tensor, ...]:
            """The ``parts`` tensors that a function of the module gives.

            Raises ``BadInput`` for one that raises, and for anything else that is given.
            """
            try:
                given = getattr(self.api, function)(wave, self.model)
            except ANYTHING as error:
                seconds = wave.shape[1] / self.card.sample_rate
                problem = f"{function} raised {type(error).__name__} on clips of {seconds:.3g} s: {error}"
                raise BadInput(
                    card.id, problem, "mend the module, or give its model the min_s that it needs"
                ) from error
            tensors = (given,) if parts == 1 else given
            kinds = (
                [type(x).__name__ for x in tensors] if isinstance(tensors, (tuple, list)) else [type(given).__name__]
            )
            if len(kinds) != parts or not all(isinstance(x, torch.Tensor) for x in tensors):
                problem = f"{function} gives {', '.join(kinds)}, not {parts} torch tensor{'s' * (parts > 1)}"
                raise BadInput(card.id, problem, "mend the module: see the HEAR API")
            return tuple(tensors)

        def check_times(self, times_ms: Tensor, duration_ms: float) -> None:
            """Raises ``BadInput`` for times that are not those of tokens one after another in the clip, in ms.

            The last token may begin in the clip and have its centre in the padding behind it.
            """
            times = times_ms[0].double().cpu()
            steps, last = times.diff(), float(times[-1])
            reach = duration_ms + float(steps[-1]) if len(steps) else math.inf  # how long a lone token is is not told
            if not bool(times_ms.isfinite().all()):
                problem = "gives times that are not finite"
            elif not torch.equal(times_ms, times_ms[:1].expand_as(times_ms)):
                problem = "gives clips of one length different times"
            elif bool((steps <= 0).any()):
                at = int((steps <= 0).nonzero()[0])
                problem = f"gives times that do not rise: {float(times[at + 1]):g} behind {float(times[at]):g}"
            elif 0 < last <= duration_ms / 1000:
                problem = f"gives times up to {last:g} in a clip of {duration_ms:g} ms, which look like seconds"
            elif float(times[0]) < 0 or last > reach:
                problem = f"gives times from {float(times[0]):g} to {last:g} ms in a clip of {duration_ms:g} ms"
            else:
                return
            raise BadInput(card.id, problem, "mend the module: the HEAR API wants the tokens' centres in milliseconds")

        def check(self, tokens: Tensor, times_ms: Tensor, clip: Tensor, clips: int) -> None:
            """Raises ``BadInput`` for shapes that the API does not allow, and for embeddings of whole numbers."""
            steps = times_ms.shape[-1] if times_ms.ndim else 0
            expected = (clips, steps, self.model.timestamp_embedding_size), (clips, self.model.scene_embedding_size)
            shapes = tuple(tokens.shape), tuple(clip.shape)
            if shapes != expected or tuple(times_ms.shape) != (clips, steps) or not steps:
                problem = f"gives tokens and scene of shape {shapes} at times {tuple(times_ms.shape)}, not {expected}"
                raise BadInput(card.id, problem, "mend the module: see the HEAR API")
            if not (tokens.is_floating_point() and clip.is_floating_point()):
                problem = f"gives embeddings of {tokens.dtype} and {clip.dtype}"
                raise BadInput(card.id, problem, "mend the module: the HEAR API wants float32")

    try:
        api = importlib.import_module(name)
        if lacking := [function for function in FUNCTIONS if not hasattr(api, function)]:
            raise BadInput(card.id, f"has no {', '.join(lacking)}", "name a module of the HEAR API")
        model = api.load_model(str(weights)) if weights else api.load_model()
    except CodeNotTrusted as error:
        problem = f"is {error.where}, which needs code of its own, and a module cannot be told here that it may run"
        raise BadInput(card.id, problem, f"name the encoder itself, {error.where}") from error
    except BadInput:
        raise
    except ANYTHING as error:
        problem = f"cannot be loaded ({_told(error)})"
        raise BadInput(card.id, problem, "see what the module needs; weights can be named") from error
    if not isinstance(model, torch.nn.Module):
        raise BadInput(card.id, f"load_model gives a {type(model).__name__}", "only PyTorch modules are taken")
    if lacking := [size for size in SIZES if not isinstance(getattr(model, size, None), int)]:
        raise BadInput(card.id, f"the model has no whole number {', '.join(lacking)}", "mend the module")
    if model.sample_rate not in RATES:
        raise BadInput(card.id, f"the rate {model.sample_rate} is not one of {RATES}", "mend the module")
    shortest_s = getattr(model, "min_s", SHORTEST_S)
    if isinstance(shortest_s, bool) or not isinstance(shortest_s, (int, float)) or not 0 <= shortest_s < math.inf:
        raise BadInput(card.id, f"the model's min_s is {shortest_s!r}", "give it the seconds of its shortest clip")
    try:
        encoder = Hear(api, model).eval()
        encoder.card = measure_card(encoder)
    except RespBenchError:
        raise
    except ANYTHING as error:  # its own modes and gradients
        raise BadInput(card.id, f"cannot be used ({_told(error)})", "mend the module: see the HEAR API") from error
    if (file := module_file(name)) and file.is_file():
        encoder.weights_digest = file_digest(file)  # of the code, where there is no file
    return encoder
