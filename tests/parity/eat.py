"""EAT, whose classes SSLAM's equal: the first 1,024 frames, a clip's own length, and eval-audio-repr's mean."""

import torch

from parity import Case, pooled

UPSTREAM = {f"/{name}": "policy upstream" for name in ("fbank", "cls", "mean", "freq")}
TOKENS = {f"/tokens{thin}": "policy upstream" for thin in ("", "_every13")}
OWN = {f"/own_{name}": "policy own" for name in ("frames", "tokens", "tokens_every13", "cls", "mean", "freq")}


def all_tokens(tokens):
    """The last block's tokens, the class token first."""
    last = tokens.layers[-1]
    return torch.cat([last.cls[0, None], last.hidden[0].flatten(0, 1)])


def outputs(encoder, tokens, wave, length):
    found = all_tokens(tokens)
    return {
        "fbank": ("kaldi fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", found),
        "tokens_every13": ("tokens", found[::13]),
        "cls": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def own(encoder, tokens, wave, length):
    found = {name: value for name, value in outputs(encoder, tokens, wave, length).items() if name != "fbank"}
    frames = torch.tensor(encoder.fbank(wave, length).shape[1])
    return {f"own_{name}": value for name, value in found.items()} | {"own_frames": ("count", frames)}


def evar(encoder, tokens, wave, length):
    return {"evar": ("embedding", tokens.clip[0])}


CASES = (
    Case("eat", "eat.base", outputs, skip=OWN | {"/evar": "policy evar"}),
    Case("eat", "eat.base@own", own, skip=UPSTREAM | TOKENS | {"/evar": "policy evar"}),
    Case("eat", "eat.base@evar", evar, skip=UPSTREAM | TOKENS | OWN),
)
