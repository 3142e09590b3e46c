import sys

import pytest
import torch

import model_zoo
from bench.base import registry
from bench.base.errors import BadInput, CheckpointError, UnknownId
from bench.encoders.check import check_encoders, check_registered

TOY = '''
"""Encoders that are right, wrong, without their package, without weights."""

from bench.types import EncoderCard, Weights

OPEN = "toy.<anything>: an open-ended family"
WEIGHTS = (Weights(file="toy.pt", licence="MIT"),)
BOUND = (Weights(file="bound.pt", licence="evaluation only"),)


def _card(name, weights=()):
    return EncoderCard(
        id=f"toy.{name}", version=1, sample_rate=1000, dims={"mean": 4}, frontend="", citation="", licence="MIT",
        min_s=0.1, weights=weights,
    )


CARDS = (_card("right"), _card("leaky"), _card("absent"), _card("broken"), _card("net", WEIGHTS), _card("bound", BOUND))
OTHERS = tuple(map(_card, ("library", "older", "inner", "odd", "refused"))) + (_card("bare", WEIGHTS),)
CARDS_BY_ID = {each.id: each for each in CARDS + OTHERS}


def card(id):
    return CARDS_BY_ID[id]


def build(card, weights=None):
    import torch

    from bench.types import Grid, Tokens
    from model_zoo._adapters.adapter import Adapter
    from bench.encoders.weights.read import load_tensors
    from model_zoo._adapters.checkpoint import load_strict

    if card.id == "toy.absent":
        import somebodys_package
    if card.id == "toy.library":
        raise OSError("libsomebody.so: cannot open shared object file")
    if card.id == "toy.older":
        from torch import no_such_name
    if card.id == "toy.inner":
        import torch.no_such_module
    if card.id == "toy.odd":
        raise Exception("odd")
    if card.id == "toy.refused":
        from bench.base.errors import BadInput

        raise BadInput(card.id, "has a setting that cannot be", "mend it")
    if card.id == "toy.bare" and weights is None:
        from bench.base.errors import BadInput

        raise BadInput(card.id, "has no untrained form", "leave it out")
    if card.id == "toy.broken":
        raise RuntimeError("shapes do not match")

    class Toy(Adapter):
        def __init__(self):
            super().__init__(card)
            self.norm = torch.nn.BatchNorm1d(100)
            self.linear = torch.nn.Linear(100, 4)

        def batch_length(self, n):
            return -(-n // 100) * 100

        def encode(self, wave, length):
            frames = self.norm(wave.unflatten(1, (-1, 100)).transpose(1, 2)).transpose(1, 2)
            if card.id == "toy.leaky":
                frames = frames / (wave.std() + 1e-3)
            hidden = self.linear(frames)[:, :, None]
            return Tokens((Grid(hidden, torch.full_like(length, hidden.shape[1]), 0.1, "frames"),))

    toy = Toy()
    if weights:
        load_strict(toy, load_tensors(weights), where=weights)
    return toy.eval()
'''


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """The family ``toy`` alone, and an empty folder of weights."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "toy.py").write_text(TOY)
    monkeypatch.setattr(model_zoo, "__path__", [*model_zoo.__path__, str(tmp_path / "zoo")])
    registry.families.cache_clear()
    module = registry.family(registry.ENCODERS, "toy.right")
    monkeypatch.setattr(registry, "cards", lambda package: list(module.CARDS))
    monkeypatch.setattr(registry, "open_ended", lambda: [module.OPEN])
    (tmp_path / "weights").mkdir()
    for name, place in (("RESPBENCH_WEIGHTS", "weights"), ("RESPBENCH_CACHE", "cache")):
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.delenv("RESPBENCH_ACCEPT_LICENCE", raising=False)
    yield tmp_path / "weights"
    registry.families.cache_clear()
    sys.modules.pop("model_zoo.toy", None)
    del model_zoo.toy


def _state(id):
    return registry.family(registry.ENCODERS, id).build(registry.encoder_card(id)).state_dict()


def test_every_encoder_gets_a_verdict_and_none_is_left_out(toys):
    torch.save(_state("toy.bound"), toys / "bound.pt")
    at_once = []
    rows = {row["id"]: row for row in check_encoders(found=at_once.append)}
    assert at_once == [row for id, row in rows.items() if "<" not in id]
    assert {id: (row["verdict"], row["weights"]) for id, row in rows.items()} == {
        "toy.right": ("holds", "none needed"),
        "toy.leaky": ("violated", "none needed"),
        "toy.absent": ("not checked", ""),
        "toy.broken": ("violated", ""),
        "toy.net": ("holds", "untrained"),
        "toy.bound": ("holds", "untrained"),
        "toy.<anything>": ("not checked", ""),
    }
    assert rows["toy.leaky"]["invariance"] > 1e-4 > rows["toy.right"]["invariance"] >= 0
    assert "batch mates" in rows["toy.leaky"]["problems"][0]
    assert "somebodys_package" in rows["toy.absent"]["why"]
    assert "RuntimeError: shapes do not match" in rows["toy.broken"]["problems"][0]
    assert rows["toy.net"]["why"] == "no toy.pt at hand"
    assert "--accept-licence" in rows["toy.bound"]["why"]


@pytest.mark.parametrize(
    ("id", "verdict", "told"),
    [
        ("toy.library", "violated", "OSError: libsomebody.so"),
        ("toy.older", "violated", "ImportError: cannot import name 'no_such_name'"),
        ("toy.inner", "violated", "ModuleNotFoundError: No module named 'torch.no_such_module'"),
        ("toy.odd", "violated", "Exception: odd"),
        ("toy.refused", "violated", "has a setting that cannot be; mend it"),
        ("toy.absent", "not checked", "No module named 'somebodys_package'"),
        ("toy.bare", "not checked", "no toy.pt at hand, and it has no untrained form"),
    ],
)
def test_what_keeps_an_encoder_from_being_built_is_a_failure_unless_something_is_not_there(toys, id, verdict, told):
    row = check_registered(id)
    assert row["verdict"] == verdict
    assert told in "".join([row["why"], *row["problems"]])


def test_a_device_that_is_not_there_is_no_encoders_fault(toys):
    with pytest.raises(BadInput, match="device nowhere"):
        check_registered("toy.right", device="nowhere")


def test_weights_at_hand_are_what_is_checked(toys):
    torch.save(_state("toy.net"), toys / "toy.pt")
    assert check_registered("toy.net")["weights"] == "released"
    (toys / "toy.pt").write_bytes(b"<html>")
    row = check_registered("toy.net")
    assert row["verdict"] == "violated" and "web page" in row["problems"][0]


def test_a_checkpoint_may_be_given(toys, tmp_path):
    torch.save(_state("toy.net"), tmp_path / "mine.pt")
    assert check_registered("toy.net", tmp_path / "mine.pt")["weights"] == "given"
    torch.save({}, tmp_path / "mine.pt")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        check_registered("toy.net", tmp_path / "mine.pt")
    with pytest.raises(BadInput, match="takes no weights"):
        check_registered("toy.right", tmp_path / "mine.pt")
    with pytest.raises(UnknownId):
        check_registered("toy.nothing")


@pytest.mark.long
@pytest.mark.paths
@pytest.mark.parametrize("id", ["opera.ce", "efficientat.mn10"])
def test_statistics_of_the_clips_do_not_enlarge_rounding_until_it_looks_like_a_leak(id):
    row = check_registered(f"random.{id}")
    assert row["verdict"] == "holds" and row["invariance"] < 5e-5  # with clips that are alike, 2.4e-4 of opera.ce
