"""What tests of fine-tuning methods share: a small encoder with patches, batches, and the comparison of two losses."""

import numpy as np
import torch
from torch import nn

from bench.finetune.methods import MicroBatch, TrainingFacts
from bench.finetune.methods.shared.base import Reading


class ToyText(nn.Module):
    """A text tower that embeds and averages characters, initialised alike every time; a sentence ends in zeros."""

    width = 3

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.characters = nn.Embedding(128, self.width)

    def ids(self, sentences):
        longest = max(map(len, sentences))
        ids = torch.tensor([[*map(ord, words)] + [0] * (longest - len(words)) for words in sentences])
        return ids, ids > 0

    def forward(self, ids, counted):
        total = (self.characters(ids) * counted[:, :, None]).sum(1)
        return nn.functional.normalize(total, dim=1)


FACTS = TrainingFacts(
    classes=4,
    width=6,
    counts=(12, 6, 3, 1),
    domains={"domain": 3, "sex": 2, "patient": 3},
    token=5,
    names=("normal", "crackle", "wheeze", "both"),
    inputs={
        "age": np.array(["adult", "child", "", "adult", "child", ""]),
        "sex": np.array(["M", "F", "F", "", "M", ""]),
        "location": np.array(["Tc", "Al", "Pr", "", "Lr", "Tc"]),
        "device": np.array(["Meditron", "AKGC417L", "Litt3200", "Meditron", "", "LittC2SE"]),
    },
    text=ToyText,
)
SAMPLES, PATCHES, TOKEN = 40, 10, 4
ROWS = 6  # clips whose metadata ``FACTS`` hold


def batch(label, seed=0, domain=None, progress=0.5, quality=None, length=None):
    """One clip of noise for each label."""
    source = torch.Generator().manual_seed(seed)
    clips = len(label)
    wave = torch.randn(clips, SAMPLES, generator=source)
    domain = torch.randint(3, (clips,), generator=source) if domain is None else torch.tensor(domain)
    quality = torch.full((clips,), 0.5) if quality is None else torch.tensor(quality)
    length = torch.full((clips,), SAMPLES) if length is None else torch.tensor(length)
    meta = {"domain": domain, "sex": domain.clamp_max(1), "patient": domain}
    return MicroBatch(wave, length, torch.tensor(label), meta, quality, progress, source, torch.arange(clips) % ROWS)


class ToyModel(nn.Module):
    """Waves (B, 40) as 10 patches of 4 samples, embedded, mixed, given positions, read by a small network. ``asked``
    lists the view and the wave of each pass."""

    def __init__(self, facts=FACTS, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed = nn.Linear(TOKEN, 5)
            self.positions = nn.Parameter(torch.randn(PATCHES, 5))
            self.out = nn.Linear(5, facts.width)
            self.head = nn.Linear(facts.width, facts.classes)
        self.asked = []

    def tokens(self, batch, view, **mix):
        self.asked.append((view, batch.wave))
        spectrogram = batch.wave.unflatten(1, (-1, TOKEN)) + 0.3 * view
        patches = self.embed(mix.get("spectrogram", lambda x: x)(spectrogram))
        patches = mix.get("patches", lambda x: x)(patches)
        return (patches + self.positions.repeat(patches.shape[1] // PATCHES, 1)).tanh()

    def features(self, batch, *, view=0, mix=None, mixed="patches"):
        return self.out(self.tokens(batch, view, **({mixed: mix} if mix else {})).mean(1))

    def reading(self, batch, *, view=0):
        tokens = self.tokens(batch, view)
        return Reading(self.out(tokens.mean(1)), tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))

    def logits(self, features):
        return self.head(features)


def random(*shape, seed=0):
    """Float64 numbers that want a gradient."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def same(fast, slow, *inputs, atol=1e-10):
    """Asserts that two functions of tensors have the same value and the same gradients."""
    ours, theirs = fast(*inputs), slow(*inputs)
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-9)
    wanted = [x for x in inputs if x.requires_grad]
    mine = torch.autograd.grad(ours.sum(), wanted, allow_unused=True)
    reference = torch.autograd.grad(theirs.sum(), wanted, allow_unused=True)
    for one, other, x in zip(mine, reference, wanted, strict=True):
        zero = torch.zeros_like(x)
        torch.testing.assert_close(zero if one is None else one, zero if other is None else other, atol=atol, rtol=1e-8)


def softmax_row(row, own, over=None):
    """log p of entry ``own`` of a list of scalars, p their softmax over the entries ``over``, by plain sums."""
    over = range(len(row)) if over is None else over
    return row[own] - torch.log(sum(torch.exp(row[j]) for j in over))


def cosine(a, b):
    """Of two vectors, by plain sums."""
    dot = sum(a[d] * b[d] for d in range(len(a)))
    return dot / (sum(x * x for x in a).sqrt() * sum(x * x for x in b).sqrt())


def trained(method, model, given):
    """The loss and {name: gradient} of model and method, all finite."""
    model.zero_grad()
    method.zero_grad()
    loss = method.loss(model, given)
    assert loss.ndim == 0 and loss.isfinite()
    loss.backward()
    parts = {"model": model, "method": method}
    found = {f"{part}.{name}": p.grad for part, of in parts.items() for name, p in of.named_parameters()}
    assert all(g.isfinite().all() for g in found.values() if g is not None)
    return loss.item(), found
