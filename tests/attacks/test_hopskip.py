"""HopSkipJump on linear nets: from labels alone to near the closed form, and never a query too many."""

import pytest
import torch
from linear_nets import linear, smallest
from torch import nn

from pixelproof import attacks, models
from pixelproof.attacks import HopSkipJump


class Label(nn.Module):
    """A net that shows one-hot labels only."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        logits = self.net(images)
        return 10 * nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float() - 5


def labels_only(seed, **settings):
    model, data = linear(seed, **settings)
    shown = models.wrap(Label(model.net), classes=len(data.classes), input_shape=data.shape).eval()
    return model, shown, data


@pytest.mark.parametrize(("norm", "factor"), [("l2", 1.05), ("linf", 1.3)])
def test_labels_alone_lead_near_the_closed_form_and_never_below(norm, factor):
    model, shown, data = labels_only(1, classes=2)
    found = attacks.mount(HopSkipJump(4000, norm), shown, data)
    exact = smallest(model, data, norm)
    assert found.success.all()
    assert (found.minimal(norm) >= exact * (1 - 1e-4)).all()
    assert (found.minimal(norm) / exact).median() <= factor
    fewer = attacks.mount(HopSkipJump(300, norm), shown, data)
    assert (found.minimal(norm) <= fewer.minimal(norm)).float().mean() > 0.8


@pytest.mark.parametrize("queries", [1, 2, 13, 14, 15, 16, 40, 119, 333])
def test_no_phase_goes_beyond_the_queries_and_none_leaves_some_over(queries):
    _, shown, data = labels_only(0)
    found = attacks.mount(HopSkipJump(queries, samples=10), shown, data)
    if queries > 3:
        assert found.success.any()
    assert (found.forwards[found.success] == queries).all()
    assert (found.forwards <= queries).all()
    assert (found.backwards == 0).all()


def test_an_image_leaves_once_it_is_inside_the_budget():
    model, shown, data = labels_only(0, classes=2)
    eps = float(smallest(model, data, "l2").max()) * 1.5
    found = attacks.mount(HopSkipJump(2000, eps=eps), shown, data)
    assert found.success.all()
    assert (found.forwards < 2000).all()


def test_a_target_that_no_start_meets_is_given_up_after_the_tries():
    _, shown, data = labels_only(0, classes=3)
    shown.net.net[1].bias.data[2] = -1e4
    targets = torch.full_like(data.labels, 2)
    kept = data.labels != 2
    found = attacks.mount(HopSkipJump(500, tries=20), shown, data[kept], targets=targets[kept])
    assert not found.success.any()
    assert (found.forwards == 21).all()


def test_the_result_does_not_depend_on_the_company():
    _, shown, data = labels_only(2)
    whole, single = (attacks.mount(HopSkipJump(300), shown, data, batch=size) for size in (12, 1))
    assert torch.equal(whole.forwards, single.forwards)
    torch.testing.assert_close(whole.images, single.images, atol=1e-3, rtol=0)
