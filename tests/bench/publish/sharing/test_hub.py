import dataclasses

import pytest
import yaml

from bench.base.errors import BadInput
from bench.cli.main import main
from bench.publish.sharing.hub import export_hub
from bench.scores import records


@pytest.fixture
def found(results):
    """The records, the probe's as if an encoder and not a control had made it, under two poolings."""
    loaded = records.load_all(results)
    record = next(each for each in loaded if each.spec["encoder"] == "meta.duration")
    rows = []
    for pooling in ("mean", "max"):
        spec = record.spec | {"encoder": "my.encoder", "pooling": pooling}
        rows.append(dataclasses.replace(record, spec=spec, key=records.key(spec)))
    return [*loaded, *rows]


def test_every_row_has_a_file_with_an_entry_per_test(found, tmp_path):
    written, told = export_hub(found, tmp_path, "ann/bench", "https://example.org/board")
    names = [path.relative_to(tmp_path).as_posix() for path in written]
    assert names == [f"my.encoder/.eval_results/icbhi.cycles4%2B{p}.yaml".replace("%2B", "+") for p in ("max", "mean")]
    assert "control.majority" in told[0] and "meta.duration" in told[0]
    first, second = yaml.safe_load(written[0].read_text())
    score = found[-1].scores["corrected"]["icbhi.Score"]
    assert first["value"] == pytest.approx(100 * score["value"], abs=0.005)  # two decimals
    assert first["dataset"] == {"id": "ann/bench", "task_id": "icbhi_cycles4_corrected"}
    assert second["dataset"]["task_id"] == "icbhi_cycles4_official"
    assert first["source"] == {"url": "https://example.org/board", "name": "RespBench"}
    assert "pooling max" in first["notes"] and "simulated" in first["notes"] and found[-1].key in first["notes"]


def test_the_hub_s_own_reader_takes_it(found, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    if not hasattr(hub, "parse_eval_result_entries"):
        pytest.skip("this version of huggingface_hub does not read evaluation results")
    written, _ = export_hub(found[:-1], tmp_path, "ann/bench")
    assert [path.name for path in written] == ["icbhi.cycles4.yaml"]
    entries = hub.parse_eval_result_entries(yaml.safe_load(written[0].read_text()))
    assert [entry.task_id for entry in entries] == ["icbhi_cycles4_corrected", "icbhi_cycles4_official"]


def test_what_cannot_be_exported_is_told(found, results, tmp_path, capsys):
    for dataset, source in (("bench", ""), ("a/b/c", ""), ("a/b", "example.org")):
        with pytest.raises(BadInput, match="--"):
            export_hub(found, tmp_path, dataset, source)
    assert main(["export", str(results), "--format", "hub", "--dataset", "a/b", "--out", str(tmp_path / "x")]) == 1
    assert "no rows but controls" in capsys.readouterr().err
