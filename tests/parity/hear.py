"""Google's HeAR: one window after another, each scaled by itself, and a clip's windows scaled together."""

import torch

from parity import Case, pooled

NOTEBOOK = "the cutting of the authors' notebook is not offered"
ALONE = {f"/{name}": "policy upstream" for name in ("fbank", "fbank_every4", "tokens", "clip", "mean", "freq")}
SHARED = ("pooler_joint", "fbank_joint_every16")


def outputs(encoder, tokens, wave, length):
    last = tokens.layers[-1]
    windows = wave.shape[1] // 32000
    fbank = encoder.fbank(wave, length)[0].unflatten(0, (windows, -1))
    single = alone(encoder, wave)
    cls = torch.cat([part.layers[-1].cls for part in single])
    hidden = last.hidden[0].unflatten(0, (windows, -1)).flatten(1, 2)
    return {
        "fbank": ("HeAR image", fbank),
        "fbank_every4": ("HeAR image", fbank[:, ::4]),
        "tokens": ("tokens", torch.cat([cls[:, None], hidden], dim=1)),
        "pooler": ("HeAR embedding", torch.cat([part.clip for part in single])),
        "clip": ("HeAR embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def alone(encoder, wave):
    """The answer to each window by itself."""
    parts = wave.split(32000, dim=1)
    return [encoder(part, torch.tensor([part.shape[1]], device=wave.device)) for part in parts]


def joint(encoder, tokens, wave, length):
    """The original's arrays have a row per window, of which an embedding is the mean."""
    fbank = encoder.fbank(wave, length)[0].unflatten(0, (wave.shape[1] // 32000, -1))
    last = encoder.net.norm(encoder.net(encoder.net.patch_embed(fbank[:, None]))[-1])
    pooler = encoder.net.pooler(last[:, 0])
    torch.testing.assert_close(pooler.mean(dim=0), tokens.clip[0])
    return {"fbank_joint_every16": ("HeAR image", fbank[:, ::16]), "pooler_joint": ("HeAR embedding", pooler)}


CASES = (
    Case(
        "hear_pytorch",
        "hear.google",
        outputs,
        skip={"/pooler_notebook": NOTEBOOK} | {f"/{name}": "policy joint" for name in SHARED},
    ),
    Case(
        "hear_pytorch",
        "hear.google@joint",
        joint,
        skip=ALONE | {"/pooler": "policy upstream", "/pooler_notebook": NOTEBOOK},
    ),
)
