import numpy as np
import pytest
import torch

from bench.base.optional_imports import import_torchaudio
from model_zoo._adapters.clip_limits import longest_clip, shortest_clip


@pytest.mark.parametrize(
    ("extractor", "options", "rate", "samples"),
    [
        ("Wav2Vec2FeatureExtractor", {}, 16000, None),
        ("ASTFeatureExtractor", {}, 16000, 400 + 160 * 1023),  # 1,024 frames
        ("ASTFeatureExtractor", {"max_length": 512}, 16000, 400 + 160 * 511),
        ("WhisperFeatureExtractor", {"chunk_length": 5}, 16000, 5 * 16000),
        ("WhisperFeatureExtractor", {"chunk_length": 5, "dither": 1e-5}, 16000, 5 * 16000),  # noise is no crop
        ("ClapFeatureExtractor", {"truncation": "rand_trunc", "max_length_s": 3}, 48000, 3 * 48000),  # at random
    ],
)
def test_how_much_of_a_clip_is_taken_is_measured(extractor, options, rate, samples):
    import_torchaudio()
    import transformers

    extract = getattr(transformers, extractor)(**options)

    def features(wave):
        return extract(wave[0].numpy(), sampling_rate=rate, return_tensors="pt")

    state = np.random.get_state()[1].copy()
    assert longest_clip(features, rate) == samples
    assert (np.random.get_state()[1] == state).all()


def test_extractors_of_other_kinds_are_measured_too():
    def windowed(seconds):
        return lambda wave: {"x": wave[:, : round(16000 * seconds)], "n": torch.tensor(1)}

    assert longest_clip(windowed(2.5), 16000) == 40000
    assert longest_clip(windowed(200.0), 16000) == 3_200_000
    assert longest_clip(windowed(300.0), 16000) is None  # longer than what is tried
    assert longest_clip(lambda wave: {"mean": wave.mean(), "n": torch.tensor(wave.shape[1])}, 16000) is None

    def noisy(wave):
        return {"x": wave + 1e-3 * torch.randn(wave.shape)}

    assert longest_clip(noisy, 16000) is None

    def whole_windows(seconds, most=None):  # an incomplete last one is dropped
        n = round(16000 * seconds)
        return lambda wave: {"x": wave[:, : wave.shape[1] // n * n].reshape(-1, n)[:most]}

    assert longest_clip(whole_windows(0.96), 16000) is None
    assert longest_clip(whole_windows(10), 16000) is None
    assert longest_clip(whole_windows(0.96, most=10), 16000) == 153600
    assert longest_clip(windowed(0.1), 16000) == 1600
    assert longest_clip(windowed(3.15), 16000) == 50400  # just below a length that is tried

    def cropping_and_refusing(wave):
        return {"x": refusing(wave)["x"][:, :16000]}

    def refusing(wave):
        if wave.shape[1] > 50000:
            raise ValueError("too long")
        return {"x": wave}

    assert longest_clip(refusing, 16000) is None  # what refuses does not crop
    assert longest_clip(cropping_and_refusing, 16000) == 16000  # four times as much is refused


@pytest.mark.parametrize(
    ("window_s", "shortest_s"), [(0.02, 0.1), (0.1, 0.1), (0.96, 0.96), (0.975, 0.975), (5.0, 5.0)]
)
def test_the_shortest_clip_is_found_to_a_hundredth_of_a_second(window_s, shortest_s):
    rate = 16000
    window = round(window_s * rate)

    def raising(wave):
        return wave.unfold(1, window, window).shape[1]  # RuntimeError where the wave is shorter

    def none_of_them(wave):
        return wave.shape[1] // window

    for tokens in (raising, none_of_them):
        found = shortest_clip(tokens, rate)
        assert tokens(torch.zeros(1, found)) > 0 and 0 <= found - shortest_s * rate <= rate // 100


def test_a_model_that_takes_no_clip_says_why():
    def raising(wave):
        raise RuntimeError("wants 20 s")

    with pytest.raises(RuntimeError, match="wants 20 s"):
        shortest_clip(raising, 16000)
    with pytest.raises(ValueError, match=r"no tokens of clips of 12\.8 s"):
        shortest_clip(lambda wave: 0, 16000)
