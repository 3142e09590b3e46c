"""BEATs: a clip alone, and the original's padding mask for a clip of 0.4 s beside one of 5 s."""

import torch

from parity import Case, pooled


def outputs(encoder, tokens, wave, length):
    return {
        "fbank": ("kaldi fbank", encoder.fbank(wave, length)[0]),
        "tokens": ("tokens", tokens.layers[-1].hidden[0].flatten(0, 1)),  # time-major
        **pooled(encoder, tokens, "mean", "freq"),
    }


def batch(encoder, golden):
    """``encode`` takes the batch as the original would; ``forward`` would pad both clips to 10 s first."""
    waves = [torch.from_numpy(golden.wave(signal, encoder.card.sample_rate)) for signal in ("s04", "s5")]
    length = torch.tensor([len(wave) for wave in waves])
    wave = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    device = next(encoder.parameters()).device
    tokens = encoder.encode(wave.to(device), length.to(device))
    count = tokens.layers[-1].hidden[0].flatten(0, 1).shape[0]
    masked = torch.arange(count) >= encoder.unmasked(length, wave.shape[1])[:, None]
    return {"batch/tokmask": ("tokens", masked), "batch/masked_mean": ("embedding", tokens.clip)}


ALONE = "a clip beside a longer one is another input under this policy"
CASES = (
    Case(
        "beats",
        "beats.iter3",
        outputs,
        skip={"batch/tokmask": "upstream-mask", "batch/masked_mean": "upstream-mask"},
        paper_params="90 M",
    ),
    Case(
        "beats",
        "beats.iter3@upstream-mask",
        outputs,
        signals=("s12",),  # longer than the companion, so nothing is masked
        skip={f"{signal}/{name}": ALONE for signal in ("s04", "s5") for name in ("fbank", "tokens", "mean", "freq")},
        extra=batch,
    ),
)
