"""A results folder that the tests of agreement change copies of."""

import pytest

from bench.cli.main import main


@pytest.fixture(scope="module")
def made(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    command = ["run", "--task", "icbhi.cycles4", "--encoder", "meta.duration", "--root", str(simulated), "--out"]
    assert main([*command, str(folder)]) == 0
    return folder
