"""Fine-tuning: encoder, head and method trained together, with predictions kept after every epoch.

The names below are imported when first used, so that importing the package does not import torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "Fit": "bench.finetune.fitting",
    "fit": "bench.finetune.fitting",
    "Estimate": "bench.finetune.cost",
    "estimate": "bench.finetune.cost",
    "Recipe": "bench.finetune.recipe",
    "load_recipe": "bench.finetune.recipe",
    "recipe_of": "bench.finetune.recipe",
    "TrainingDiverged": "bench.finetune.training.loop",
}
__all__ = ["Estimate", "Fit", "Recipe", "TrainingDiverged", "estimate", "fit", "load_recipe", "recipe_of"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bench.finetune' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
