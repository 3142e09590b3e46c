"""Every family against files that lack or wrap what they should hold plainly: the same embedding or an error."""

import argparse
import collections
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.base import registry
from bench.base.errors import CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed
from foreign_classes import foreign
from parity import cases
from parity.golden import COMPACT, Golden

FIXTURES = {case.encoder: case.fixture for case in cases() if "@" not in case.encoder and not case.released}
SPEECH = {
    "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96, "hidden_size": 64,
    "conv_dim": [16] * 7, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
TOWER = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 1, "encoder_ffn_dim": 96, "num_mel_bins": 128}
TEXT = {
    "model_type": "qwen2", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 2, "intermediate_size": 16, "vocab_size": 8,
}  # fmt: skip
# {id, "hf" for any model by its folder: (the library's class, its sizes, its feature extractor if it is saved)}
LIBRARY = {
    "wav2vec2.base": ("Wav2Vec2Model", SPEECH, "Wav2Vec2FeatureExtractor"),
    "hubert.base": ("HubertModel", SPEECH, "Wav2Vec2FeatureExtractor"),
    "wavlm.base": ("WavLMModel", SPEECH, "Wav2Vec2FeatureExtractor"),
    "data2vec.base": ("Data2VecAudioModel", SPEECH, "Wav2Vec2FeatureExtractor"),
    "whisper.base": (
        "WhisperModel",
        {
            "d_model": 64, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 1,
            "decoder_attention_heads": 1, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "vocab_size": 8,
            "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2,
        },
        "WhisperFeatureExtractor",
    ),
    "w2v_bert.2_0": (
        "Wav2Vec2BertModel",
        {k: SPEECH[k] for k in ("num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_size")},
        "SeamlessM4TFeatureExtractor",
    ),
    "qwen.2_audio_7b": ("Qwen2AudioForConditionalGeneration", {"audio_config": TOWER, "text_config": TEXT}, None),
    "hf wav2vec2": ("Wav2Vec2ForCTC", SPEECH, "Wav2Vec2FeatureExtractor"),
    "hf conformer": (
        "Wav2Vec2ConformerModel",
        SPEECH | {"position_embeddings_type": "rotary", "conv_depthwise_kernel_size": 3},
        "Wav2Vec2FeatureExtractor",
    ),
    "hf ast": ("ASTForAudioClassification", {k: SPEECH[k] for k in list(SPEECH)[:4]}, "ASTFeatureExtractor"),
}  # fmt: skip
PARTS = ("whisper.base", "qwen.2_audio_7b")  # of a larger model, of whose file nothing else is even kept
RELEASED = {"atst.clip": "teacher"}  # the network's entry in files that hold another one as well
IDS = [*FIXTURES, "efficientat.mn04", *LIBRARY]


ELSEWHERE = {"s3prl"}  # which reads its upstreams' files itself
SAME_NETWORK = {"sslam": "eat", "auscultabase": "opera"}


def test_every_family_with_weights_is_tried():
    families = {card.id.partition(".")[0] for card in registry.cards(registry.ENCODERS) if card.weights}
    tried = {id.partition(".")[0] for id in IDS}
    assert {SAME_NETWORK.get(family, family) for family in families - ELSEWHERE} <= tried


class Subject:
    """A family's checkpoint that can be changed: the file's content, and where in it the tensors are."""

    def __init__(self, id: str, path: Path):
        self.path = path
        self.id = f"hf.{path.parent}" if id.startswith("hf ") else id
        self.plain = path.suffix == ".safetensors"
        self.content = load_file(path) if self.plain else torch.load(path, weights_only=False)  # written here
        entries = [("", self.content), *((k, v) for k, v in self.content.items() if isinstance(v, dict))]
        released = RELEASED.get(id)
        self.entry, self.tensors = max(
            entries, key=lambda e: (e[0] == released, sum(map(torch.is_tensor, e[1].values())))
        )

    def rewritten(self, tensors: dict[str, torch.Tensor]) -> None:
        """Writes the file again with other tensors."""
        content = self.content | {self.entry: tensors} if self.entry else tensors
        save_file(tensors, self.path, {"format": "pt"}) if self.plain else torch.save(content, self.path)

    def load(self) -> torch.nn.Module:
        """The encoder with what the file holds now, by the family's own ``build``."""
        return registry.family(registry.ENCODERS, self.id).build(registry.encoder_card(self.id), self.given).eval()

    @property
    def given(self) -> Path:
        """The file, or its folder where that is what a family is given."""
        return self.path.parent if self.plain else self.path


