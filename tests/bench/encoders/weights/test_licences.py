import dataclasses

import pytest
import torch

from bench.base import registry
from bench.encoders.load import load_encoder
from bench.encoders.weights import licences
from bench.encoders.weights.licences import LicenceNotAccepted
from bench.types import EncoderCard, Weights

NC = Weights(file="net.pt", licence="CC BY-NC 4.0")
CARD = EncoderCard(
    id="family.net", version=1, sample_rate=16000, dims={"mean": 8}, frontend="", citation="", licence="MIT",
    weights=(NC,),
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(licences.VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("text", "restricted"),
    [
        ("MIT", False),
        ("BSD-3-Clause (code)", False),
        ("Apache-2.0", False),
        ("CC BY 4.0", False),
        ("CC-BY-SA-3.0", False),
        ("CC0-1.0 (repository)", False),
        ("MS-PL", False),
        ("CC-BY-NC 4.0", True),
        ("CC BY-NC-SA 4.0", True),
        ("NTT evaluation licence", True),
        ("MIT (code; none stated for the weights)", True),
        ("unstated", True),
        ("", True),
        ("audEERING Research License", True),
        ("Health AI Developer Foundations terms of use", True),
        ("for non-commercial use", True),
    ],
)
def test_what_is_not_plainly_free_needs_agreement(text, restricted):
    assert licences.restricted(Weights(file="net.pt", licence=text)) is restricted
    assert licences.restricted(Weights(file="net.pt", licence=text, restricted=not restricted)) is not restricted


def test_agreement_is_asked_for_once_per_family_and_text(monkeypatch):
    with pytest.raises(LicenceNotAccepted, match=r"family\.net: .*CC BY-NC 4\.0; .*--accept-licence"):
        licences.require(CARD)
    assert licences.require(CARD, accept=True) == "CC BY-NC 4.0"  # to be shown
    assert licences.require(CARD) == ""
    assert licences.require(dataclasses.replace(CARD, id="family.other@policy")) == ""
    with pytest.raises(LicenceNotAccepted):
        licences.require(dataclasses.replace(CARD, id="another.net"))
    changed = dataclasses.replace(CARD, weights=(dataclasses.replace(NC, licence="evaluation only"),))
    with pytest.raises(LicenceNotAccepted):
        licences.require(changed)
    monkeypatch.setenv(licences.VARIABLE, "1")
    assert licences.require(changed) == "evaluation only"


def test_an_encoder_without_weights_is_bound_by_a_package_and_a_twin_by_nothing():
    package = dataclasses.replace(CARD, weights=(), licence="Research License")
    assert licences.terms(package) == "Research License"
    assert licences.terms(dataclasses.replace(package, id="random.family.net")) == ""
    assert licences.terms(dataclasses.replace(package, licence="see the module's authors")) == ""


def test_weights_found_by_name_need_agreement_and_a_file_that_is_named_does_not(tmp_path, monkeypatch):
    card = registry.encoder_card("atst.frame")
    bound = dataclasses.replace(card, weights=(dataclasses.replace(card.weights[0], restricted=True),))
    monkeypatch.setattr(registry, "encoder_card", lambda id, trusted=(): bound)
    monkeypatch.setattr(registry.family(registry.ENCODERS, "atst.frame"), "build", lambda *_: torch.nn.Identity())
    monkeypatch.setenv("RESPBENCH_WEIGHTS", str(tmp_path))
    path = tmp_path / card.weights[0].file
    torch.save({}, path)
    with pytest.raises(LicenceNotAccepted, match="accept_licence=True"):
        load_encoder("atst.frame")
    load_encoder("atst.frame", path)
    load_encoder("atst.frame", accept_licence=True)
    load_encoder("atst.frame")
