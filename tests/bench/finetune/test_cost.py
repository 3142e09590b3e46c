import torch

from bench.finetune import estimate
from bench.finetune.cost import Estimate
from toy_finetune import recipe, tiny


def test_an_estimate_counts_and_times_and_changes_nothing(task):
    encoder = tiny()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    found = estimate(encoder, task, recipe(epochs=4))
    train, test = (int((task.manifest["split"] == side).sum()) for side in ("train", "test"))
    assert found.clips + found.predicted == train + test and found.predicted > test
    assert (found.epochs, found.batches, found.steps) == (4, found.clips // 8, -(-(found.clips // 8) // 2))
    assert found.parameters == sum(p.numel() for p in encoder.parameters()) + 8 * 2 + 2
    assert found.train_s > 0 and found.predict_s > 0 and found.memory_mb > 10
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_what_it_says_adds_up():
    found = Estimate(10, 20, 8, 100.0, 25.0, 1_500_000, 900.0, 640, 300, "cpu")
    assert found.wall_s == 1000.0 and found.device_hours == 1000 / 3600
    text = found.text(seeds=3)
    assert "16.7 min x 3 seeds = 50.0 min" in text and "0.833 device-hours" in text and "1.50 M" in text
    assert "seeds" not in found.text()
