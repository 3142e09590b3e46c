"""What fine-tuning recipes did: the settings that took effect, those that all share told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.publish.papers.citations.bibliography import Bibliography
from bench.publish.papers.citations.used import uses
from bench.publish.papers.methods.text import cited, free
from bench.publish.papers.tables.captions import counted, listed
from bench.reports.names import recipe_digest, recipe_name
from bench.scores.schema import Record


def recipe_sentences(records: Sequence[Record], references: Bibliography) -> list[str]:
    """One sentence of what all recipes share, and one for each of the others."""
    recipes: dict[tuple[str, str], Record] = {}
    for record in records:
        if "recipe" in record.spec:
            recipes.setdefault((recipe_name(record), recipe_digest(record.spec)), record)
    if not recipes:
        return []
    told = {key: phrases(recipes[key].spec.get("recipe", {})) for key in sorted(recipes)}
    sentences = []
    everywhere = _shared(told.values()) if len({name for name, _ in told}) > 1 else []
    if everywhere:
        sentences.append(f"All recipes of fine-tuning share: {'; '.join(everywhere)}.")
    for name in dict.fromkeys(name for name, _ in told):
        variants = {key: [phrase for phrase in told[key] if phrase not in everywhere] for key in told if key[0] == name}
        record = recipes[next(iter(variants))]
        common = _shared(variants.values())
        cite = cited(references.of(*(use for use in uses([record]) if use.startswith(_CITED))))
        source = record.data.get("recipe", {}).get("source", "")
        origin = f" ({free(source)})" if source else ""
        parts = [*common, *_variants(variants, common, records)]
        rest = f": {'; '.join(parts)}" if parts else ""
        sentences.append(f"Recipe {free(name) or 'without a name'}{origin}{cite}{rest}.")
    return sentences


def _shared(several: Iterable[Sequence[str]]) -> list[str]:
    """The phrases that all have, in the order of the first."""
    first, *others = several
    return [phrase for phrase in first if all(phrase in other for other in others)]


def _variants(
    variants: Mapping[tuple[str, str], Sequence[str]], common: Sequence[str], records: Sequence[Record]
) -> list[str]:
    """What differs between recipes of one name, and on which tasks."""
    if len(variants) == 1:
        return []
    out = []
    for (name, digest), own in variants.items():
        members = (r for r in records if recipe_name(r) == name and recipe_digest(r.spec) == digest)
        tasks = sorted({free(record.spec["task"]) for record in members})
        apart = [phrase for phrase in own if phrase not in common]
        out.append(f"on {listed(tasks)} {', '.join(apart) or 'other settings'}")
    return out


_CITED = ("method/", "train/", "augmentation/")  # uses that are a recipe's own


def phrases(recipe: Mapping[str, Any]) -> list[str]:
    """The settings of a recipe that took effect, a few words each; what is switched off is not mentioned."""
    part = {name: recipe.get(name) or {} for name in _TABLES}
    found = [
        *_model(part["encoder"], part["lora"], part["head"]),
        *_method(part["method"]),
        *_distillation(part["distillation"]),
        *_optimiser(part["optimiser"], part["schedule"], part["averaging"]),
        *_batches(part["batches"]),
        *_augmentation(part["waveform"], part["spectrogram"]),
    ]
    if "epochs" in recipe:
        found.append(counted(recipe["epochs"], "epoch"))
    if (patience := recipe.get("patience")) and patience < recipe.get("epochs", 0):
        found.append(f"ended early after {counted(patience, 'epoch')} without a better validation score")
    if "precision" in recipe:
        found.append(f"arithmetic in {recipe['precision']}")
    return [free(phrase) for phrase in found]


_TABLES = (
    "encoder",
    "lora",
    "head",
    "method",
    "distillation",
    "optimiser",
    "schedule",
    "averaging",
    "batches",
    "waveform",
    "spectrogram",
)


def _model(encoder: Mapping, lora: Mapping, head: Mapping) -> list[str]:
    trained = {
        "all": "all of the encoder is trained",
        "last": f"the last {counted(encoder.get('last', 1), 'block')} of the encoder are trained",
        "lora": f"low-rank adapters (rank {lora.get('rank')}, alpha {lora.get('alpha')}) are trained",
        "none": "the encoder is not trained",
    }
    out = [trained[encoder["train"]]] if encoder.get("train") in trained else []
    if encoder.get("norm") == "frozen":
        out.append("statistics of batch normalisation are kept")
    if encoder.get("layer_decay", 1.0) != 1.0:
        out.append(f"learning rates decay by {encoder['layer_decay']} per block")
    if "kind" in head:
        norm = f" after {head['norm']} normalisation" if head.get("norm", "none") != "none" else ""
        drop = f", dropout {head['dropout']}" if head.get("dropout") else ""
        out.append(f"{head['kind']} head{norm}{drop}")
    return out


def _method(method: Mapping) -> list[str]:
    if "name" not in method:
        return []
    options = [f"{name} {value}" for name, value in (method.get("options") or {}).items()]
    named = f"method {method['name']}" + (f" ({', '.join(options)})" if options else "")
    reads = method.get("inputs")
    return [named + (f", which reads {listed(reads)} of every clip" if reads else "")]


def _distillation(distillation: Mapping) -> list[str]:
    teachers = distillation.get("teachers") or ()
    if not teachers:
        return []
    names = listed(sorted({teacher.partition(":")[0] for teacher in teachers}))
    share = f"weight {distillation.get('weight')}, temperature {distillation.get('temperature')}"
    return [f"soft labels of {counted(len(teachers), 'teacher')} on {names} ({share})"]


def _optimiser(optimiser: Mapping, schedule: Mapping, averaging: Mapping) -> list[str]:
    out = []
    if "name" in optimiser:
        rates = f"learning rate {optimiser.get('lr')}"
        if optimiser.get("head_lr"):
            rates += f", of the head {optimiser['head_lr']}"
        clipped = f", gradient norm at most {optimiser['clip_norm']}" if optimiser.get("clip_norm") else ""
        out.append(f"{optimiser['name']} with {rates}, weight decay {optimiser.get('weight_decay')}{clipped}")
    if "kind" in schedule:
        warm = f" after {schedule['warmup_epochs']} epochs of warm-up" if schedule.get("warmup_epochs") else ""
        out.append(f"{schedule['kind']} schedule{warm}")
    if averaging.get("kind", "none") != "none":
        out.append(f"averaging of weights ({averaging['kind']}, decay {averaging.get('decay')})")
    return out


def _batches(batches: Mapping) -> list[str]:
    if "size" not in batches:
        return []
    steps = f", {batches['accumulate']} of them a step" if batches.get("accumulate", 1) > 1 else ""
    crop = f", cropped to {batches['crop_s']} s" if batches.get("crop_s") else ""
    sampling = f", {batches['sampling']}" if batches.get("sampling") else ""
    return [f"batches of {batches['size']} clips{steps}{sampling}{crop}"]


_MASKS = {
    "shared": "the same masks for a batch",
    "carried": "later views with the masks of those before",
    "skipped": "some left unmasked",
}


def _augmentation(waveform: Mapping, spectrogram: Mapping) -> list[str]:
    parts = []
    if waveform.get("gain_db"):
        parts.append(f"gain of up to {waveform['gain_db']} dB")
    if waveform.get("shift_s"):
        parts.append(f"shift of up to {waveform['shift_s']} s")
    if waveform.get("noise_snr_db"):
        parts.append(f"white noise at {listed(waveform['noise_snr_db'])} dB")
    if spectrogram.get("vtlp"):
        reach = f"{spectrogram['vtlp']:g} either way, below {spectrogram.get('vtlp_hz', 4800.0):g} Hz"
        parts.append(f"vocal tract length perturbation of up to {reach}")
    for axis, count in (("band", "bands"), ("frame", "frames")):
        if spectrogram.get(f"{axis}_mask") and spectrogram.get(count):
            parts.append(f"{counted(spectrogram[count], 'mask')} of up to {spectrogram[f'{axis}_mask']} {axis}s")
    told = [words for name, words in _MASKS.items() if spectrogram.get(name)]
    if spectrogram.get("fill") == "batch":
        told.append("filled with the batch's mean")
    if told and parts:
        parts[-1] += f" ({', '.join(told)})"
    if spectrogram.get("mixstyle"):
        parts.append(f"bands' mean and deviation mixed between clips in {100 * spectrogram['mixstyle']:g} % of batches")
    return [f"augmentation by {listed(parts)}"] if parts else []
