"""How short and how long a clip another library's model takes, found by trying: its settings seldom say it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from model_zoo._adapters.foreign import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

STEP_S, DOUBLINGS = 0.1, 11  # of the noise by which the longest clip is measured: up to 205 s
GRAIN = 100  # parts of a second to which a limit is rounded down behind which the crop is random, and a shortest up
SHORTEST_S, LONGER = 0.1, 8  # tried first, enough for the convolutions and the frames of most; doublings: up to 12.8 s


def shortest_clip(tokens: Callable[[Tensor], int], rate: int) -> int:
    """The samples of the shortest clip, from ``SHORTEST_S`` on, of which a model makes a token, found by trying.

    ``tokens`` gives the number of tokens of wave (1, samples), and raises for a clip that is too short. A longer one is
    found to a hundredth of a second, taking it that whatever is longer still will do. Raises what ``tokens`` raises
    where even 12.8 s are too short.
    """
    import torch

    step = round(SHORTEST_S * rate)
    noise = 0.1 * torch.randn(1, step << LONGER - 1, generator=torch.Generator().manual_seed(0))

    def enough(n: int) -> bool:
        try:
            return tokens(noise[:, :n]) > 0
        except FAULTS:
            return False

    lengths = [step << doubling for doubling in range(LONGER)]
    fits = next((n for n in lengths if enough(n)), None)
    if fits is None:
        tokens(noise)
        raise ValueError(f"gives no tokens of clips of {noise.shape[1] / rate:.3g} s")
    lacks = 0 if fits == step else fits // 2
    while lacks and fits - lacks > max(1, rate // GRAIN):
        middle = (fits + lacks) // 2
        fits, lacks = (middle, lacks) if enough(middle) else (fits, middle)
    return fits


def longest_clip(features: Callable[[Tensor], Mapping[str, Tensor]], rate: int) -> int | None:
    """The samples that a feature extractor takes of a longer clip, found by trying; None where it takes all of it.

    ``features`` maps wave (1, samples) to arrays. A clip is too long where it gives what it gives without its end
    (and so do clips of twice and four times the limit), or something else at every call. What differs at every call of
    the shortest clip too is noise that the extractor adds, not a crop; whether it also crops at random is then not
    seen. Limits of more than 200 s are not found, nor those of an extractor that refuses clips of twice the limit.
    """
    import numpy as np
    import torch

    step = round(STEP_S * rate)
    noise = 0.1 * torch.randn(1, step << DOUBLINGS, generator=torch.Generator().manual_seed(0))

    def answer(n: int, seed: int = 0, start: int = 0) -> Mapping[str, Tensor]:
        copies = -(-(start + n) // noise.shape[1])
        wave = (noise.repeat(1, copies) if copies > 1 else noise)[:, start : start + n]
        state = np.random.get_state()  # extractors draw from numpy's global generator
        np.random.seed(seed)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                return features(wave)
        finally:
            np.random.set_state(state)

    def alike(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
        return a.keys() == b.keys() and all(torch.equal(array, b[name]) for name, array in a.items())

    def at_random(n: int) -> bool:
        first = answer(n)  # with one seed, random crops of two lengths may start alike
        return not all(alike(first, answer(n, seed)) for seed in (1, 2))

    def without_its_end(n: int) -> bool:
        """Whether the end changes nothing, though the rest does, as it would not before a first window is complete."""
        return alike(answer(n), answer(n - step)) and not alike(answer(n), answer(n, start=step))

    def gives(cropped: Mapping[str, Tensor], n: int) -> bool:
        return alike(answer(n), cropped)

    def crops(limit: int) -> bool:
        """Whether the limit holds far beyond it, as it does not where incomplete windows are dropped."""
        cropped = answer(limit)
        if not gives(cropped, 2 * limit):
            return False
        try:
            return gives(cropped, 4 * limit)
        except FAULTS:  # it may refuse what is longer still
            return True

    def first_too_long(fits: int, over: int, too_long: Callable[[int], bool]) -> int:
        while over - fits > 1:
            middle = (fits + over) // 2
            fits, over = (fits, middle) if too_long(middle) else (middle, over)
        return over

    try:
        noisy = at_random(step)
        for over in (step << doubling for doubling in range(1, DOUBLINGS + 1)):
            if not noisy and at_random(over):
                fits = first_too_long(over // 2, over, at_random) - 1
                return fits * GRAIN // rate * rate // GRAIN
            if without_its_end(over):
                fits = max(over // 2 - step, step - 1)  # what is cropped by less than a step has not been noticed
                limit = first_too_long(fits, over, partial(gives, answer(over)))
                if crops(limit):
                    return limit
    except FAULTS:  # it refuses a clip, so that no crop goes unnoticed
        return None
    return None
