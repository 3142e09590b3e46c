import dataclasses

import pytest
import torch

from bench.base import registry
from bench.cli.machine import doctor
from bench.encoders.weights import find


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESPBENCH_DATA", raising=False)
    return tmp_path


def test_weights_are_reported_with_how_their_digest_is_known(weights):
    card = registry.encoder_card("audiomae.base")
    assert doctor.report()["weights"][card.id] == "not at hand: respbench fetch audiomae.base"
    path = weights / card.weights[0].file
    path.parent.mkdir(exist_ok=True)
    torch.save({"a": torch.zeros(1)}, path)
    told = doctor.report()["weights"][card.id]
    assert str(path) in told and "not used yet" in told and "--accept-licence" in told
    find.trust(card, "0" * 64)
    assert "digest pinned" in doctor.report()["weights"][card.id]


def test_a_digest_of_the_card_needs_no_pin(weights, monkeypatch):
    card = registry.encoder_card("audiomae.base")
    known = dataclasses.replace(card, weights=(dataclasses.replace(card.weights[0], file="net.pt", sha256="0" * 64),))
    monkeypatch.setattr(registry, "cards", lambda package: [known] if package == registry.ENCODERS else [])
    (weights / "net.pt").write_bytes(b"weights")
    assert "digest on the card" in doctor.report()["weights"]["audiomae.base"]


def test_a_setting_that_points_nowhere_is_reported_not_raised(weights, monkeypatch):
    monkeypatch.setenv("RESPBENCH_DATA", str(weights / "gone"))
    report = doctor.report()
    assert "RESPBENCH_DATA" in report["data_root"] and "RESPBENCH_DATA" in report["weights"]["ast.base"]
