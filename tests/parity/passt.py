"""PaSST: the authors' front end, network and embedding for HEAR; a clip over 10 s in windows that overlap."""

import torch

from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    """cls and dist come first in the original's tokens; only cls is kept apart here, and both together in the clip."""
    last = tokens.layers[-1]
    found = {
        "hear": ("embedding", tokens.clip[0]),
        "cls": ("embedding", last.cls[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }
    if wave.shape[1] > 10 * encoder.card.sample_rate:
        return found
    patches = last.hidden.transpose(1, 2).flatten(1, 2)[0]  # frequency-major
    features = tokens.clip[:, -last.hidden.shape[3] :]
    every = torch.cat([last.cls, 2 * features - last.cls, patches])
    fbank = encoder.fbank(wave, length)[0]
    return found | {
        "fbank": ("kaldi fbank", fbank),
        "tokens": ("tokens", every),
        "tokens_every13": ("tokens", every[::13]),
    }


CASES = (Case("passt", "passt.s", outputs, paper_params="86 M"),)
