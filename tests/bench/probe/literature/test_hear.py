import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from bench.probe.literature.hear import DROPOUT, HYPERPARAMETER_GRID, HearProbe, MlpReplica, drawn_points
from bench.probe.literature.shared.loop import seeded_generator


class Dropout(torch.nn.Module):
    """Drops what a generator says, so that two networks can drop the same."""

    def __init__(self, drawn):
        super().__init__()
        self.drawn = drawn

    def forward(self, x):
        kept = torch.rand((1, *x.shape), generator=self.drawn)[0] >= DROPOUT if self.training else 1
        return x * kept / (1 - DROPOUT) if self.training else x


def twin(stack, drawn):
    """The same network from torch.nn."""
    modules, given = [], [p.detach()[0] for p in stack.parameters]
    for i in range(len(given) // 4):
        weight, bias, scale, shift = given[4 * i : 4 * i + 4]
        modules += [torch.nn.Linear(*weight.shape), torch.nn.BatchNorm1d(weight.shape[1]), Dropout(drawn)]
        modules.append(torch.nn.ReLU())
        fill(modules[-4], weight, bias)
        fill(modules[-3], scale[0], shift)
    modules.append(torch.nn.Linear(*given[-2].shape))
    fill(modules[-1], given[-2], given[-1])
    return torch.nn.Sequential(*modules)


def fill(module, weight, bias):
    with torch.no_grad():
        module.weight.copy_(weight.t())
        module.bias.copy_(bias[0])


@pytest.mark.long
@pytest.mark.parametrize("hidden", [1, 2])
def test_a_network_trains_as_one_of_torch(hidden):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6))
    y = (X[:, 0] + 0.5 * rng.normal(size=90) > 0).astype(int)
    validation = np.arange(90) % 3 == 0
    probe = HearProbe("multiclass", 2, "accuracy", hidden=16, epochs=30)
    probe.fit(X, y, np.arange(90).astype(str), validation)
    i, point = next((i, p) for i, p in enumerate(drawn_points(42)) if p["hidden_layers"] == hidden)

    drawn = seeded_generator("literature/hear", 42, i)
    stack = MlpReplica([6, *[16] * hidden, 2], point["initialization"], drawn)
    model = twin(stack, drawn)
    optimiser = torch.optim.Adam(model.parameters(), lr=point["lr"])
    x, target = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(y)
    scores = {}
    for epoch in range(1, 31):
        model.train()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x[~validation]), target[~validation]).backward()
        optimiser.step()
        model.eval()
        if epoch % 3 == 0:
            scores[epoch] = accuracy_score(y[validation], model(x[validation]).argmax(1))
    best = max(scores, key=scores.get)
    candidate = probe.path_[i]
    assert {name: candidate[name] for name in HYPERPARAMETER_GRID} == point
    assert (candidate["epoch"], candidate["score"]) == (best, pytest.approx(scores[best]))


def test_evaluation_uses_the_running_statistics():
    drawn = seeded_generator("hear")
    stack = MlpReplica([5, 7, 7, 3], "xavier_normal", drawn)
    model = twin(stack, drawn)
    x = 3 * torch.randn(1, 50, 5, generator=drawn) + 1
    for _ in range(3):
        state = drawn.get_state()
        ours = stack.logits(x, training=True)
        drawn.set_state(state)
        torch.testing.assert_close(ours[0], model(x[0]), rtol=1e-4, atol=1e-5)
    model.eval()
    torch.testing.assert_close(stack.logits(x)[0], model(x[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stack.replica(0).logits(x), stack.logits(x))


def test_initial_weights_have_the_spread_of_xavier():
    for name, bound in (("xavier_uniform", np.sqrt(6 / 300)), ("xavier_normal", np.inf)):
        weight = MlpReplica([200, 100, 2], name, seeded_generator(name)).parameters[0]
        # 5 standard errors at most: 1 / sqrt(2 n) of n = 20,000 weights
        assert weight.std().item() == pytest.approx(np.sqrt(2 / 300), rel=0.025) and weight.abs().max() < bound


def test_points_are_distinct_and_the_seeds_own():
    points = drawn_points(42)
    assert len(points) == 8 == len({tuple(point.values()) for point in points})
    assert drawn_points(42) == points != drawn_points(43)
    assert all(point[name] in values for point in points for name, values in HYPERPARAMETER_GRID.items())
