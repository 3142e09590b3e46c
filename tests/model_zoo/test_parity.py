import numpy as np
import pytest

from parity import build, cases, differences
from parity.golden import COMPACT, Golden

CASES = {str(case): case for case in cases()}


@pytest.fixture
def fixture_of(request):
    """The complete fixtures where they are at hand, else the compact ones."""

    def find(case) -> Golden:
        if not (COMPACT / case.fixture).is_dir():
            return Golden(request.getfixturevalue("golden"), case.fixture)
        return Golden(COMPACT, case.fixture)

    return find


@pytest.mark.parametrize("name", CASES)
def test_equals_the_original(name, fixture_of, tmp_path):
    case, fixture = CASES[name], fixture_of(CASES[name])
    far = [d for d in differences(case, fixture, build(case, fixture.checkpoint(tmp_path))) if d.share > 1]
    assert not far, far


@pytest.mark.parametrize("name", [name for name in CASES if "@" not in name])
def test_full_size_checkpoint_loads_strictly(name, fixture_of, tmp_path):
    case, fixture = CASES[name], fixture_of(CASES[name])
    if not fixture.has_full:
        pytest.skip("the full-size network's tensors are not listed")
    encoder = build(case, fixture.full(tmp_path, case.constants))
    parameters = {name: p.numel() for name, p in encoder.named_parameters()}
    assert sum(parameters.values()) == encoder.card.params
    listed = sum(int(np.prod(shape)) for _, shape, _, _ in fixture.manifest("manifest_full.json"))
    assert encoder.card.params <= listed
