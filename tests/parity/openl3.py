"""OpenL3's port: its front end, its network and the mean of a clip's embeddings, windows 0.1 s and 1 s apart."""

import torch

from parity import Case

ARRAYS = ("fbank", "cells", "clip")
UPSTREAM, HOP1 = {f"s04/{name}": "policy upstream" for name in ARRAYS}, {f"s5/{name}": "policy hop1" for name in ARRAYS}


def outputs(encoder, tokens, wave, length):
    cells = tokens.layers[-1].hidden[0].unflatten(0, (-1, 3)).transpose(1, 2)  # (windows, 4, 3, D)
    first = torch.nn.functional.pad(wave, (24000, 24000))[:, :48000]
    return {
        "fbank": ("dB mel", encoder.window_db(first)[0]),
        "cells": ("tokens", cells.flatten(1, 2)),
        "clip": ("embedding", tokens.clip[0]),
    }


CASES = (
    Case("openl3", "openl3.env", outputs, skip=HOP1, signals=("s04",)),
    Case("openl3", "openl3.env@hop1", outputs, skip=UPSTREAM, signals=("s5",)),
)
