import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bench.finetune.training import memory

FAULTS = """
import resource, torch
from bench.finetune.training import memory
{}
def faults(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        torch.ones(16 << 20)  # 64 MB in 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(40)  # remainders grow together
print(faults(4))
"""


def faults(first):
    root = Path(__file__).parents[4]
    ran = subprocess.run([sys.executable, "-c", FAULTS.format(first)], cwd=root, capture_output=True, text=True)
    assert not ran.stderr
    return int(ran.stdout)


@pytest.mark.long
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_blocks_are_handed_out_again_without_the_kernel():
    assert faults("assert memory.keep_freed_memory()") < 1000
    assert faults("") > 10 * 1000


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed_memory() is False
