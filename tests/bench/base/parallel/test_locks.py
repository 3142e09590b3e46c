import errno

import pytest
from filelock import FileLock

from bench.base.parallel import locks
from held_locks import held


def test_a_lock_is_its_process_s_and_ends_with_it(tmp_path):
    path = tmp_path / "a.lock"
    assert not locks.held(path) and not path.exists()
    with held(path):
        assert locks.held(path)
        with locks.alone(path) as free:
            assert not free
    assert path.exists() and not locks.held(path)
    with locks.alone(path) as free:
        assert free and locks.held(path)
    assert not locks.held(path)


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")])
def test_without_locks_work_goes_on_and_nothing_is_taken_for_free(tmp_path, monkeypatch, error):
    def refuse(self, *args, **kwargs):
        raise error

    path = tmp_path / "a.lock"
    path.touch()
    monkeypatch.setattr(FileLock, "acquire", refuse)
    with locks.alone(path) as free:
        assert free
    assert locks.held(path)