@pytest.fixture
def subject(request, tmp_path) -> Callable[[str], Subject]:
    """Writes the small checkpoint of a family."""

    def write(id: str) -> Subject:
        torch.manual_seed(0)
        if id in FIXTURES:
            beside = Path(os.environ.get("RESPBENCH_DATA") or "data").resolve().parent / "golden"
            found = [folder for folder in (beside, COMPACT) if (folder / FIXTURES[id]).is_dir()]
            folder = found[0] if found else request.getfixturevalue("golden")
            return Subject(id, Golden(folder, FIXTURES[id]).checkpoint(tmp_path))
        if id in LIBRARY:
            return Subject(id, _of_the_library(*LIBRARY[id], tmp_path))
        net = registry.family(registry.ENCODERS, id).build(registry.encoder_card(id), None)
        torch.save(_filled(net.state_dict()), tmp_path / "net.pt")
        return Subject(id, tmp_path / "net.pt")

    return write


def _of_the_library(model: str, sizes: dict, extractor: str | None, folder: Path) -> Path:
    import_torchaudio()
    import transformers

    kind = getattr(transformers, model)
    net = kind(kind.config_class(**sizes))
    net.load_state_dict(_filled(net.state_dict()))
    net.save_pretrained(folder)
    if extractor:
        getattr(transformers, extractor)().save_pretrained(folder)
    return folder / "model.safetensors"


