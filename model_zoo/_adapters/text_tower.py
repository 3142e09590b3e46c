"""LAION-CLAP's text tower: RoBERTa and a projection, which read a sentence into the space of the audio tower.

Papers: Wu et al., Large-scale contrastive language-audio pretraining with feature fusion and keyword-to-caption
augmentation, ICASSP 2023 (arXiv 2211.06687); Liu et al., RoBERTa, 2019 (arXiv 1907.11692).
Its tensors lie in the file of ``clap.laion``: ``text_branch.*``, named as transformers names RoBERTa's, and
``text_projection.{0,2}``. The geometry is read from them (heads of 64 channels). The vocabulary is no part of that
file: ``vocab.json`` and ``merges.txt`` of ``roberta-base``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.base.errors import BadInput, CheckpointError
from model_zoo._adapters.checkpoint import HEAD

if TYPE_CHECKING:
    from torch import Tensor, nn

VOCABULARY = "roberta-base"  # folder of its two files
FILES = ("vocab.json", "merges.txt")
NAMES = (("text_branch.", "net."), ("text_projection.", "projection."))  # prefixes in the file, and here
WORDS = "text_branch.embeddings.word_embeddings.weight"
IGNORED = (r"audio_.*", r"text_transform\..*", r"logit_scale(_[at])?", r"net\.embeddings\.(position|token_type)_ids")


def read_text_tower(weights: Path) -> nn.Module:
    """The text tower of a checkpoint of LAION's.

    Parameters
    ----------
    weights
        The file that the audio tower was read from.

    Returns
    -------
    nn.Module
        ``ids(sentences)`` gives token numbers (S, W) and which of them count (S, W), bool; called with both, it gives
        embeddings (S, E) of unit length, ``width`` = E.

    Raises
    ------
    CheckpointError
        Where the file holds no whole text tower.
    BadInput
        Where the vocabulary is not at hand, or is another one.
    """
    import torch
    from torch import nn

    from bench.base.optional_imports import import_torchaudio
    from bench.encoders.weights.read import load_tensors
    from model_zoo._adapters.checkpoint import load_strict

    import_torchaudio()  # before transformers' models, which import it
    from transformers import RobertaConfig
    from transformers.models.roberta.modeling_roberta import RobertaModel

    class TextTower(nn.Module):
        def __init__(self, config: RobertaConfig, width: int):
            super().__init__()
            self.net = RobertaModel(config)
            hidden = config.hidden_size
            self.projection = nn.Sequential(nn.Linear(hidden, width), nn.ReLU(), nn.Linear(width, width))
            self.width = width

        def ids(self, sentences: Sequence[str]) -> tuple[Tensor, Tensor]:
            """Token numbers (S, W) int64, filled up to the longest sentence, and which count (S, W), bool."""
            config = self.net.config
            return _ids(sentences, config.vocab_size, config.max_position_embeddings - config.pad_token_id - 1)

        def forward(self, ids: Tensor, counted: Tensor) -> Tensor:
            """Embeddings (S, E) of unit length."""
            pooled = self.net(input_ids=ids, attention_mask=counted.long()).pooler_output
            return nn.functional.normalize(self.projection(pooled), dim=1)

    held = load_tensors(weights, "audio_branch.bn0.weight", WORDS, entry="state_dict")
    config, width = _geometry(held, weights)
    tower = TextTower(RobertaConfig(**config), width)
    tensors: dict[str, torch.Tensor] = {}
    for key, tensor in held.items():
        theirs, ours = next((pair for pair in NAMES if key.startswith(pair[0])), ("", ""))
        tensors[ours + key.removeprefix(theirs)] = tensor
    load_strict(tower, tensors, IGNORED, weights)
    return tower


def _geometry(tensors: Mapping[str, Tensor], where: Path) -> tuple[dict, int]:
    """(arguments of ``RobertaConfig``, width of the projection). Raises ``CheckpointError``."""
    names = {
        "words": WORDS,
        "positions": "text_branch.embeddings.position_embeddings.weight",
        "types": "text_branch.embeddings.token_type_embeddings.weight",
        "inner": "text_branch.encoder.layer.0.intermediate.dense.weight",
        "projection": "text_projection.0.weight",
    }
    if lacking := [name for name in names.values() if name not in tensors]:
        problem = f"lacks the text tower of clap.laion ({', '.join(lacking)})"
        raise CheckpointError(where, problem, "take a file of lukewys/laion_clap, which holds both towers")
    shapes = {part: tuple(tensors[name].shape) for part, name in names.items()}
    vocabulary, hidden = shapes["words"]
    blocks = {key.split(".")[3] for key in tensors if key.startswith("text_branch.encoder.layer.")}
    config = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": len(blocks),
        "num_attention_heads": max(1, hidden // HEAD),
        "intermediate_size": shapes["inner"][0],
        "max_position_embeddings": shapes["positions"][0],
        "type_vocab_size": shapes["types"][0],
        "layer_norm_eps": 1e-5,
    }
    return config, shapes["projection"][0]


def _ids(sentences: Sequence[str], size: int, longest: int) -> tuple[Tensor, Tensor]:
    """Token numbers of sentences under the vocabulary at hand, which has to have ``size`` entries. Raises."""
    from bench.base.paths import weight_folders

    folders = [folder / VOCABULARY for folder in weight_folders()]
    found = next((folder for folder in folders if all((folder / file).is_file() for file in FILES)), None)
    if found is None:
        looked = ", ".join(map(str, folders))
        problem = f"the text tower needs {FILES[0]} and {FILES[1]} of {VOCABULARY}, looked for in {looked}"
        remedy = f"put both files of https://huggingface.co/FacebookAI/{VOCABULARY} there"
        raise BadInput(VOCABULARY, problem, remedy)
    from transformers import RobertaTokenizer

    tokenizer = RobertaTokenizer(*(str(found / file) for file in FILES))
    special = (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    if len(tokenizer) != size or special != (0, 1, 2):
        problem = (
            f"it has {len(tokenizer)} entries, <s>, <pad> and </s> at {special}; the tower's has {size}, at 0, 1, 2"
        )
        raise BadInput(found, problem, f"take the files of {VOCABULARY}")
    tokens = tokenizer(list(sentences), padding="longest", return_tensors="pt")
    if tokens["input_ids"].shape[1] > longest:
        problem = f"a sentence has {tokens['input_ids'].shape[1]} tokens, the tower reads {longest}"
        raise BadInput(VOCABULARY, problem, "shorten the metadata")
    return tokens["input_ids"], tokens["attention_mask"].bool()
