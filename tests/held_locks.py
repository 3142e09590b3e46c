"""A lock that another process holds."""

import subprocess
import sys
from contextlib import contextmanager

HOLD = """import sys, filelock
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print('held', flush=True)
sys.stdin.read()"""


@contextmanager
def held(path):
    """Another process has the lock until the block ends, when it is killed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, path], **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        yield
        other.kill()
