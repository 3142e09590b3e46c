"""What the harness adds to a network: python scripts/benchmarks/encode.py [ENCODER ...]

``bench.embed`` (checks, batching, front end, pooling) against the bare forward pass on precomputed spectrograms, for
full-size untrained networks on clips of 8 s. Exit status 1 when it adds more than 10 %.
"""

import sys
import time

import numpy as np
import torch

from bench.encoders.batches import collate, embed
from bench.encoders.load import load_encoder

CLIPS, SECONDS, REPEATS, ALLOWED = 2, 8, 5, 0.10
ENCODERS = ("audiomae.base", "ast.base")


def overhead(id: str) -> tuple[float, float]:
    """(seconds of the bare forward pass, seconds of ``embed``), each the fastest of several alternating runs."""
    encoder = load_encoder(f"random.{id}")
    network = encoder.encoder
    rng = np.random.default_rng(0)
    n = SECONDS * encoder.card.sample_rate
    waves = [(0.1 * rng.standard_normal(n)).astype(np.float32) for _ in range(CLIPS)]
    wave, length = collate(encoder, waves)
    frontend = network.fbank
    with torch.inference_mode():
        spectrogram = frontend(wave, length)
    bare, whole = [], []
    for _ in range(REPEATS):
        network.fbank = lambda *_: spectrogram
        with torch.inference_mode():
            began = time.perf_counter()
            network.encode(wave, length)
            bare.append(time.perf_counter() - began)
        network.fbank = frontend
        began = time.perf_counter()
        embed(encoder, waves, None)
        whole.append(time.perf_counter() - began)
    return min(bare), min(whole)


def main(ids: list[str]) -> int:
    held = True
    for id in ids:
        bare, whole = overhead(id)
        added = whole / bare - 1
        held &= added <= ALLOWED
        print(f"{id}: bare {bare:.3f} s, embed {whole:.3f} s, {100 * added:+.1f} % ({CLIPS} clips of {SECONDS} s)")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(ENCODERS)))
