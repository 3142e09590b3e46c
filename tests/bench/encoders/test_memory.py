"""Encoding streams: its peak memory does not depend on the number of clips."""

import json
import os
import subprocess
import sys

import pytest

from bench import simulate


def peak_mb(folder, cache):
    command = [sys.executable, "-m", "bench.cli.main", "encode", "icbhi.cycles4", "--encoder", "fbank.stats", "--json"]
    done = subprocess.run(
        [*command, "--root", str(folder)],
        env=os.environ | {"RESPBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(done.stdout)
    assert facts["encoded"] == facts["clips"]
    return facts["clips"], facts["peak_memory_mb"]


@pytest.mark.slow
def test_ten_times_the_clips_take_no_more_memory(tmp_path):
    few = simulate.clips(tmp_path / "few", 500)
    many = simulate.clips(tmp_path / "many", 5000)
    assert few["corpus"] == many["corpus"]
    small, large = peak_mb(tmp_path / "few", tmp_path / "a"), peak_mb(tmp_path / "many", tmp_path / "b")
    assert (small[0], large[0]) == (500, 5000)
    # the table of clips itself grows by a few hundred bytes a row; features and audio must not
    assert large[1] < small[1] + 15
