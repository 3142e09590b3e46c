"""Sounds that are like those of lungs, and different for every seed."""

import numpy as np
from scipy.signal import butter, sosfilt

RATE = 8000  # Hz


def breathing(seed, seconds=8.0, rate=RATE):
    """Low-pass noise under a breath's swell, with a few tones: lung-like, and different for every seed."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    noise = sosfilt(butter(2, [80, 700], "band", fs=rate, output="sos"), rng.normal(size=len(t)))
    swell = 0.15 + np.sin(np.pi * t / rng.uniform(1.2, 2.0) + rng.uniform(0, 3)) ** 2
    tone = 0.2 * np.sin(2 * np.pi * rng.uniform(150, 400) * t) * (np.sin(t * rng.uniform(0.5, 2)) > 0.6)
    wave = noise * swell + tone
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)
