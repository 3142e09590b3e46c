"""BYOL-A v1 under the README's front end and under eval-audio-repr's, both with the README's mean and deviation."""

from parity import Case, pooled

EVERY = 8  # the fixture keeps every eighth frame of the README's front end


def upstream(encoder, tokens, wave, length):
    return {
        "fbank_torchaudio": ("M2D fbank", encoder.fbank(wave, length)[0, ::EVERY]),
        "evar_torchaudio": ("embedding", tokens.clip[0]),
    }


def evar(encoder, tokens, wave, length):
    return {
        "fbank": ("M2D fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0, :, 0]),
        "evar": ("embedding", tokens.clip[0]),
        "freq": ("embedding", tokens.layers[-2].hidden[0].mean(dim=0).flatten()),
        **pooled(encoder, tokens, "mean"),
    }


SLANEY = "compared under evar-fixed"
HTK = "compared under upstream"
CASES = (
    Case(
        "byola",
        "byola.v1",
        upstream,
        skip=dict.fromkeys(("/fbank", "/tokens", "/mean", "/evar", "/freq"), SLANEY),
        paper_params="5.3 M",
    ),
    Case("byola", "byola.v1@evar-fixed", evar, skip=dict.fromkeys(("/fbank_torchaudio", "/evar_torchaudio"), HTK)),
)
