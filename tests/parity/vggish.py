"""VGGish: torchvggish's examples, features and means; OPERA's input is the same samples at another nominal rate."""

import torch

from parity import Case, pooled

RATE = 16000
SIGNALS = ("s5", "s12")  # the third is shorter than one example
SHORT = {"s04/fbank": "the original drops a clip shorter than one example"}


def outputs(encoder, tokens, wave, length):
    return {
        "fbank": ("librosa mel", encoder.fbank(wave, length)[0].unflatten(0, (-1, 96))),
        "tokens": ("tokens", tokens.layers[-1].hidden[0, :, 0]),
        "opera": ("embedding", tokens.clip[0]),
        "evar": ("embedding", pooled(encoder, tokens, "mean+max")["mean+max"][1]),
        "freq": ("embedding", tokens.layers[-2].hidden[0].mean(dim=0).flatten()),
        **pooled(encoder, tokens, "mean"),
    }


def nothing(encoder, tokens, wave, length):
    """The fixture's samples are at the other rate."""
    return {}


def opera(encoder, golden):
    """The fixture's samples as OPERA would hand them over, whatever their rate."""
    found = {}
    for signal in SIGNALS:
        wave = torch.from_numpy(golden.wave(signal, RATE))[None]
        found[f"{signal}/opera"] = ("embedding", encoder(wave, torch.tensor([wave.shape[1]])).clip[0])
    return found


CASES = (
    Case("vggish", "vggish.base", outputs, skip=SHORT, signals=SIGNALS),
    Case(
        "vggish",
        "vggish.base@opera",
        nothing,
        skip={"": "equal to upstream's on the same samples"},
        extra=opera,
        signals=SIGNALS,
    ),
)
