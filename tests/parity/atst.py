"""ATST-Frame and ATST-Clip: the released checkpoint formats against the originals' front end, tokens and embeddings."""

import torch

from parity import Case, pooled

FRAMES = "the number of frames follows from the length"


def outputs(encoder, tokens, wave, length):
    """The fbank is scaled to [-1, 1]: the gate of normalised units holds, stricter than that of decibels."""
    return {
        "fbank": ("M2D fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0, :, 0]),
        "evar": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def clip(encoder, tokens, wave, length):
    """The original's arrays have a class token a chunk, of which an embedding is the mean."""
    return {
        "fbank": ("M2D fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0, :, 0]),
        "cls": ("embedding", class_tokens(encoder, wave, length)),
        "atst": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def class_tokens(encoder, wave, length):
    """One of each chunk (chunks, D)."""
    parts = encoder.fbank(wave, length).split(601, dim=1)
    return torch.cat([encoder.teacher(encoder.teacher.patch_embed(part))[-1][:, 0] for part in parts])


def evar(encoder, tokens, wave, length):
    return {"evar": ("embedding", tokens.clip[0])}


UPSTREAM = {f"/{name}": "policy upstream" for name in ("atst", "fbank", "tokens", "cls", "mean", "freq")}
LONG = ("s04", "s5", "s6", "s8", "s12", "s60")

CASES = (
    Case("atst_frame", "atst.frame", outputs),
    Case("atst_clip", "atst.clip", clip, skip={"/evar": "policy evar", "/frames": FRAMES}, signals=LONG),
    Case("atst_clip", "atst.clip@evar", evar, skip=UPSTREAM | {"/frames": FRAMES}, signals=LONG),
)
