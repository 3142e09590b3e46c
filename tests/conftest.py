"""Fixtures shared by every test: an isolated cache, and the real recordings where they are at hand."""

import os
from pathlib import Path

import pytest


def _absent(what: str) -> None:
    """Skip, or fail where the environment promises that recordings are present."""
    if os.environ.get("RESPBENCH_REQUIRE_DATA") == "1":
        pytest.fail(f"{what}, although RESPBENCH_REQUIRE_DATA=1")
    pytest.skip(f"{what}: set RESPBENCH_DATA to the folder that holds the corpora")


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory):
    """No test reads or fills the user's cache; tests share one of their own, which is content-addressed."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RESPBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """A data folder with small simulated ICBHI and SPRSound corpora."""
    from bench import simulate

    folder = tmp_path_factory.mktemp("simulated")
    simulate.corpora(folder, seed=0, size="small")
    return folder


@pytest.fixture
def real_data() -> Path:
    """The folder of real recordings."""
    root = Path(os.environ.get("RESPBENCH_DATA") or "data")
    if not root.is_dir():
        _absent("no real recordings at hand")
    return root


@pytest.fixture
def golden(real_data) -> Path:
    """Arrays made with the original implementations, kept beside the recordings and never in the repository."""
    folder = real_data.resolve().parent / "golden"
    if not folder.is_dir():
        _absent("no golden fixtures beside the recordings")
    return folder
