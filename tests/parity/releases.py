"""What released files hold beside a network: checkpoints of fixtures, which leave it out, are written with it.

The kinds are what the authors' training code saves, or what is known of the file; the values are made up.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch


def _optimizer(rate: float) -> dict:
    moments = {"step": 3, "exp_avg": torch.ones(2), "exp_avg_sq": torch.ones(2)}
    return {"state": {0: moments}, "param_groups": [{"lr": rate, "betas": (0.9, 0.999), "params": [0]}]}


def _panns() -> dict:
    """The state of ``BalancedTrainSampler`` (audioset_tagging_cnn, utils/data_generator.py), which files of both rates
    hold: public code that reads them safely allows arrays of 64-bit integers."""
    indexes = [np.array([4, 0, 2]), np.array([], np.int64), np.array([1])]
    return {"sampler": {"indexes_per_class": indexes, "queue": [2, 0], "pointers_of_classes": [1, 0, 0]}}


def _masked_autoencoder() -> dict:
    """``save_model`` of MAE (AudioMAE, util/misc.py), which Masked Modeling Duo uses too."""
    args = argparse.Namespace(lr=2e-4, epochs=32, norm_stats=None, input_size=[80, 608], distributed=True)
    return {"optimizer": _optimizer(2e-4), "epoch": 31, "scaler": {"scale": 65536.0}, "args": args}


def _lightning(rate: float = 1e-4) -> dict:
    """``dump_checkpoint`` of Lightning since 1.5, which names callbacks by strings."""
    kept = {"monitor": "valid_loss", "best_model_score": torch.tensor(0.5), "best_k_models": {"a.ckpt": torch.ones(())}}
    return {
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'valid_loss', 'mode': 'min'}": kept},
        "optimizer_states": [_optimizer(rate)],
        "lr_schedulers": [],
    }


def _atst() -> dict:
    """Its ``schedule`` takes learning rates and decays from arrays (audiossl, methods/atstframe/model.py)."""
    return _lightning(np.float64(3e-4))


def _laion() -> dict:
    """Its ``cosine_lr`` computes learning rates with numpy (src/laion_clap/training/scheduler.py)."""
    return {"optimizer": _optimizer(np.float64(1e-4)), "scaler": {"scale": 65536.0, "_growth_tracker": 3}}


# {fixture, with "_" and a form where that is meant: what stands beside the network}
BESIDE: dict[str, Callable[[], dict]] = {
    "cnn14_16k": _panns,
    "audiomae": _masked_autoencoder,
    "m2d_80x200p16x4": _masked_autoencoder,
    "m2d_80x608p16x16": _masked_autoencoder,
    "opera_ct": _lightning,
    "opera_ce": _lightning,
    "opera_gt": _lightning,
    "htsat": _lightning,
    "atst_frame": _atst,
    "atst_clip_lightning": _atst,
    "laion_clap": _laion,
}
