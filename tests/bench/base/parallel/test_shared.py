import pickle
import subprocess
import sys

import pytest

from bench.base.errors import BadInput
from bench.base.parallel import locks, shared
from bench.base.parallel.shared import Shared
from bench.encoders.load import load_encoder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path))
    return tmp_path / "shared"


def test_others_get_a_copy_from_a_file_that_is_locked_until_it_is_removed(folder):
    mine = Shared({"weights": [1, 2]})
    assert not folder.exists()
    other = pickle.loads(pickle.dumps(mine))
    (path,) = folder.glob("*.pickle")
    assert other.value == {"weights": [1, 2]} and other.value is not mine.value
    assert locks.held(shared.lock_of(path)) and path.stat().st_mode & 0o077 == 0
    del other
    assert locks.held(shared.lock_of(path))
    mine.remove()
    assert not list(folder.iterdir())


def test_a_file_that_was_changed_is_not_loaded(folder):
    mine = Shared("value")
    other = pickle.loads(pickle.dumps(mine))
    (path,) = folder.glob("*.pickle")
    path.write_bytes(b"another")
    with pytest.raises(BadInput, match="is not what was written"):
        _ = other.value
    mine.remove()


@pytest.mark.long
def test_a_network_of_transformers_reaches_another_process(folder, tmp_path):
    """torchaudio may have to be mended there before transformers imports it."""
    mine = Shared(load_encoder("random.whisper.base@short"))
    (tmp_path / "unit").write_bytes(pickle.dumps(mine))
    other = "import pickle, sys; print(type(pickle.load(open(sys.argv[1], 'rb')).value).__name__)"
    done = subprocess.run([sys.executable, "-c", other, str(tmp_path / "unit")], capture_output=True, text=True)
    assert done.stdout == "Twin\n", done.stderr
    mine.remove()
