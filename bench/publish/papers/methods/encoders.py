"""Which encoders, with which weights, and how a clip became what a probe reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.base import registry
from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.citations.used import encoder_use
from bench.publish.papers.methods.text import Paragraph, cited, free
from bench.publish.papers.tables.captions import counted, listed
from bench.scores.schema import Record
from bench.types import ALL_LAYERS

_SHORT = 12  # hex digits of a digest that are shown
_CLIPS = {
    "native": "as they are annotated",
    "tile8": "as 8 s, shorter ones repeated and longer ones cut, with fades",
    "tile5": "as 5 s, shorter ones repeated and longer ones cut, with fades",
    "tile10": "as 10 s, shorter ones repeated and longer ones cut, with fades",
    "opera8": "with silence trimmed at both ends and repeated to at least 8 s",
    "respirenet": "as 8 s without what is above 2 kHz, repeated on both sides",
    "dither16": "with dither of one 16-bit step",
    "lowpass2k": "low-passed at 2 kHz, with dither of one 16-bit step",
    "lowpass4k": "low-passed at 4 kHz, with dither of one 16-bit step",
}
_POOLINGS = {
    "published": "the encoder's own clip embedding",
    "mean": "the mean over time and frequency",
    "mean_valid": "the mean over tokens of real audio",
    "max": "the maximum over time and frequency",
    "cls": "the class token",
    "mean+max": "the sum of mean and maximum",
    "[mean,max]": "mean and maximum side by side",
    "[mean,std]": "mean and standard deviation side by side",
    "freq": "the mean over time with frequency bands kept apart",
    "tokens": "tokens averaged into eight steps of time",
    "steps": "tokens averaged over frequency and into eight steps of time",
}


def encoder_paragraph(records: Sequence[Record], references: Bibliography) -> Paragraph:
    """A sentence for every encoder, and one for the controls."""
    first: dict[tuple, Record] = {}
    for record in records:
        spec = record.spec
        weights = "" if "recipe" in spec and spec["weights"] == "none" else spec["weights"]
        first.setdefault((spec["encoder"], spec["encoder_version"], weights, spec.get("code", "")), record)
    ordered = [first[key] for key in sorted(first)]
    trained = [record for record in ordered if not _is_control(record)]
    sentences = [_encoder(record, references) for record in trained]
    if twins := [r.spec["encoder"] for r in ordered if registry.is_twin(r.spec["encoder"])]:
        keys = references.of(*(encoder_use(encoder) for encoder in twins))
        names = listed([free(name) for name in dict.fromkeys(twins)])
        sentences.append(f"Controls with the architecture of an encoder and untrained weights: {names}{cited(keys)}.")
    if surface := [r.spec["encoder"] for r in ordered if r.spec["encoder"].startswith(registry.CONTROL_PREFIX)]:
        names = listed([free(name) for name in dict.fromkeys(surface)])
        sentences.append(f"Controls that measure a clip's surface and not its content: {names}.")
    if labels := [r.spec["encoder"] for r in ordered if r.spec["kind"] == "control"]:
        names = listed([free(name) for name in dict.fromkeys(labels)])
        sentences.append(f"Controls that know the training labels alone: {names}.")
    return Paragraph("Encoders", tuple(sentences))


def _is_control(record: Record) -> bool:
    encoder = record.spec["encoder"]
    return record.spec["kind"] == "control" or registry.is_twin(encoder) or encoder.startswith(registry.CONTROL_PREFIX)


def _encoder(record: Record, references: Bibliography) -> str:
    spec, data = record.spec, record.data
    facts = [f"version {spec['encoder_version']}"]
    if (params := data.get("params")) is not None and params > 0:
        facts.append(f"{params / 1e6:.1f} million parameters" if params >= 1e5 else f"{params} parameters")
    if spec["weights"] != "none":
        facts.append(f"SHA-256 of the weights {spec['weights'][:_SHORT]}")
    elif "recipe" not in spec:
        facts.append("no weights")
    else:
        facts.append("trained from its initial state")
    if code := spec.get("code"):
        facts.append(f"code of its own, revision {code}")
    if data["trained_on"]:
        facts.append(f"pretrained on {listed([free(name) for name in data['trained_on']])}")
    if data["weights_licence"]:
        licences = dict.fromkeys(data["weights_licence"].split("; "))
        facts.append(f"licence of the weights: {listed([free(licence) for licence in licences])}")
    if policy := data.get("policy"):
        facts.append(f"input policy {free(policy)}")
    use = encoder_use(spec["encoder"])
    return f"{free(spec['encoder'])}{cited(references.of(use))} ({'; '.join(facts)})."


def feature_paragraph(records: Sequence[Record], references: Bibliography) -> Paragraph:
    """How clips were prepared and pooled; empty where no record has an encoder."""
    heard = [record for record in records if record.spec["kind"] != "control"]
    if not heard:
        return Paragraph("Features", ())
    clips = _values(heard, lambda record: record.spec["clip"])
    told = [f"{_clip(name)}{cited(references.of(*(f'clip/{part}' for part in name.split('+'))))}" for name in clips]
    sentences = [f"Clips were taken {listed(told)}."]
    resamplers = _values(heard, lambda record: record.spec["resampler"])
    sentences.append(f"They were resampled to each encoder's rate by {listed([free(name) for name in resamplers])}.")
    poolings = _values(heard, lambda record: record.spec["pooling"])
    told = [f"{_pooling(name)}{cited(references.of(f'pooling/{name}'))}" for name in poolings]
    sentences.append(f"Tokens became one vector per clip by {listed(told)}.")
    layers = _values(heard, lambda record: record.spec["layer"])
    sentences.append(f"{_layers(layers)}, in {listed(_values(heard, lambda record: record.spec['dtype']))}.")
    cropped: dict[str, int] = {}
    for record in heard:
        count = record.data.get("clips_cropped_to_max_s", 0)
        cropped[record.spec["encoder"]] = max(count, cropped.get(record.spec["encoder"], 0))
    if lost := [
        f"{free(name)} (up to {counted(count, 'clip')} of a task)" for name, count in sorted(cropped.items()) if count
    ]:
        sentences.append(f"Longer clips than the encoder takes were cut at its limit for {listed(lost)}.")
    return Paragraph("Features", tuple(sentences))


def _values(records: Sequence[Record], of: Callable[[Record], object]) -> list:
    return sorted({of(record) for record in records}, key=str)


def _clip(name: str) -> str:
    words = ", then ".join(_CLIPS.get(part, f"under the policy {free(part)}") for part in name.split("+"))
    return f"{words} (policy {free(name)})"


def _pooling(name: str) -> str:
    words = _POOLINGS.get(name)
    return f"{words} ({name})" if words else f"the pooling {free(name)}"


def _layers(layers: Sequence[int]) -> str:
    named = [
        "all layers" if layer == ALL_LAYERS else "the last layer" if layer == -1 else f"layer {layer}"
        for layer in layers
    ]
    return f"They are from {listed(named)}" + (" (counted from the last)" if min(layers) < -1 else "")
