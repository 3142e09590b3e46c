"""CNN14 at 16 kHz: the original's log-mel, last map and embedding."""

from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    """The fixture's tokens are time-major."""
    return {
        "fbank": ("dB mel", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden.flatten(1, 2)[0]),
        "evar": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


CASES = (
    Case(
        "cnn14_16k",
        "panns.cnn14_16k",
        outputs,
        skip={"/grid": "the shape of the map, which the tokens' shape shows"},
        paper_params="80.8 M with the tagger",
    ),
)
