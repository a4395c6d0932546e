"""Critical pixels and their curves on a network whose label hangs on known pixels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.explain import Attribution, critical_pixels, curves, jaccard, rankings
from pixelproof.models import wrap


def attribution(values):
    n = len(values)
    return Attribution(values, torch.zeros(n, dtype=torch.long), torch.zeros(n), torch.zeros(n))


class FirstPixels(nn.Module):
    """Class 1 when the first two pixels sum to more than 1.1, so one bright pixel alone is not enough."""

    def forward(self, x):
        seen = x.flatten(1)[:, :2].sum(1)
        return torch.stack([torch.full_like(seen, 1.1), seen], 1)


MODEL = wrap(FirstPixels(), classes=2, input_shape=(1, 3, 4))
CLEAN = torch.full((6, 1, 3, 4), 0.2)
ATTACKED = torch.full((6, 1, 3, 4), 0.8)
LABELS = torch.zeros(6, dtype=torch.long)


def first_high():
    return torch.arange(12, 0, -1).float().view(1, 3, 4).expand(6, 3, 4)


def test_senses_rank_by_size_and_by_change():
    clean = attribution(torch.tensor([[[[5.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, -2.0]]]]))
    attacked = attribution(torch.tensor([[[[5.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -2.0]]]]))
    made = critical_pixels(clean, attacked, sense="generation", k=3)
    seen = critical_pixels(clean, attacked, sense="detection", k=2)
    assert made.per_image.tolist() == [[0, 3, 1]]
    assert seen.per_image.tolist() == [[2, 1]]
    assert seen.overall.tolist() == [2, 1]
    assert seen.masks.tolist() == [[[False, True], [True, False]]]


def test_overall_follows_the_mean():
    values = torch.zeros(3, 1, 1, 3)
    values[0, 0, 0, 1], values[1:, 0, 0, 2] = 9.0, 2.0
    found = critical_pixels(attribution(torch.zeros_like(values)), attribution(values), sense="detection", k=1)
    assert found.overall.tolist() == [1]
    assert found.per_image.flatten().tolist() == [1, 2, 2]


@pytest.mark.parametrize("k", [0, 13])
def test_k_must_fit_the_image(k):
    with pytest.raises(BadInput, match=r"1\.\.12"):
        critical_pixels(attribution(CLEAN), attribution(ATTACKED), sense="generation", k=k)


def test_curves_in_closed_form():
    (found,) = curves(
        MODEL, CLEAN, ATTACKED, LABELS, scores={"first": first_high()}, sizes=[0, 1, 2, 12], rng=torch.Generator()
    )
    assert found.repaired.tolist() == [0, 1, 1, 1]
    assert found.sufficient.tolist() == [0, 0, 1, 1]
    assert found.area == pytest.approx(((0.5 + 1 + 10) / 12, (0 + 0.5 + 10) / 12))
    assert found.interval[0] == pytest.approx((found.area[0], found.area[0]))
    assert found.n == 6


def test_a_good_ranking_beats_the_opposite_one():
    scores = {"good": first_high(), "bad": -first_high()}
    good, bad = curves(MODEL, CLEAN, ATTACKED, LABELS, scores=scores, sizes=[0, 3, 6, 9], rng=torch.Generator())
    assert good.area[0] > 0.8 > 0.1 > bad.area[0]
    assert good.area[1] > 0.8 > 0.1 > bad.area[1]


def test_images_must_be_fooled_and_sizes_fit():
    with pytest.raises(BadInput, match="6 that are not"):
        curves(MODEL, CLEAN, CLEAN, LABELS, scores={}, sizes=[1], rng=torch.Generator())
    with pytest.raises(BadInput, match="sizes"):
        curves(MODEL, CLEAN, ATTACKED, LABELS, scores={}, sizes=[13], rng=torch.Generator())


def test_rankings_hold_their_definitions():
    clean, attacked = attribution(CLEAN), attribution(ATTACKED * torch.arange(12.0).view(3, 4))
    found = rankings((CLEAN, clean), (ATTACKED, attacked), Draws.keyed(0, torch.arange(6)))
    assert set(found) == {"detection", "generation", "one map for all", "perturbation", "variance", "random"}
    assert all(scores.shape == (6, 3, 4) for scores in found.values())
    torch.testing.assert_close(found["perturbation"], torch.full((6, 3, 4), 0.6))
    torch.testing.assert_close(found["detection"], (attacked.values - clean.values).abs()[:, 0])
    assert not found["variance"].any()
    assert found["random"].unique().numel() > 60


def test_jaccard():
    ours, theirs = torch.tensor([[0, 1, 2], [3, 4, 5]]), torch.tensor([[2, 1, 0], [5, 6, 7]])
    torch.testing.assert_close(jaccard(ours, theirs), torch.tensor([1.0, 0.2]))
