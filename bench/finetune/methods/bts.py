"""BTS: a sentence about patient and recording, read by the encoder's text tower, beside the sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bench.base.errors import BadInput
from bench.base.settings import one_of, rules
from bench.finetune.methods.shared.base import Method, MicroBatch, TrainableModel, TrainingFacts
from bench.finetune.methods.shared.cross_entropy import cross_entropy

COLUMNS = ("age", "sex", "location", "device")
NONE, ALL = "none", "all"
MICROPHONE = "AKGC417L"  # the others are stethoscopes
WORDS = {
    "age": {"child": "pediatric"},
    "sex": {"M": "male", "F": "female"},
    "location": {
        "Tc": "trachea",
        "Al": "left anterior chest",
        "Ar": "right anterior chest",
        "Pl": "left posterior chest",
        "Pr": "right posterior chest",
        "Ll": "left lateral chest",
        "Lr": "right lateral chest",
    },
}


def sentence(age: str, sex: str, location: str, device: str) -> str:
    """Say in words where, of whom and with what a sound was recorded.

    Parameters
    ----------
    age, sex, location, device
        Values of a manifest's metadata; empty where unknown. Values that ICBHI does not have stand as they are.

    Returns
    -------
    str
        As "This sound was recorded from the trachea of an adult male patient, using a Meditron stethoscope."
    """
    age, sex, location = (
        WORDS[name].get(value, value) for name, value in zip(COLUMNS, (age, sex, location), strict=False)
    )
    place = f"the {location}" if location else "an unknown region"
    known = [word for word in ([sex, age] if age == "pediatric" else [age, sex]) if word]
    unknown = " and ".join(name for name, value in (("age", age), ("sex", sex)) if not value)
    patient = _with_article(" ".join([*known, "patient"])) + (f" with unknown {unknown}" if unknown else "")
    kind = "microphone" if device == MICROPHONE else "stethoscope"
    tool = f"{'an' if device == MICROPHONE else 'a'} {device} {kind}" if device else "an unknown device"
    return f"This sound was recorded from {place} of {patient}, using {tool}."


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


class BridgedTextAndSound(Method):
    """Cross-entropy of a linear layer on the embeddings of a clip and of a sentence about it, both towers trained.

    ``unknown``: what sentences say to be unknown at prediction, of validation clips too: ``none`` of it, one column, or
    ``all``. In training they say what the metadata say.
    """

    name = "bts"
    formula = (
        "L = CE(W [t, f] + b, y);  t = text tower of 'This sound was recorded from <location> of <age, sex> patient, "
        "using <device>.'"
    )
    source = "Kim et al., Interspeech 2024 (arXiv:2406.06786) and its released code"
    ours = (
        "the released code is followed, the paper's text was not at hand. Pediatric are patients under 18, in the "
        "released code those under 19. Location is that of the recording, in the released code one per patient. What "
        "the metadata do not say is called unknown, in the released code the age of such a patient is pediatric and "
        "the sex female; unknown withholds a column from every predicted clip, where the released code draws which "
        "sentences to change"
    )
    limits = rules(unknown=one_of(NONE, *COLUMNS, ALL))
    inputs = COLUMNS

    def __init__(self, facts: TrainingFacts, unknown: str = NONE):
        super().__init__(facts, unknown=unknown)
        if facts.text is None:
            problem = "it reads sentences, and this encoder has no text tower"
            raise BadInput(self.name, problem, "take clap.laion with its weights")
        self.tower = facts.text()
        withheld = COLUMNS if unknown == ALL else (unknown,)
        told, at_prediction = _sentences(facts.inputs), _sentences(facts.inputs, withheld)
        known = sorted({*told, *at_prediction})
        ids, counted = self.tower.ids(known)
        places = {words: place for place, words in enumerate(known)}
        for name, value in (
            ("ids", ids),
            ("counted", counted),
            ("told", torch.tensor([places[each] for each in told])),
            ("at_prediction", torch.tensor([places[each] for each in at_prediction])),
        ):
            self.register_buffer(name, value, persistent=False)
        self.classifier = nn.Linear(self.tower.width + facts.width, facts.classes)

    def loss(self, model: TrainableModel, batch: MicroBatch) -> Tensor:
        """Compute the cross-entropy; every clip's sentence is read by itself, as dropout may act on each."""
        place = self.told[batch.row]
        text = self.tower(self.ids[place], self.counted[place])
        return cross_entropy(self.classifier(torch.cat([text, model.features(batch)], dim=1)), batch.label)

    def scores(self, model: TrainableModel, features: Tensor, row: Tensor) -> Tensor:
        """Return logits (B, K) of features (B, D) and the sentences of the clips at ``row`` (B,)."""
        place, own = torch.unique(self.at_prediction[row], return_inverse=True)
        text = self.tower(self.ids[place], self.counted[place])[own]
        return self.classifier(torch.cat([text, features], dim=1))


def _sentences(inputs: Mapping[str, np.ndarray], withheld: Sequence[str] = ()) -> list[str]:
    """The N clips' sentences, in which the columns ``withheld`` are unknown."""
    columns = [[""] * len(inputs[name]) if name in withheld else inputs[name] for name in COLUMNS]
    return [sentence(*values) for values in zip(*columns, strict=True)]
