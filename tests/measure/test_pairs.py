"""Many AUROCs at once agree with scikit-learn's, weights are repetitions, and the joint interval is one of means."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from pixelproof.measure.pairs import Pair, joint


def draw(seed, n=80, shift=0.8, either=False):
    generator = torch.Generator().manual_seed(seed)
    quiet = torch.randn(n, generator=generator).mul(4).round()  # ties
    strange = (torch.randn(n, generator=generator) + shift).mul(4).round()
    rows = [torch.rand(n, generator=generator) < 0.7 for _ in range(2)]
    return Pair(quiet, strange, *rows, either=either)


def by_scikit(pair):
    quiet, strange = pair.quiet[pair.quiet_rows], pair.strange[pair.strange_rows]
    wanted = torch.cat([torch.zeros(len(quiet)), torch.ones(len(strange))])
    return roc_auc_score(wanted, torch.cat([quiet, strange]))


@pytest.mark.parametrize("shift", [-0.8, 0.0, 0.8])
def test_auroc_is_scikit_learns(shift):
    pair = draw(1, shift=shift)
    assert float(pair.auroc()) == pytest.approx(by_scikit(pair))


def test_weights_are_repetitions():
    pair = draw(2)
    weights = torch.randint(3, (4, 80), generator=torch.Generator().manual_seed(5)).double()
    found = pair.auroc(weights)
    for row, value in zip(weights, found, strict=True):
        again = torch.arange(80).repeat_interleave(row.long())
        copied = Pair(pair.quiet[again], pair.strange[again], pair.quiet_rows[again], pair.strange_rows[again])
        assert float(value) == pytest.approx(by_scikit(copied))


def test_what_nobody_fitted_counts_in_either_direction():
    plain, folded = draw(3, shift=-2.0), draw(3, shift=-2.0, either=True)
    assert float(plain.auroc()) < 0.2
    assert float(folded.auroc()) == pytest.approx(1 - float(plain.auroc()))
    weights = torch.ones(2, 80)
    torch.testing.assert_close(folded.auroc(weights), 1 - plain.auroc(weights))
    assert float(draw(3, either=True).auroc()) == pytest.approx(float(draw(3).auroc()))


def test_the_joint_interval_does_not_shrink_with_copies_of_the_same_pair():
    one = joint([[draw(4)]], seed=0)
    same = joint([[draw(4)] * 12], seed=0)
    assert (one.value, one.low, one.high) == pytest.approx((same.value, same.low, same.high))
    assert one.low < one.value < one.high
    others = joint([[draw(seed) for seed in range(12)]], seed=0)
    assert others.high - others.low < one.high - one.low


def test_groups_weigh_the_same_whatever_their_size():
    high, low = draw(6, shift=3.0), draw(6, shift=0.0)
    found = joint([[high, high, high], [low]], seed=0)
    assert found.value == pytest.approx((by_scikit(high) + by_scikit(low)) / 2)
