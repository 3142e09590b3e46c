"""AudioMAE: the released checkpoint format against the input and embedding of the OPERA benchmark; the original's own
input differs from it by the normalisation and by what happens beyond 10 s."""

import torch

from model_zoo.audiomae import FRAMES, GRID, MEAN, STD
from parity import Case, pooled


def opera(encoder, tokens, wave, length):
    """The fixture keeps the fbank without its padding, and the tokens of the last piece, cls first."""
    spectra = encoder.spectra(*encoder.pieces(wave, length))[0]  # (P, 1024, bands)
    counts = spectra.any(dim=2).sum(dim=1)  # frames of each piece
    cls = encoder.net.norm(encoder.net(encoder.net.patch_embed(spectra[-1:, None]))[-1])[0, :1]
    return {
        "fbank": ("kaldi fbank", torch.cat([piece[:n] for piece, n in zip(spectra, counts, strict=True)])),
        "chunk_frames": ("embedding", counts),
        "tokens": ("tokens", torch.cat([cls, tokens.layers[-1].hidden[0, -GRID[0] :].flatten(0, 1)])),
        "opera": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def upstream(encoder, tokens, wave, length):
    """The fbank before its normalisation."""
    frames = encoder.fbank(wave, length)[0] * (2 * STD) + MEAN
    assert len(frames) == FRAMES
    return {"fbank": ("kaldi fbank", frames[: encoder.frontend.frames(int(length))])}


UNDER_OPERA = "computed under OPERA's input"
CASES = (
    Case(
        "audiomae",
        "audiomae.base",
        upstream,
        skip=dict.fromkeys(("/tokens", "/mean", "/freq", "/opera", "/chunk_frames", "s12/fbank"), UNDER_OPERA),
        paper_params="86 M",
        signals=("s04", "s5"),
    ),
    Case("audiomae", "audiomae.base@opera", opera),
)
