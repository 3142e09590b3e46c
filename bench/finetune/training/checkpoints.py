"""What a run leaves on disk while it trains: the state after its last epoch, the chosen weights, every epoch's scores.

Each file is written beside its place and moved there, so a killed run leaves the old file or the new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from bench.base.errors import BadInput
from bench.base.paths import replacing

CHECKPOINT_FORMAT = 1  # raised whenever the files' content changes
STATE, CHOSEN = "state.pt", "chosen.pt"
TRAINING_FOLDER = "training"  # in a results folder: what unfinished runs left, and those whose weights are kept


class RunFolder:
    """The working folder of one run.

    Parameters
    ----------
    path
        Made when something is saved.
    key
        Of the run's record: checkpoints of another run are refused.
    """

    def __init__(self, path: Path, key: str):
        self.path, self.key = path, key

    def save(self, name: str, content: Mapping[str, Any]) -> Path:
        """Save tensors, plain containers and numbers as a torch file; return its path."""
        return self._write(
            name, lambda file: torch.save({"format": CHECKPOINT_FORMAT, "key": self.key, **content}, file)
        )

    def load(self, name: str, device: torch.device | str = "cpu", *, mapped: bool = False) -> dict[str, Any] | None:
        """Load what was saved under a name; None where nothing was.

        Nothing but tensors and plain containers is built. ``mapped``: tensors are read from disk when they are used.

        Raises
        ------
        BadInput
            For a file that is damaged or of another run.
        """
        path = self.path / name
        if not path.exists():
            return None
        try:
            content = torch.load(path, map_location=device, weights_only=True, mmap=mapped)
            own = content["format"] == CHECKPOINT_FORMAT and content["key"] == self.key
        except Exception as error:  # a damaged zip, pickle or tensor: each raises something else
            raise BadInput(path, f"not a readable checkpoint ({error})", f"delete {self.path} and run again") from error
        if not own:
            raise BadInput(path, "a checkpoint of another run or version", f"delete {self.path} and run again")
        return content

    def history(self) -> list[dict[str, Any]]:
        """Load what the run noted of its epochs so far, a dict of each; none where nothing was saved.

        Raises as ``load``.
        """
        content = self.load(STATE, mapped=True)
        return [] if content is None else content["history"]

    def save_scores(self, epoch: int, validation: np.ndarray, test: np.ndarray) -> None:
        """Save the scores (clips, K) that the model of an epoch gave to validation and test clips."""
        self._write(f"epoch-{epoch:04d}.npz", lambda file: np.savez(file, validation=validation, test=test))

    def load_scores(self, epoch: int, side: str) -> np.ndarray:
        """Load an epoch's scores (clips, K) float64 of the ``side`` ``validation`` or ``test``."""
        with np.load(self.path / f"epoch-{epoch:04d}.npz", allow_pickle=False) as file:
            return file[side]

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.path)

    def _write(self, name: str, write: Callable[[BinaryIO], None]) -> Path:
        path = self.path / name
        with replacing(path) as partial, partial.open("wb") as file:
            write(file)
        return path
