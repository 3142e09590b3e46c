"""A results folder with one probe and two controls, and its submission."""

import shutil

import pytest

from bench.cli.main import main
from bench.publish.sharing.pack import submit


@pytest.fixture(scope="session")
def made(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    command = ["run", "--task", "icbhi.cycles4", "--encoder", "meta.duration", "--root", str(simulated), "--out"]
    assert main([*command, str(folder)]) == 0
    return folder


@pytest.fixture
def results(made, tmp_path):
    return shutil.copytree(made, tmp_path / "results")


@pytest.fixture
def submission(results, tmp_path):
    return submit(results, tmp_path / "s.zip", "Ann", "ann@example.org").file
