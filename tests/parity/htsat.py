"""HTS-AT on AudioSet: pieces of 10 s, repeated and stretched, or stretched alone."""

from parity import Case, pooled

PIECES = "the number of frames of each piece follows from the length"


def outputs(encoder, tokens, wave, length):
    """The original's tokens are an image's, row by row: time quarters by bands, then times."""
    clip = tokens.layers[-1].hidden[0]  # (T', F', D)
    images = clip.unflatten(0, (-1, 4, 8)).permute(0, 1, 3, 2, 4)  # pieces, quarters, bands, times
    return {
        "fbank": ("dB mel", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", images.flatten(0, 3)),
        "evar": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "mean", "freq"),
    }


def stretch(encoder, tokens, wave, length):
    return {"stretch": ("embedding", tokens.clip[0])}


def bank(key, shape):
    """The mel matrix, which the full-size file holds and no recipe gives."""
    if not key.endswith("melW"):
        return None
    from model_zoo._adapters.frontend import mel_bank

    return mel_bank(32000, 1024, 64, 50.0, 14000.0).numpy()


UPSTREAM = {f"/{name}": "policy upstream" for name in ("fbank", "tokens", "evar", "mean", "freq")}

CASES = (
    Case(
        "htsat",
        "htsat.audioset",
        outputs,
        skip={"/stretch": "policy stretch", "/pieces": PIECES},
        constants=bank,
    ),
    Case("htsat", "htsat.audioset@stretch", stretch, skip=UPSTREAM | {"/pieces": PIECES}, constants=bank),
)
