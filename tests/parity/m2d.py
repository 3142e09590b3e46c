"""M2D: the released checkpoint format against the original's front end, tokens and frequency-preserving embedding."""

from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    """The fixture's tokens are (T', F' * D); its ``freq`` is what eval-audio-repr publishes."""
    return {
        "fbank": ("M2D fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0].flatten(1)),
        "freq": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean"),
    }


CASES = (
    Case("m2d_80x608p16x16", "m2d.80x608p16x16", outputs),
    Case("m2d_80x608p16x16", "m2d.resp", outputs),
    Case("m2d_80x200p16x4", "m2d.80x200p16x4", outputs),
)
