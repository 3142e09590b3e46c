"""AST: the released checkpoint format against the original's front end, tokens and embeddings, and its position table
fitted to other lengths."""

import torch

from model_zoo.ast import fit_positions
from parity import Case, pooled
from parity.golden import drawn

POSITIONS = {98: 9, 498: 49, 798: 79, 998: 99, 1024: 101, 1198: 119}  # frames: columns of patches


def outputs(encoder, tokens, wave, length):
    """cls and dist come first in the original's tokens; only cls is kept apart here."""
    last = tokens.layers[-1]
    patches = last.hidden.transpose(1, 2).flatten(1, 2)[0]  # frequency-major
    dist = 2 * tokens.clip - last.cls
    return {
        "fbank": ("kaldi fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", torch.cat([last.cls, dist, patches])),
        "clsdist": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def positions(encoder, golden):
    """The full-size network's table: a position's value depends on no other channel."""
    bands, columns = encoder.shape
    table = torch.from_numpy(drawn("v.pos_embed", (1, 2 + bands * columns, 768), "posemb"))
    return {
        f"tdim{frames}/pos_embed_first32": ("tokens", fit_positions(table, encoder.shape, columns)[0, :, :32])
        for frames, columns in POSITIONS.items()
    }


CASES = (
    Case(
        "ast",
        "ast.base",
        outputs,
        skip={"/logits": "heads are not part of the encoder"},
        extra=positions,
        paper_params="87 M",
    ),
)
