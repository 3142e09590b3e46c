"""OPERA: front end, tokens and published embeddings of the three networks under repeat padding, and zero padding."""

import torch

from model_zoo.opera import CHUNK
from parity import SIGNALS, Case, pooled

COUNTS = {"/ncrops": "a count, not an output", "/n": "a count, not an output", "/nframes": "a count, not an output"}
ZERO = {"/fbank_zero": "policy zero", "/opera_zero": "policy zero"}
REPEAT = {f"/{name}": "policy upstream" for name in ("fbank", "opera", "tokens", "mean", "freq")}


def transformer(encoder, tokens, wave, length):
    """The original's tokens are those of the square image: time quarters by bands, times within a quarter."""
    hidden = tokens.layers[-1].hidden[:, :32].unflatten(1, (4, -1)).transpose(2, 3)
    return {"tokens": ("tokens", hidden.flatten(1, 3)[0]), **contrastive(encoder, tokens, wave, length)}


def cnn(encoder, tokens, wave, length):
    hidden = tokens.layers[-1].hidden  # (B, T', F', D)
    grid, flat = torch.tensor(hidden.shape[1:3]), hidden.flatten(1, 2)[0]
    return {"tokens": ("tokens", flat), "grid": ("tokens", grid), **contrastive(encoder, tokens, wave, length)}


def contrastive(encoder, tokens, wave, length):
    return {
        "fbank": ("librosa mel", encoder.fbank(wave, length)[0]),
        "opera": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def zero_padded(gate):
    """Front end and embedding; longer clips are not padded and have no array of this name."""

    def outputs(encoder, tokens, wave, length):
        fbank = encoder.fbank(wave, length)[0]
        return {"fbank_zero": ("librosa mel", fbank), "opera_zero": (gate, tokens.clip[0])}

    return outputs


def generative(encoder, tokens, wave, length):
    """The original's tokens are those of the last chunk, class token first: here that chunk, taken by itself."""
    chunks = encoder.fbank(wave, length)[0].unflatten(0, (-1, 256))
    last = tokens.layers[-1]
    if len(chunks) > 1:
        n = int(length[0])
        rest = wave[:, (len(chunks) - 1) * CHUNK // 2 : n]
        whole = torch.cat([wave[:, n - CHUNK + rest.shape[1] : n], rest], dim=1)
        last = encoder(whole, torch.tensor([CHUNK])).layers[-1]
    return {
        "fbank": ("librosa mel", chunks),
        "tokens": ("tokens", torch.cat([last.cls, last.hidden.flatten(1, 2)[0]])),
        "opera": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


CASES = (
    Case("opera_ct", "opera.ct", transformer, skip=COUNTS | ZERO, signals=(*SIGNALS, "s60"), paper_params="31 M"),
    Case("opera_ct", "opera.ct@zero", zero_padded("embedding"), skip=COUNTS | REPEAT),
    Case("opera_ce", "opera.ce", cnn, skip=ZERO, paper_params="4 M"),
    Case("opera_ce", "opera.ce@zero", zero_padded("zero-padded OPERA-CE"), skip=REPEAT | {"/grid": "policy upstream"}),
    Case("opera_gt", "opera.gt", generative, paper_params="21 M"),
)
