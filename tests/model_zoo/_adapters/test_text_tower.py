import functools
import json

import pytest
import torch

from bench.base.errors import BadInput, CheckpointError
from bench.base.optional_imports import import_torchaudio
from model_zoo._adapters.text_tower import read_text_tower

HIDDEN, WIDTH = 128, 16
SENTENCES = ["This sound was recorded from the trachea.", "Short."]


def byte_characters():
    """The characters that stand for the 256 bytes in vocabularies of GPT-2 and RoBERTa."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + place) for place in range(len(others))]


@pytest.fixture
def vocabulary(tmp_path, monkeypatch):
    """A folder of weights that holds a vocabulary of single bytes and one merge, as roberta-base has it; its size."""
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    entries = ["<s>", "<pad>", "</s>", "<unk>", *byte_characters(), "so", "<mask>"]
    (tmp_path / "roberta-base").mkdir()
    (tmp_path / "roberta-base" / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(entries)}))
    (tmp_path / "roberta-base" / "merges.txt").write_text("#version: 0.2\ns o\n")
    return len(entries)


@functools.cache
def original(size):
    """transformers' text tower of CLAP, with random weights."""
    import_torchaudio()
    from transformers import ClapTextConfig
    from transformers.models.clap.modeling_clap import ClapTextModelWithProjection

    torch.manual_seed(0)
    config = ClapTextConfig(
        vocab_size=size,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=60,
        projection_dim=WIDTH,
        layer_norm_eps=1e-5,
    )
    model = ClapTextModelWithProjection(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture
def saved(tmp_path, vocabulary):
    """Writes that tower as LAION's files hold it, beside some of the audio tower, with changes."""

    def save(**changes):
        tensors = {"module.audio_branch.bn0.weight": torch.ones(4), "module.logit_scale_a": torch.zeros(())}
        places = {"linear1": "0", "linear2": "2"}
        for key, tensor in original(vocabulary).state_dict().items():
            name = key.replace("text_model.", "text_branch.", 1)
            for theirs, number in places.items():
                name = name.replace(f"text_projection.{theirs}", f"text_projection.{number}")
            tensors[f"module.{name}"] = tensor
        tensors["module.text_branch.embeddings.position_ids"] = torch.arange(60)[None]
        path = tmp_path / "laion.pt"
        content = tensors | changes
        torch.save({"epoch": 1, "state_dict": {k: v for k, v in content.items() if v is not None}}, path)
        return path

    return save


def test_embeddings_are_those_of_transformers_clap(saved, vocabulary):
    tower = read_text_tower(saved()).eval()
    ids, counted = tower.ids(SENTENCES)
    assert ids[0, 0] == 0 and ids[1, counted[1].sum() - 1] == 2 and (ids[1, counted[1].sum() :] == 1).all()
    with torch.no_grad():
        wanted = original(vocabulary)(input_ids=ids, attention_mask=counted.long()).text_embeds
        found = tower(ids, counted)
    torch.testing.assert_close(found, wanted / wanted.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-6)
    assert found.shape == (2, tower.width) == (2, WIDTH)


def test_a_sentence_is_read_alike_alone_and_beside_a_longer_one(saved):
    tower = read_text_tower(saved()).eval()
    with torch.no_grad():
        beside, alone = tower(*tower.ids(SENTENCES))[1:], tower(*tower.ids(SENTENCES[1:]))
    torch.testing.assert_close(beside, alone, rtol=1e-5, atol=1e-6)


def test_bytes_are_merged_as_the_vocabulary_says(saved, vocabulary):
    tower = read_text_tower(saved())
    assert tower.ids(["so"])[0].tolist() == [[0, vocabulary - 2, 2]]


def test_a_file_without_the_whole_tower_is_refused(saved):
    words = "module.text_branch.embeddings.word_embeddings.weight"
    with pytest.raises(CheckpointError, match=r"lacks the text tower of clap\.laion.*lukewys/laion_clap"):
        read_text_tower(saved(**{words: None}))
    bias = "module.text_branch.pooler.dense.bias"
    with pytest.raises(CheckpointError, match=r"1 missing: net\.pooler\.dense\.bias"):
        read_text_tower(saved(**{bias: None}))
    with pytest.raises(CheckpointError, match="neither used nor declared ignored"):
        read_text_tower(saved(**{"module.text_branch.more.weight": torch.zeros(2)}))


def test_a_vocabulary_that_is_not_there_or_another_is_named(saved, tmp_path):
    tower, files = read_text_tower(saved()), tmp_path / "roberta-base"
    with pytest.raises(BadInput, match="a sentence has 102 tokens, the tower reads 58"):
        tower.ids(["x" * 100])
    words = json.loads((files / "vocab.json").read_text())
    (files / "vocab.json").write_text(json.dumps(words | {"more": len(words)}))
    with pytest.raises(BadInput, match="take the files of roberta-base"):
        tower.ids(SENTENCES)
    (files / "merges.txt").unlink()
    with pytest.raises(BadInput, match=r"needs vocab\.json and merges\.txt of roberta-base, looked for in"):
        tower.ids(SENTENCES)
