"""EfficientAT: the released weights of mn04 against the original's front end, feature map and embeddings."""

from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    return {
        "fbank": ("kaldi fbank", encoder.fbank(wave, length)[0]),  # (bands, frames)
        "feature_map": ("tokens", tokens.layers[-1].hidden[0].permute(2, 1, 0)),  # (D, F', T')
        "embedding": ("embedding", tokens.clip[0]),
        **pooled(encoder, tokens, "freq"),
    }


CASES = (
    Case(
        "efficientat_mn04",
        "efficientat.mn04",
        outputs,
        skip={"/logits": "the classifier is not part of the encoder"},
        released=True,
        paper_params="0.98 M with the classifier",
    ),
)
