"""The batched Kaldi filter bank against a loop over torchaudio's: python scripts/benchmarks/frontend.py

32 clips of 8 s on two threads; noise, and noise without any energy above 2 kHz, where the upper bands hold nothing but
rounding errors and only the same rounding gives the same logarithm. Prints time, ratio, largest difference against
the gate, and where the time goes. Exit status 1 when the ratio is below 2 or a difference beyond the gate.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from bench.base.optional_imports import import_torchaudio
from model_zoo._adapters.frontend import KaldiFbank

CLIPS, SECONDS, RATE, THREADS, REPEATS = 32, 8, 16000, 2, 9
GATE, WANTED = 2e-4, 2.0
SETTINGS = {"BEATs": ("povey", 2.0**15), "AST": ("hanning", 1.0)}


def signals() -> dict[str, torch.Tensor]:
    """{name: (CLIPS, samples)}."""
    rng, n = np.random.default_rng(0), SECONDS * RATE
    noise = 0.1 * rng.standard_normal((CLIPS, n))
    spectrum = np.fft.rfft(noise)
    spectrum[:, np.fft.rfftfreq(n, 1 / RATE) > 2000] = 0
    arrays = {"noise": noise, "nothing above 2 kHz": np.fft.irfft(spectrum, n)}
    return {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}


def loop(waves: torch.Tensor, window: str, scale: float) -> torch.Tensor:
    """torchaudio, clip by clip."""
    from torchaudio.compliance import kaldi

    options = {"htk_compat": True, "use_energy": False, "num_mel_bins": 128, "dither": 0.0, "sample_frequency": RATE}
    return torch.stack([kaldi.fbank((wave * scale)[None], window_type=window, **options) for wave in waves])


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def limits() -> list[tuple[str, float]]:
    """Milliseconds of the parts that any implementation with this rounding needs, alone on prepared buffers."""
    frames = CLIPS * (1 + (SECONDS * RATE - 400) // 160)
    padded, spectrum = torch.randn(frames // CLIPS, 512), torch.empty(frames // CLIPS, 257, dtype=torch.complex64)
    inside, delayed, window = padded[:, :400], torch.empty(frames // CLIPS, 399), torch.rand(400)
    power, mel = torch.rand(frames // CLIPS, 514), torch.rand(514, 32)
    bands = torch.rand(frames // CLIPS, 128)

    def emphasis() -> None:
        torch.mul(inside[:, :-1], 0.97, out=delayed)
        inside[:, 1:].sub_(delayed)
        inside.mul_(window)

    parts = {
        "mean removal": lambda: torch.sub(inside, inside.mean(dim=1, keepdim=True), out=torch.empty_like(inside)),
        "pre-emphasis and window": emphasis,
        "Fourier transform": lambda: torch.fft.rfft(padded, out=spectrum),
        "squares": power.square,
        "mel matrix, all bins once": lambda: power @ mel,
        "logarithm": bands.log,
    }
    return [(name, 1000 * CLIPS * fastest(part)) for name, part in parts.items()]


def main() -> int:
    import_torchaudio()
    torch.set_num_threads(THREADS)
    held = True
    for name, (window, scale) in SETTINGS.items():
        fbank = KaldiFbank(RATE, 128, window, scale)
        for kind, waves in signals().items():
            gap = float((fbank(waves) - loop(waves, window, scale)).abs().max())
            slow, fast = fastest(lambda: loop(waves, window, scale)), fastest(lambda: fbank(waves))  # noqa: B023
            held &= slow / fast >= WANTED and gap <= GATE
            print(
                f"{name} front end, {kind}: loop {1000 * slow:.1f} ms, batched {1000 * fast:.1f} ms, "
                f"{slow / fast:.2f} times; largest difference {gap:.1e} (gate {GATE:g})"
            )
    print("what is left, measured part by part (ms):")
    for name, milliseconds in limits():
        print(f"  {name}: {milliseconds:.1f}")
    print("Each part reads and writes every frame once; fusing them would round differently, which shows above 2 kHz.")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
