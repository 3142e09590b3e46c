"""ATST-Frame: the released checkpoint format against the original's front end, tokens and scene embedding."""

from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    """The fbank is scaled to [-1, 1]: the gate of normalised units holds, stricter than that of decibels."""
    return {
        "fbank": ("M2D fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0, :, 0]),
        "evar": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


CASES = (Case("atst_frame", "atst.frame", outputs),)
