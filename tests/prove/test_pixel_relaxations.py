"""Relaxation rectifiers and maxima against closed forms, and boxes of colours that cover what they should."""

import torch

from pixelproof.prove.cover import grid, halved, merged, ordered
from pixelproof.prove.relax import Form, larger, rectify


def form(x, e):
    x = torch.tensor(x)[:, None, None, None, :].float()
    return Form(x, torch.tensor([e])[:, None, None, None].float(), x[:0, :1], x.new_zeros(1, 0), ())


def test_the_rectifier_is_exact_where_it_is_stable_and_a_parallelogram_where_not():
    out, how = rectify(
        form([[3.0, -3.0, 1.0], [1.0, 1.0, 2.0]], [0.0, 0.0, 0.0]), torch.zeros(1), torch.zeros(1), (0, 0)
    )
    torch.testing.assert_close(how.keep.flatten(), torch.tensor([1.0, 0.0, 0.75]))
    torch.testing.assert_close(out.x[:, 0, 0, 0], torch.tensor([[3.0, 0.0, 1.125], [1.0, 0.0, 1.5]]))
    torch.testing.assert_close(out.e.flatten(), torch.tensor([0.0, 0.0, 0.375]), atol=1e-5, rtol=1e-5)


def test_the_maximum_is_exact_where_one_side_wins():
    out, _ = larger(form([[5.0, -1e30], [1.0, 0.0]], [0.1, 0.0]), form([[1.0, 2.0], [0.5, 0.25]], [0.2, 0.3]))
    torch.testing.assert_close(out.x[:, 0, 0, 0], torch.tensor([[5.0, 2.0], [1.0, 0.25]]))
    torch.testing.assert_close(out.e.flatten(), torch.tensor([0.1, 0.3]), atol=1e-5, rtol=1e-5)


def test_a_side_of_a_maximum_that_the_rectifier_drops_adds_no_error():
    left, right = (
        form([[0.5, -2.0, -3.0], [1.0, 1.0, 0.5]], [0.0] * 3),
        form([[0.2, 0.5, -2.9], [0.5, 1.0, 0.5]], [0.0] * 3),
    )
    loose, _ = larger(left, right)
    tight, _ = larger(left, right, (left.top(), right.top()))
    assert float(tight.e.flatten()[0]) == float(loose.e.flatten()[0]) > 0.01  # both matter
    torch.testing.assert_close(tight.x[:, 0, 0, 0, 1], right.x[:, 0, 0, 0, 1])  # the left one is below zero
    assert tight.e.flatten()[1:].max() < 1e-5  # neither matters at the last


def volume(low, high):
    return float((high - low).double().prod(1).sum())


def test_halves_and_merged_boxes_cover_what_the_boxes_covered():
    low, high = grid(3, 5)
    assert volume(low, high) == 1
    which = torch.arange(32) % 3 == 0
    axis = torch.arange(32) % 3
    finer = halved(low, high, torch.rand(32), axis, which)
    assert len(finer[0]) == 32 + int(which.sum())
    assert volume(*finer[:2]) == 1
    shuffled = torch.randperm(len(finer[0]), generator=torch.Generator().manual_seed(0))
    for strain in (torch.zeros(len(shuffled)), torch.rand(len(shuffled)), torch.ones(len(shuffled))):
        together = merged(finer[0][shuffled], finer[1][shuffled], strain)
        assert volume(*together) == 1
        points = torch.rand(500, 1, 3, generator=torch.Generator().manual_seed(1))
        assert ((points >= together[0]) & (points <= together[1])).all(2).any(1).all()
    assert len(merged(low, high, torch.zeros(32))[0]) == 16
    assert len(merged(low, high, torch.ones(32))[0]) == 32
    assert torch.equal(low[ordered((low + high) / 2)], low)
