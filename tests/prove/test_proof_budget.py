"""The budget of a proof holds to within a tenth, also where one pixel alone would take longer."""

from types import SimpleNamespace

import pytest
import torch
from test_threads import tiny

from pixel_nets import random_images
from pixelproof.prove import certificate, certify_one_pixel
from pixelproof.prove.bounds import PixelBounds


class Clock:
    """CPU seconds that only bounds of boxes spend."""

    def __init__(self):
        self.now = 0.0

    def process_time(self):
        return self.now


@pytest.mark.parametrize("budget", [5.0, 30.0])
def test_seconds_hold_to_within_a_tenth(monkeypatch, budget):
    clock = Clock()
    monkeypatch.setattr(certificate, "time", SimpleNamespace(process_time=clock.process_time))
    at = PixelBounds.at

    def slow(self, position):
        spot = at(self, position)
        lower = spot.lower

        def spend(near, far):
            clock.now += 0.3
            found = lower(near, far)
            found.bound.fill_(-1.0)  # nothing is proven: boxes are halved until there are too many of them
            return found

        return SimpleNamespace(lower=spend, exact=spot.exact)

    monkeypatch.setattr(PixelBounds, "at", slow)
    model, images = tiny(0), random_images((1, 6, 6), 2)
    labels = model.predict(images).argmax(1)
    found = certify_one_pixel(model, images, labels, budget=budget)
    assert found.undecided.any()
    assert (found.seconds[found.undecided] <= 1.1 * budget).all()
    assert torch.isfinite(found.seconds).all()
