"""A transformers model whose classes come in its folder, as many on the Hub do; importing them leaves a mark."""

from __future__ import annotations

import json
from pathlib import Path

CONFIGURATION = """
from transformers import PretrainedConfig


class BreathConfig(PretrainedConfig):
    model_type = "breath"

    def __init__(self, hidden_size=8, **kwargs):
        super().__init__(**kwargs)
        self.hidden_size = hidden_size
"""
MODELLING = """
import pathlib

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_breath import BreathConfig

with pathlib.Path({marker!r}).open("a") as ran:
    ran.write("ran\\n")


class BreathModel(PreTrainedModel):
    config_class = BreathConfig
    base_model_prefix = "breath"

    def __init__(self, config):
        super().__init__(config)
        self.frames = torch.nn.Conv1d(1, config.hidden_size, 400, 320)
        self.block = torch.nn.Sequential(torch.nn.Linear(config.hidden_size, config.hidden_size), torch.nn.GELU())
        self.post_init()

    def forward(self, input_values):
        tokens = self.block(self.frames(input_values[:, None]).mT)
        return {answer}
"""
LAYERS = "BaseModelOutput(last_hidden_state=tokens)"


def write_model(folder: Path, marker: Path, answer: str = LAYERS) -> Path:
    """The folder of a tiny random model with classes of its own, which write to ``marker`` when they are imported."""
    import torch
    from safetensors.torch import save_file
    from transformers import Wav2Vec2FeatureExtractor

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "configuration_breath.py").write_text(CONFIGURATION)
    (folder / "modeling_breath.py").write_text(MODELLING.format(marker=str(marker), answer=answer))
    classes = {"AutoConfig": "configuration_breath.BreathConfig", "AutoModel": "modeling_breath.BreathModel"}
    config = {"model_type": "breath", "hidden_size": 8, "num_hidden_layers": 0, "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    draw = torch.Generator().manual_seed(0)
    shapes = {"frames.weight": (8, 1, 400), "frames.bias": (8,), "block.0.weight": (8, 8), "block.0.bias": (8,)}
    tensors = {name: 0.3 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
