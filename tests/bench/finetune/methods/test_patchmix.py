import math

import pytest
import torch

from bench.base.errors import BadInput
from bench.finetune.methods import create_method
from bench.finetune.methods.patchmix import PatchMixing, mixed_patches
from bench.finetune.methods.patchmix_cl import patch_mix_contrast
from bench.finetune.methods.shared.cross_entropy import cross_entropy, mixed_cross_entropy
from toy_methods import FACTS, PATCHES, ToyModel, batch, cosine, random, same, softmax_row, trained

LABEL = torch.tensor([0, 1, 1, 2, 0])
PARTNER = torch.tensor([1, 2, 0, 3, 4])


def test_patches_at_the_positions_come_from_the_partner():
    patches = torch.arange(5 * 6 * 2.0).reshape(5, 6, 2)
    mixed = mixed_patches(patches, PARTNER, torch.tensor([4, 0]))
    for i in range(5):
        for p in range(6):
            assert mixed[i, p].tolist() == patches[PARTNER[i] if p in (0, 4) else i, p].tolist()


def test_mixing_keeps_the_share_it_tells_and_is_the_same_when_called_again():
    patches = torch.arange(5.0)[:, None, None].expand(5, PATCHES, 3)
    found = set()
    for seed in range(40):
        mixing = PatchMixing(batch([0, 1, 1, 2, 0], seed=seed), beta=1.0)
        mixed = mixing(patches)
        assert torch.equal(mixed, mixing(patches))
        moved = mixing.partner != torch.arange(5)
        kept = (mixed == patches)[moved][:, :, 0]
        assert (kept == kept[:1]).all()  # at the same positions in every clip
        if len(kept):
            assert kept[0].float().mean().item() == pytest.approx(mixing.share)
        assert mixing.share == pytest.approx(1 - math.floor(PATCHES * (1 - mixing.lam)) / PATCHES)
        found.add(mixing.share)
    assert len(found) > 5


def test_mixing_is_decided_by_the_batch_generator_alone():
    patches = torch.randn(5, PATCHES, 3)
    torch.manual_seed(1)
    first = PatchMixing(batch([0, 1, 1, 2, 0], seed=7), 1.0)(patches)
    torch.manual_seed(2)
    assert torch.equal(first, PatchMixing(batch([0, 1, 1, 2, 0], seed=7), 1.0)(patches))


def test_patches_of_another_number_are_refused():
    mixing = PatchMixing(batch([0, 1]), 1.0)
    with pytest.raises(BadInput, match="no patches to mix"):
        _ = mixing.share
    mixing(torch.zeros(2, PATCHES, 3))
    for wrong in (torch.zeros(2, PATCHES + 1, 3), torch.zeros(4, PATCHES, 3)):
        with pytest.raises(BadInput, match="for 2 clips of 10"):
            mixing(wrong)


def test_an_encoder_that_mixes_nothing_is_refused():
    class Deaf(ToyModel):
        def features(self, batch, *, view=0, mix=None):
            return super().features(batch, view=view)

    for name in ("patchmix", "patchmix-cl"):
        with pytest.raises(BadInput, match="no patches"):
            create_method(name, FACTS).loss(Deaf(), batch([0, 1]))


def test_patchmix_mixes_features_and_labels_alike():
    model = ToyModel()
    ours, given = create_method("patchmix", FACTS), batch([0, 1, 2, 3, 0], seed=3)
    loss, _ = trained(ours, model, given)
    mixing = PatchMixing(batch([0, 1, 2, 3, 0], seed=3), 1.0)
    logits = model.logits(model.features(given, mix=mixing))
    assert 0 < mixing.share < 1
    expected = mixed_cross_entropy(logits, given.label, given.label[mixing.partner], mixing.share)
    assert loss == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("diff", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("partner", [PARTNER, torch.arange(5), torch.tensor([4, 3, 2, 1, 0])])
def test_contrast_is_the_plain_sum(diff, share, partner):
    def slow(mixed, clean):
        total = 0
        for i in range(5):
            row = [cosine(mixed[i], clean[j]) / 0.5 for j in range(5)]
            over = [j for j in range(5) if not diff or LABEL[j] != LABEL[i] or j in (i, int(partner[i]))]
            total = total + share * softmax_row(row, i, over) + (1 - share) * softmax_row(row, int(partner[i]), over)
        return -total / 5

    label = LABEL if diff else None
    same(
        lambda mixed, clean: patch_mix_contrast(mixed, clean, partner, share, 0.5, label),
        slow,
        random(5, 6),
        random(5, 6, seed=1),
    )


def test_contrast_by_hand():
    eye = torch.eye(2)
    p = math.exp(2) / (math.exp(2) + 1)
    swapped = patch_mix_contrast(eye, eye, torch.tensor([1, 0]), 0.75, 0.5)
    assert swapped.item() == pytest.approx(-(0.75 * math.log(p) + 0.25 * math.log(1 - p)))


@pytest.mark.parametrize("negatives", ["all", "diff_label"])
@pytest.mark.parametrize("label", [[0, 1, 2, 3, 0], [2, 2, 2], [1]])
def test_degenerate_batches_train(negatives, label):
    for seed in range(5):
        ours, model = create_method("patchmix-cl", FACTS, negatives=negatives), ToyModel()
        trained(ours, model, batch(label, seed=seed))
        trained(create_method("patchmix", FACTS), ToyModel(), batch(label, seed=seed))


def test_one_clip_has_no_contrast():
    model, given = ToyModel(), batch([1])
    loss, _ = trained(create_method("patchmix-cl", FACTS), model, given)
    assert loss == pytest.approx(cross_entropy(model.logits(model.features(given)), given.label).item(), rel=1e-6)


def test_contrastive_loss_is_put_together_as_published():
    model, given = ToyModel(), batch([0, 1, 2, 3, 0], seed=3)
    ours = create_method("patchmix-cl", FACTS, alpha=0.7).eval()
    loss, gradient = trained(ours, model, given)
    assert [view for view, _ in model.asked] == [0, 0]
    mixing = PatchMixing(batch([0, 1, 2, 3, 0], seed=3), 1.0)
    clean = model.features(given)
    mixed = ours.projector(model.features(given, mix=mixing))
    contrast = patch_mix_contrast(mixed, clean, mixing.partner, mixing.share, 0.06)
    expected = cross_entropy(model.logits(clean), given.label) + 0.7 * contrast
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert gradient["method.projector.0.weight"].abs().max() > 0
    assert [type(layer).__name__ for layer in ours.projector] == ["Linear", "BatchNorm", "ReLU", "Linear"]
