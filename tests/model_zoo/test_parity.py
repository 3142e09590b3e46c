import os
from pathlib import Path

import numpy as np
import pytest

from bench.base import registry
from parity import build, cases, differences
from parity.golden import COMPACT, COMPACT_ALONE, Golden, place_of

CASES = {str(case): case for case in cases()}


@pytest.fixture
def fixture_of(request):
    """The complete fixture where it lies beside the recordings, else the compact one in the repository."""

    def find(name: str) -> Golden:
        beside = Path(os.environ.get("RESPBENCH_DATA") or "data").resolve().parent / "golden"
        found = place_of(name, beside if beside.is_dir() else COMPACT)
        return Golden(found or request.getfixturevalue("golden"), name)

    return find


@pytest.mark.parametrize(
    "name", sorted(path.name for path in COMPACT.iterdir() if path.is_dir() and path.name not in COMPACT_ALONE)
)
def test_the_compact_fixtures_are_part_of_the_complete_ones(name, golden):
    complete = Golden(golden, name).arrays
    for key, array in Golden(COMPACT, name).arrays.items():
        np.testing.assert_array_equal(array, complete[key])


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_equals_the_original(name, fixture_of, tmp_path):
    case, fixture = CASES[name], fixture_of(CASES[name].fixture)
    far = [d for d in differences(case, fixture, build(case, case.weights(fixture, tmp_path))) if d.share > 1]
    assert not far, far


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if "@" not in name])
def test_full_size_checkpoint_loads_strictly(name, fixture_of, tmp_path):
    case, fixture = CASES[name], fixture_of(CASES[name].fixture)
    if not fixture.has_full:
        pytest.skip("the full-size network's tensors are not listed")
    encoder = build(case, fixture.full(tmp_path, case.constants))
    parameters = {name: p.numel() for name, p in encoder.named_parameters()}
    assert sum(parameters.values()) == encoder.card.params
    listed = sum(int(np.prod(shape)) for _, shape, _, _ in fixture.manifest("manifest_full.json"))
    assert encoder.card.params <= listed


# Golden without a fixture of their own: other sizes and files of a network that has one, and adapters of a library
# that is itself the reference, compared with it in their own tests.
SAME_NETWORK = {"beats.iter3_ft", "efficientat.mn10", "efficientat.mn20", "dasheng.1_2b", "sslam.base"}
SAME_NETWORK |= {f"ced.{size}" for size in ("tiny", "mini", "small")}
SAME_NETWORK |= {f"beats.iter3_plus_{labels}{run}" for labels in ("as2m", "as20k") for run in ("", "_ft", "_ft2")}
REFERENCE_LIBRARY = {
    "fbank",
    "mfcc",
    "opensmile",
    "whisper",
    "wav2vec2",
    "hubert",
    "wavlm",
    "data2vec",
    "qwen",
    "w2v_bert",
}


def test_golden_is_claimed_exactly_where_it_is_shown():
    shown = {case.encoder for case in CASES.values()}
    claimed = set()
    for card in registry.cards(registry.ENCODERS):
        ids = [card.id, *(f"{card.id}@{policy}" for policy in card.policies[1:])]
        claimed |= {id for id in ids if registry.encoder_card(id).parity == "golden"}
    derived = {
        id for id in claimed if id.partition("@")[0] in SAME_NETWORK or id.partition(".")[0] in REFERENCE_LIBRARY
    }
    assert claimed - derived <= shown
    partly = {"audiomae.base", "vggish.base@opera"}  # one array of theirs is compared, not the whole path
    partly |= {"openl3.env", "openl3.env@hop1"}  # with a port
    assert shown - claimed <= partly
