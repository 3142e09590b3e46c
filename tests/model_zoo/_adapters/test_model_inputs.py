import numpy as np
import pytest
import torch

from bench.base.errors import BadInput
from model_zoo._adapters.model_inputs import ModelInputs


class Extractor:
    """Frames of 10 samples, with their mask; what it gives besides, and how it is asked, by its settings."""

    sampling_rate = 100

    def __init__(self, mask="attention_mask", always=True, first="input_features", lists_alone=False):
        self.mask, self.always, self.first, self.lists_alone = mask, always, first, lists_alone

    def __call__(self, raw_speech, sampling_rate, return_tensors, return_attention_mask=None):
        if isinstance(raw_speech, np.ndarray) and self.lists_alone:
            raise ValueError("cannot squeeze")
        (clip,) = raw_speech if isinstance(raw_speech, list) else (raw_speech,)
        frames = torch.from_numpy(clip[: len(clip) // 10 * 10].reshape(1, -1, 10))
        mask = {self.mask: torch.ones(frames.shape[:2], dtype=torch.int64)}
        return (mask if self.always or return_attention_mask else {}) | {self.first: frames}


WAVE = torch.linspace(-1, 1, 200).reshape(2, 100)


def by_name(input_features, attention_mask=None): ...
def by_another_name(mel, attention_mask=None): ...
def frames_masked(input_features, input_features_mask=None): ...
def reads(input_ids, attention_mask=None): ...
def sees(pixel_values, attention_mask=None): ...
def masked_otherwise(audio_mel, audio_mel_mask): ...


@pytest.mark.parametrize(
    ("forward", "extractor", "given"),
    [
        (by_name, Extractor(), {"input_features", "attention_mask"}),
        (by_name, Extractor(always=False), {"input_features"}),
        (by_name, Extractor(lists_alone=True), {"input_features", "attention_mask"}),
        (by_another_name, Extractor(), {"mel", "attention_mask"}),
        (by_another_name, Extractor(mask="padding_mask"), {"mel"}),
        (frames_masked, Extractor(always=False), {"input_features", "input_features_mask"}),
        (frames_masked, Extractor(mask="input_features_mask"), {"input_features", "input_features_mask"}),
    ],
)
def test_arrays_go_by_their_names(forward, extractor, given):
    arrays = ModelInputs("hf.x", extractor, forward)(WAVE)
    assert arrays.keys() == given
    sound = next(array for name, array in arrays.items() if "mask" not in name)
    assert torch.equal(sound, WAVE.reshape(2, 10, 10))


@pytest.mark.parametrize("mask", ["attention_mask", "padding_mask"])
@pytest.mark.parametrize(
    ("forward", "needs"), [(reads, "input_ids"), (sees, "pixel_values"), (masked_otherwise, "audio_mel_mask")]
)
def test_what_takes_no_sound_is_refused_and_never_given_a_mask_in_its_place(forward, needs, mask):
    inputs = ModelInputs("hf.x", Extractor(mask, first="input_values"), forward)
    with pytest.raises(BadInput, match=rf"needs {needs}, which its feature extractor does not give \(it gives {mask}"):
        inputs(WAVE)


class FloatMask(Extractor):
    def __call__(self, raw_speech, sampling_rate, return_tensors):
        answer = super().__call__(raw_speech, sampling_rate, return_tensors)
        return {name: array.float() for name, array in answer.items()}


def hands_on(*args, **told): ...


@pytest.mark.parametrize(
    ("forward", "given"),
    [(by_another_name, {"mel", "attention_mask"}), (by_name, {"input_features", "attention_mask"})],
)
def test_a_mask_of_floating_point_is_no_sound(forward, given):
    arrays = ModelInputs("hf.x", FloatMask(), forward)(WAVE)
    assert arrays.keys() == given and arrays["attention_mask"].shape == (2, 10)
    with pytest.raises(BadInput, match="needs input_ids"):
        ModelInputs("hf.x", FloatMask(), reads)(WAVE)


def test_a_model_that_hands_its_arguments_on_is_given_the_sound_by_the_extractors_name():
    assert ModelInputs("hf.x", Extractor(), hands_on)(WAVE).keys() == {"input_features"}


def test_an_extractor_without_tensors_is_called_so():
    class Lists(Extractor):
        def __call__(self, raw_speech, **told):
            return {"input_features": [[0.0]]}

    with pytest.raises(BadInput, match=r"none of it is a tensor of sound \(it gives input_features\)"):
        ModelInputs("hf.x", Lists(), by_name)(WAVE)


def test_an_extractor_without_sound_is_refused():
    class Masks(Extractor):
        def __call__(self, raw_speech, **told):
            return {"attention_mask": torch.ones(1, 10, dtype=torch.int64)}

    with pytest.raises(BadInput, match="needs input_features"):
        ModelInputs("hf.x", Masks(), by_name)(WAVE)


def test_bands_of_silence_without_a_finite_value_are_zero():
    class Spread(Extractor):
        def __call__(self, raw_speech, sampling_rate, return_tensors):
            answer = super().__call__(raw_speech, sampling_rate, return_tensors)
            answer["input_features"] = answer["input_features"].clone()
            answer["input_features"][:, :, 3] = float("nan")
            return answer

    features = ModelInputs("hf.x", Spread(), by_name)(WAVE)["input_features"]
    assert not features[:, :, 3].any() and features.isfinite().all()
