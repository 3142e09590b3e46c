"""AST: the released checkpoint format against the original's front end, tokens and embeddings."""

import torch

from parity import Case, pooled


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


CASES = (Case("ast", "ast.base", outputs, skip={"/logits": "heads are not part of the encoder"}, paper_params="87 M"),)
