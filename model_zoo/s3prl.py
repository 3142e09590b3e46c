"""Any upstream of s3prl: ``s3prl.<entry>``, an entry of ``s3prl.hub`` with a checkpoint from this machine.

Toolkit: Yang et al., SUPERB: Speech processing universal performance benchmark, Interspeech 2021 (arXiv 2105.01051),
https://github.com/s3prl/s3prl, Apache-2.0; each upstream's paper and licence are its own. Checkpoints: the files that
the entry would download (``upstream/<family>/hubconf.py``, seen at ec8064b), in s3prl's own converted formats; nothing
is downloaded. ``fbank``, ``mfcc`` and their like need none. Entries that want several files, fairseq, espnet or sox
cannot be built. The Hub's page of the converted files states no licence, so cards give that of the original: fairseq's
README extends its MIT to its models; ``byol_s`` is of https://github.com/GasserElbanna/serab-byols (115fd81, MIT), and
was trained on those clips of AudioSet that have to do with speech, by its README.

Front end and network are s3prl's, called with lists of clips; layers are its ``hidden_states``, which for the speech
transformers start with the input of the first block (13 layers for a base model). There is no published embedding.
Choices: clips of equal length share a batch only where s3prl treats them apart (the speech transformers); every other
upstream gets one clip at a time, in float32, because its front end may look at the whole batch (BYOL-S normalises by
the batch's own statistics). The convolutions of the speech transformers take part in fine-tuning, which s3prl switches
off. ``byol_s`` is ``byol_s_default``. An untrained form exists of the entries with a card here alone.

s3prl 0.4.18 imports ``torchaudio.set_audio_backend``, which is gone: a stand-in is there while it is imported. Its
loaders unpickle, and evaluate strings of the checkpoint's configuration: here every checkpoint is read
beforehand by ``bench.encoders.weights.read``, which runs nothing of it, and one that holds a string with a call in it,
or a class or an array among its settings, is refused.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput, CheckpointError, NotInstalled
from bench.types import EncoderCard, Weights
from model_zoo._adapters.cards import dims

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIX = "s3prl."
OPEN = "s3prl.<entry>: any upstream of s3prl.hub, with a local checkpoint"
RATE = 16000
SHORTEST_S = 0.1  # of upstreams whose shortest clip is not known
ALIASES = {"byol_s": "byol_s_default"}
CENTRED = ("baseline", "fbank", "linear", "mel", "mfcc", "spectrogram")  # each coefficient has mean 0 over the clip
WEIGHTLESS = "baseline"  # the family of s3prl whose entries need no checkpoint
BATCHED = ("data2vec", "hubert", "wav2vec2", "wavlm")  # families whose rows do not depend on each other
VARIANTS = re.compile(r"_(local|url|custom|gdriveid)$")  # the same upstream, the checkpoint named otherwise
CONVERTED = "https://huggingface.co/s3prl/converted_ckpts/resolve/main"


EQUAL = "clips of equal length are batched, because how an upstream treats padding is its own affair"


def _card(name: str, year: int, citation: str, licence: str, notes: str = "", **rest: object) -> EncoderCard:
    return EncoderCard(
        id=PREFIX + name,
        version=1,
        sample_rate=RATE,
        year=year,
        citation=citation,
        licence=licence,
        parity="self-consistent",
        notes=f"{notes}; {EQUAL}" if notes else EQUAL,
        **{"min_s": 0.025, "layers": 13, "dims": dims(768), "grid": (0.02, 1)} | rest,
    )


CARDS = (
    _card(
        "fbank",
        2021,
        "Yang et al., SUPERB, Interspeech 2021",
        "Apache-2.0",
        frontend="kaldi log-mel, 80 bands, deltas, per-clip mean and variance, 25 ms frames every 10 ms, 16 kHz",
        min_s=0.035,
        layers=1,
        dims={"max": 240},
        default_pooling="max",
        grid=(0.01, 1),
        notes="no learning",
    ),
    _card(
        "mfcc",
        2021,
        "Yang et al., SUPERB, Interspeech 2021",
        "Apache-2.0",
        frontend="kaldi MFCC, 13 coefficients, deltas, per-clip mean and variance, 25 ms frames every 10 ms, 16 kHz",
        min_s=0.035,
        layers=1,
        dims={"max": 39},
        default_pooling="max",
        grid=(0.01, 1),
        notes="no learning",
    ),
    _card(
        "hubert",
        2021,
        "Hsu et al., HuBERT, IEEE/ACM TASLP 2021",
        "MIT",
        frontend="waveform, 16 kHz",
        params=94_697_600,
        weights=(Weights("hubert_base_ls960.pt", (f"{CONVERTED}/hubert_base_ls960.pt",), licence="MIT (fairseq)"),),
        trained_on=("librispeech",),
    ),
    _card(
        "wav2vec2",
        2020,
        "Baevski et al., wav2vec 2.0, NeurIPS 2020",
        "MIT",
        frontend="waveform, 16 kHz",
        params=95_044_608,
        weights=(Weights("wav2vec_small.pt", (f"{CONVERTED}/wav2vec_small.pt",), licence="MIT (fairseq)"),),
        trained_on=("librispeech",),
    ),
    _card(
        "wavlm",
        2022,
        "Chen et al., WavLM, IEEE JSTSP 2022",
        "CC-BY-SA-3.0",
        frontend="waveform, 16 kHz",
        params=94_381_936,
        weights=(
            Weights(
                "wavlm_base_plus.pt",
                (f"{CONVERTED}/wavlm_base_plus.pt",),
                licence="not stated with the weights; their page points to CC-BY-SA-3.0 (microsoft/UniSpeech)",
            ),
        ),
        trained_on=("libri-light", "gigaspeech", "voxpopuli"),
        notes="the model wavlm_base_plus, which this entry of s3prl stands for",
    ),
    _card(
        "byol_s",
        2022,
        "Elbanna et al., BYOL-S: Learning self-supervised speech representations by bootstrapping, HEAR 2021",
        "MIT",
        frontend="HTK log-mel, 64 bands, windows of 1 s every 50 ms, normalised per clip, 16 kHz",
        max_s=60.0,
        layers=1,
        dims=dims(2048),
        grid=(0.05, 1),
        params=5_321_856,
        weights=(
            Weights(
                "default2048_BYOLAs64x96-2105311814-e100-bs256-lr0003-rs42.pth",
                (
                    "https://github.com/GasserElbanna/serab-byols/raw/main/checkpoints/"
                    "default2048_BYOLAs64x96-2105311814-e100-bs256-lr0003-rs42.pth",
                ),
                licence="MIT (serab-byols); its network is BYOL-A's, whose code carries NTT's evaluation licence",
            ),
        ),
        trained_on=("audioset",),
        notes="the entry byol_s_default; clips are cropped at 60 s, because all windows of a clip are computed at once",
    ),
)


@cache
def entries() -> dict[str, str]:
    """{entry: folder of its family in s3prl}, read from the sources without importing them; empty without s3prl."""
    spec = importlib.util.find_spec("s3prl")
    if spec is None or spec.origin is None:
        return {}
    families: dict[str, str] = {}
    for path in sorted((Path(spec.origin).parent / "upstream").glob("*/hubconf.py")):
        names = re.findall(r"^def ([a-z]\w*)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        families |= {name: path.parent.name for name in names if not VARIANTS.search(name)}
    return families


def card(id: str) -> EncoderCard:
    """The card of any entry; sizes of an entry that is not in ``CARDS`` are known once it is built.

    Raises ``KeyError`` for what is no entry.
    """
    from model_zoo._adapters.foreign import UNKNOWN

    name = id.removeprefix(PREFIX)
    family = entries()[name]
    own = Weights(f"{name}.pt", licence="see the upstream's authors", restricted=False)
    offered = {"dims": {"max": 0}, "default_pooling": "max"} if name in CENTRED else {"dims": UNKNOWN}
    return _card(
        name,
        0,
        "Yang et al., SUPERB, Interspeech 2021, and the upstream's authors",
        "see the upstream's authors",
        frontend=f"that of s3prl's {family}",
        min_s=SHORTEST_S,
        layers=0,
        grid=(0.0, 1),
        weights=() if family == WEIGHTLESS else (own,),
        **offered,
    )


def has_untrained(card: EncoderCard) -> bool:
    """Whether the entry's untrained checkpoint can be made: those with a card of their own."""
    return any(known.id == card.id for known in CARDS)


