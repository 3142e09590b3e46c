from types import SimpleNamespace

from torch import nn

from model_zoo._adapters.hearing_part import hearing_part


class Reads(nn.Module):
    input_modalities, main_input_name = "text", "input_ids"

    def forward(self, input_ids, attention_mask=None): ...


class Hears(nn.Module):
    input_modalities, main_input_name = "audio", "input_features"

    def forward(self, input_features, attention_mask=None): ...


class Speaks(nn.Module):
    """Of audio by its name, as the library calls some that take units or text."""

    input_modalities, main_input_name = "audio", "input_ids"

    def forward(self, input_ids): ...


class Translator(nn.Module):
    def __init__(self, *parts, halves=True, **settings):
        super().__init__()
        self.parts, self.config = nn.ModuleList(parts), SimpleNamespace(is_encoder_decoder=halves, **settings)

    def get_encoder(self):
        return self.parts[0]

    def forward(self, input_ids, input_features=None): ...


def test_the_encoder_half_is_taken():
    model = Translator(Hears(), Reads())
    assert hearing_part(model) is model.parts[0]


def test_of_two_encoders_it_is_the_one_that_hears():
    model = Translator(Reads(), Speaks(), Hears())
    assert hearing_part(model) is model.parts[2]


def test_the_part_of_settings_of_its_own_comes_first():
    settings = SimpleNamespace()
    own = Hears()
    own.config = settings
    model = Translator(Hears(), own, audio_config=settings)
    assert hearing_part(model) is own


def test_a_model_that_only_reads_stays_what_it_is():
    model = Translator(Reads(), Speaks())
    assert hearing_part(model) is model.parts[0]
    alone = Translator(Reads(), halves=False)
    assert hearing_part(alone) is alone
