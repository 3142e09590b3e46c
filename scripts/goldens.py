"""Writes the compact fixtures in tests/golden from the complete ones: python scripts/goldens.py COMPLETE

Left out: the encoders whose licence forbids passing arrays on, weight files under their own release (EfficientAT),
constants that no adapter reads (kernels of a Fourier transform), and long arrays of all but the shortest signal.
"""

import re
import shutil
import sys
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parent.parent / "tests" / "golden"
LEFT_OUT = re.compile(r"m2d_.*|byola|matpac|efficientat_.*")
UNREAD = re.compile(r".*spectrogram_extractor\..*|.*\.student\..*")
COPIED = ("manifest.json", "manifest_full.json", "skeleton*.pt", "bn.npz", "bn_full.npz", "golden_posembed.npz")
LONG = 128 * 1024  # bytes


def compact(source: Path, target: Path) -> None:
    """One fixture's compact copy."""
    target.mkdir(parents=True, exist_ok=True)
    for path in (path for name in COPIED for path in source.glob(name)):
        shutil.copyfile(path, target / path.name)
    constants = {key: value for key, value in np.load(source / "keep.npz").items() if not UNREAD.fullmatch(key)}
    np.savez_compressed(target / "keep.npz", **constants)
    arrays = dict(np.load(source / "golden.npz"))
    chosen: dict[str, str] = {}  # of each kind of array, the smallest that is not empty
    for key, value in sorted(arrays.items(), key=lambda item: item[1].nbytes):
        if value.size:
            chosen.setdefault(key.partition("/")[2], key)
    arrays = {k: v for k, v in arrays.items() if v.nbytes <= LONG or k in chosen.values()}
    np.savez_compressed(target / "golden.npz", **arrays)


def main(complete: Path) -> None:
    """Every fixture that may be passed on."""
    for source in sorted(path.parent for path in complete.glob("*/skeleton.pt")):
        if not LEFT_OUT.fullmatch(source.name):
            compact(source, TARGET / source.name)
    total = sum(path.stat().st_size for path in TARGET.rglob("*") if path.is_file())
    print(f"{TARGET}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
