"""A time budget holds, with the passes before the first attack and those that judge the result."""

from types import SimpleNamespace

import pytest
import torch
from gap_nets import GAPS, Gap, two_classes

from pixelproof import measure
from pixelproof.attacks import Auto
from pixelproof.measure import clock


class Watch:
    """A clock that only passes of the network move on."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Slow(Gap):
    """A network of which every pass takes a tenth of a second for each image."""

    def __init__(self, watch, each=0.1):
        super().__init__()
        self.watch, self.each = watch, each

    def forward(self, x):
        self.watch.now += self.each * len(x)
        return super().forward(x)


@pytest.mark.parametrize(("budget", "curve"), [(60.0, False), (300.0, False), (60.0, True)])
def test_seconds_hold_to_within_a_tenth(monkeypatch, budget, curve):
    watch = Watch()
    model, data = two_classes(Slow(watch), GAPS * 2)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=watch.monotonic))
    started = watch.now
    if curve:
        drawn = measure.curve(model, data, [0.01 * k for k in range(1, 40)], budget=budget)
        assert drawn.searched < len(data)
    else:
        found = measure.evaluate(model, data, Auto(0.01, version="standard"), budget=budget)
        assert found.ended == "out of time"
        assert found.seconds == pytest.approx(watch.now - started)
        assert torch.isfinite(found.rate).all()
    spent = watch.now - started
    assert 0.5 * budget < spent <= 1.1 * budget
