"""Dasheng against the authors' package, and CED against its port, on the network that both share."""

import torch

from bench.encoders.batches import collate
from parity import Case, pooled

MASK = "the package's padding mask is not offered"
PORT = "the Hub's model attends to the padding of a last chunk, which is not imitated"
SIGMOID = "policy evar"
PROBABILITIES = "a classifier's outputs"
LOST = "the originals lose the last chunk of 1,012 frames, which is kept here"


def shared(encoder, tokens, wave, length):
    """Front end, tokens in the original's order, and embeddings; of one chunk's tokens band by band."""
    hidden = tokens.layers[-1].hidden[0].split(encoder.family.columns)
    return {
        "fbank": ("dB mel", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", torch.cat([chunk.transpose(0, 1).flatten(0, 1) for chunk in hidden])),
        "clip": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def dasheng(encoder, tokens, wave, length):
    found = shared(encoder, tokens, wave, length)
    return found if wave.shape[1] > 16 * 10080 else found | {"hf_mean": found["clip"]}


def evar(encoder, tokens, wave, length):
    return {} if wave.shape[1] > 16 * 10080 else {"hf_logits": ("embedding", tokens.clip[0])}


def first_chunk(encoder, golden):
    """The original's mean over a clip of two chunks of which it loses the last."""
    tokens = encoder(*collate(encoder, [golden.wave("x2024", 16000)]))
    kept = tokens.layers[-1].hidden[0, : encoder.family.columns]
    return {"x2024/hf_mean": ("embedding", kept.mean(dim=(0, 1)))}


DASHENG = {f"s12/hf_{name}": PORT for name in ("mean", "logits", "tokens")} | {"x2016/hf_mean": PORT}
DASHENG |= {f"batch/{name}": MASK for name in ("fbank_every16", "tokmask", "masked_mean", "mean_unmasked_call")}
MEANS = ("fbank", "tokens", "mean", "freq", "clip", "hf_mean")

CASES = (
    Case(
        "dasheng",
        "dasheng.base",
        dasheng,
        skip=DASHENG | {"/hf_logits": SIGMOID},
        signals=("s04", "s5", "s12", "x2016"),
    ),
    Case("dasheng", "dasheng.base@evar", evar, skip=DASHENG | {f"/{name}": "policy upstream" for name in MEANS}),
    Case(
        "ced",
        "ced.base",
        shared,
        skip={"/hf_logits": PROBABILITIES, "/probs": PROBABILITIES, "batch/fbank_every16": MASK, "batch/mean": MASK},
        extra=first_chunk,
    ),
)