def _filled(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state in which no two tensors are alike, so that each can be told in the file, and none is what torch sets."""
    return {
        name: 0.2 * torch.randn_like(t).abs() + (0.5 if t.ndim == 1 else 0) if t.is_floating_point() else t
        for name, t in state.items()
    }


def embedding(encoder: torch.nn.Module) -> np.ndarray:
    wave = np.random.default_rng(0).normal(0, 0.1, round(1.3 * encoder.card.sample_rate)).astype(np.float32)
    return embed(encoder, [wave])


def _bits(tensor: torch.Tensor) -> tuple:
    return tuple(tensor.shape), tensor.dtype, tensor.detach().contiguous().numpy().tobytes()


def lossy(subject: Subject, encoder: torch.nn.Module) -> Iterator[set[str]]:
    """What to remove: each tensor that is no parameter as it is, all of those, and all tensors that end alike."""
    parameters = {_bits(parameter) for parameter in encoder.parameters()}
    optional = [name for name, tensor in subject.tensors.items() if _bits(tensor) not in parameters]
    yield from ({name} for name in optional)
    yield set(optional)
    for parts in (2, 1):
        ends = dict.fromkeys(tuple(name.split(".")[-parts:]) for name in subject.tensors)
        yield from ({name for name in subject.tensors if tuple(name.split(".")[-parts:]) == end} for end in ends)


@pytest.mark.long
@pytest.mark.parametrize("id", IDS)
def test_what_a_file_lacks_changes_no_embedding(id, subject):
    given = subject(id)
    complete = given.load()
    expected, refused = embedding(complete), 0
    for names in lossy(given, complete):
        given.rewritten({name: tensor for name, tensor in given.tensors.items() if name not in names})
        try:
            encoder = given.load()
        except CheckpointError:
            refused += 1
            continue
        np.testing.assert_array_equal(embedding(encoder), expected, f"without {sorted(names)[:3]} ({len(names)})")
    assert refused


COUNTER = "num_batches_tracked"


@pytest.mark.long
@pytest.mark.parametrize("id", IDS)
def test_averaged_weights_and_those_of_old_torch_are_the_same_network(id, subject):
    given = subject(id)
    expected = embedding(given.load())
    counters = {name for name in given.tensors if name.endswith(COUNTER)}
    old = {name: tensor for name, tensor in given.tensors.items() if name not in counters}
    averaged = {f"module.{name}": tensor for name, tensor in given.tensors.items()}
    for tensors in (old, averaged | {"n_averaged": torch.tensor(3)}):
        given.rewritten(tensors)
        np.testing.assert_array_equal(embedding(given.load()), expected)


@pytest.mark.long
@pytest.mark.parametrize("id", IDS)
def test_what_wraps_a_file_changes_no_embedding(id, subject):
    given = subject(id)
    expected = embedding(given.load())
    wrappers = ("module.", "net.", "model._orig_mod.")
    for wrapper in wrappers:
        given.rewritten({wrapper + name: tensor for name, tensor in given.tensors.items()})
        np.testing.assert_array_equal(embedding(given.load()), expected, wrapper)
    if given.plain:
        return
    for entry in ("state_dict", "model", "model_state_dict", "weights"):
        others = {name: value for name, value in given.content.items() if name != given.entry and given.entry}
        wrapped = {f"module.{name}": tensor for name, tensor in given.tensors.items()}
        torch.save(others | {entry: wrapped, "epoch": 3}, given.path)
        if id.startswith("beats") and entry != given.entry:  # whose other entry, cfg, belongs to it
            continue
        if id in RELEASED and entry != given.entry:  # beside the other network, which of the two is meant is open
            with pytest.raises(CheckpointError, match=r"\d places"):
                given.load()
            continue
        np.testing.assert_array_equal(embedding(given.load()), expected, entry)
        torch.save(others | {entry: given.tensors, "ema": wrapped}, given.path)
        if entry != given.entry:
            with pytest.raises(CheckpointError, match=rf"\d places \(entry '{entry}'.*entry 'ema'"):
                given.load()


@pytest.mark.long
@pytest.mark.parametrize("id", IDS)
def test_what_somebody_put_around_a_network_changes_no_embedding_and_is_named(id, subject):
    given = subject(id)
    expected = embedding(given.load())
    around = {"net.head.weight": torch.ones(2, 3), "loss.centres": torch.ones(2)}
    given.rewritten({f"net.encoder.{name}": tensor for name, tensor in given.tensors.items()} | around)
    encoder = given.load()
    np.testing.assert_array_equal(embedding(encoder), expected)
    told = [name for part in encoder.modules() for name in getattr(part, "unused_tensors", ())]
    assert id in PARTS or set(around) <= set(told)


CALLBACK, DICTIONARY = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "fairseq.data.dictionary.Dictionary",
)


@pytest.mark.long
@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("id", IDS)
def test_what_training_code_saves_beside_a_network_changes_no_embedding(id, form, subject):
    given = subject(id)
    if given.plain:
        return
    expected, entry = embedding(given.load()), given.entry or "state_dict"
    others = given.content if given.entry else {}
    beside = {
        "rng": np.random.get_state(),
        "sampler": {"indexes_per_class": [np.arange(3), np.arange(0)]},
        "mean": np.ones(3, np.float32),
        "best": np.float64(0.5),
        "arguments": argparse.Namespace(out=Path("runs"), rates=[1e-3]),
        "seen": collections.defaultdict(list, a=[1]),
        "version": torch.__version__,
    }
    with foreign(CALLBACK, DICTIONARY) as (callback, dictionary):
        beside |= {"callbacks": {callback: {"best_model_score": torch.ones(())}}, "dictionaries": [dictionary()]}
        whole = others | beside | {entry: given.tensors}
        torch.save(whole, given.path, _use_new_zipfile_serialization=form == "zip")
    np.testing.assert_array_equal(embedding(given.load()), expected)
