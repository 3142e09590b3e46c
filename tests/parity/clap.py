"""The CLAPs' audio towers: front end, last map, the trunk's embedding and the projection."""

from parity import Case, pooled

SHAPE = {"/grid": "the shape of the map, which the tokens' shape shows"}


def outputs(name):
    """``name``: under which the fixture keeps the projection. Its tokens are time-major."""

    def compared(encoder, tokens, wave, length):
        last = tokens.layers[-1].hidden
        return {
            "fbank": ("dB mel", encoder.fbank(wave, length)[0]),
            "tokens": ("tokens", last.flatten(1, 2)[0]),
            "base": ("embedding", encoder.net.embedding(last)[0]),
            name: ("embedding", tokens.clip[0]),
            **pooled(encoder, tokens, "mean", "freq"),
        }

    return compared


CASES = (
    Case("msclap_2022", "clap.ms2022", outputs("opera"), skip=SHAPE, paper_params="80.8 M (CNN14 tagger)"),
    Case("msclap_2023", "clap.ms2023", outputs("opera"), skip=SHAPE, paper_params="31 M (HTS-AT tagger)"),
    Case("laion_clap", "clap.laion", outputs("evar"), skip=SHAPE, paper_params="31 M (HTS-AT tagger)"),
)
