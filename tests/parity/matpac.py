"""MATPAC: the released format against the original's front end, tokens and embeddings of every block."""

import torch

from bench.encoders.pooling import pool
from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    """The fixture's tokens are (T', F' * D), as M2D's."""
    layers = [pool(tokens, layer, "freq")[0] for layer in range(encoder.card.layers)]
    return {
        "fbank": ("M2D fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0].flatten(1)),
        "matpac": ("embedding", tokens.clip[0]),
        "layers": ("embedding", torch.stack(layers)),
        **pooled(encoder, tokens, "mean", "freq"),
    }


CASES = (Case("matpac", "matpac.plus", outputs, skip={"/fast": "the mode fast is not offered"}),)
