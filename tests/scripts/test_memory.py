import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "memory.py"


@pytest.fixture(scope="module")
def memory():
    spec = importlib.util.spec_from_file_location("benchmark_of_memory", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def steps(table, peak, workers):
    """A corpus whose table takes ``table`` MB, in a process that held 100 MB before it."""
    held = {"held": 100.0 + table, "peak": 100.0 + table}
    return {
        "imports": {"held": 100.0, "peak": 100.0},
        "load_task": held,
        "prepare": held | {"rows": table / 2},
        "encode": {"held": peak, "peak": peak, "workers": workers},
        "gather": {"held": peak, "peak": peak, "features": 0.0},
    }


def test_the_table_is_no_growth_of_encoding(memory):
    few, many = memory.CLIPS
    threads = {few: steps(10, 210, 0), many: steps(59, 259, 0)}
    processes = {few: steps(10, 210, 300), many: steps(59, 259, 350)}
    lines, growth = memory.page({"threading": threads, "loky": processes})
    assert growth == {"threading": pytest.approx(0), "loky": pytest.approx(0.1)}
    text = "\n".join(lines)
    assert "+0.0 %" in text and "+10.0 %" in text
    assert f"{49e6 / (many - few):,.0f}" in text  # bytes a clip of the table


def test_a_corpus_has_as_many_clips_as_it_says(memory, tmp_path):
    table = memory.make(tmp_path / "corpus", 2 * memory.CLIPS_OF_A_RECORDING)
    assert len(table.read_text().splitlines()) == 1 + 2 * memory.CLIPS_OF_A_RECORDING
    assert len(list(table.parent.glob("*.wav"))) == 2
    assert all(clips % memory.CLIPS_OF_A_RECORDING == 0 for clips in memory.CLIPS)
