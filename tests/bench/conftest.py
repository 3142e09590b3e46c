"""A corpus of short clips for every test of fine-tuning."""

import pytest

import bench
from bench import simulate


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A data folder with 96 simulated cycles of half a second, of 24 patients."""
    folder = tmp_path_factory.mktemp("cycles")
    simulate.icbhi(folder / simulate.ICBHI, patients=24, clips=96, cycle_s=0.5, devices=("Litt3200", "Meditron"))
    return folder


@pytest.fixture(scope="session")
def task(corpus):
    return bench.load_task("icbhi.cycles2", corpus)
