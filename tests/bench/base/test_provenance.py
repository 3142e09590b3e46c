import subprocess
import sys

import torch

from bench.base import provenance

CONTROL = """
import sys
from bench.base import provenance
facts = provenance.arithmetic()
assert "torch" not in sys.modules
assert {"processor", "os", "cores", "blas of numpy and scipy"} <= facts.keys(), facts
assert "instructions" not in facts
"""


def test_arithmetic_says_what_rounding_depends_on(monkeypatch):
    for name in provenance.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    facts = provenance.arithmetic()
    assert facts["MKL_CBWR"] == "COMPATIBLE" and "ATEN_CPU_CAPABILITY" not in facts
    assert facts["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert provenance.processor() in facts["processor"]
    assert facts["threads"] == str(torch.get_num_threads())
    assert all(isinstance(value, str) and value for value in facts.values())


def test_torch_is_not_loaded_for_what_did_not_use_it():
    subprocess.run([sys.executable, "-c", CONTROL], check=True)


def test_the_stamp_of_a_run_holds_it():
    assert provenance.stamp("cpu", 1.0)["arithmetic"] == provenance.arithmetic()