def build(card: EncoderCard, weights: Path | None = None) -> nn.Module:
    """The upstream with the checkpoint, or untrained where an untrained checkpoint can be made.

    Raises ``CheckpointError`` for a checkpoint that s3prl cannot read or that would run code, ``NotInstalled`` where
    s3prl or what the entry needs is not there, ``BadInput`` where s3prl cannot build the entry here.
    """
    import warnings

    import torch

    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter, full_precision
    from model_zoo._adapters.foreign import FAULTS, measure_card
    from model_zoo._adapters.s3prl_upstreams import legacy_torchaudio, offline, read_checkpoint, untrained_checkpoint

    name = card.id.removeprefix(PREFIX)
    entry = ALIASES.get(name, name)
    if entry not in entries():
        raise NotInstalled(card.id, "s3prl is not installed, or lacks this entry", "install s3prl 0.4.18")
    family = entries()[entry]
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # torch's, about WavLM's two masks

    class Upstream(Adapter):
        threads_may_share = False  # s3prl keeps the layers' outputs of a call in the upstream

        def __init__(self, upstream: nn.Module):
            super().__init__(card)
            self.upstream = upstream
            self.hop_s = upstream.get_downsample_rates("hidden_states") / RATE
            for part in self.modules():
                if hasattr(part, "feature_grad_mult"):  # 0 stops the gradient before the convolutions
                    part.feature_grad_mult = 1.0

        def encode(self, wave: Tensor, length: Tensor) -> Tokens:
            if family in BATCHED:
                states = self.states(list(wave))
            else:
                states = [torch.cat(rows) for rows in zip(*map(self.alone, wave), strict=True)]
            count = torch.full_like(length, states[-1].shape[1])
            return Tokens(tuple(Grid(x[:, :, None], count, self.hop_s, f"hidden{i}") for i, x in enumerate(states)))

        def states(self, clips: list[Tensor]) -> list[Tensor]:
            """Hidden states (B, T', D) of clips of equal length."""
            return list(self.upstream(clips)["hidden_states"])

        @full_precision
        def alone(self, clip: Tensor) -> list[Tensor]:
            """Hidden states (1, T', D) of one clip."""
            return self.states([clip])

    try:
        with legacy_torchaudio():
            hub = importlib.import_module(f"s3prl.upstream.{family}.hubconf")
            content = read_checkpoint(weights) if weights else untrained_checkpoint(name) if card.weights else None
            with offline(content, weights or card.id):
                encoder = Upstream(getattr(hub, entry)()).eval()
        encoder.card = measure_card(encoder)
    except ImportError as error:
        kind = NotInstalled if isinstance(error, ModuleNotFoundError) else BadInput
        raise kind(card.id, f"s3prl cannot import it ({error})", "this upstream does not run here") from error
    except FAULTS as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        problem = f"s3prl cannot build or run {entry} ({type(error).__name__}: {reason})"
        raise CheckpointError(weights or card.id, problem, "check that file and entry belong together") from error
    return encoder
