"""Networks through which no gradient can be computed, and seeds of every size: evaluate and audit go on."""

from dataclasses import replace

import pytest
import torch
from audit_toys import SMALL, Short, linear, subject
from gap_nets import GAPS, Gap, two_classes
from torch import nn

from pixelproof import measure
from pixelproof.attacks import Auto
from pixelproof.draws import Draws, subseed
from pixelproof.measure import flags
from pixelproof.measure.redflags import LOOKS


class Closed(Gap):
    """As a network behind another runtime: an answer, and no way back."""

    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Levels(Gap):
    """Grey levels looked up in a table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.arange(256.0)[:, None] / 255, freeze=True)

    def forward(self, x):
        return super().forward(self.table((x * 255).round().long().clamp(0, 255))[..., 0])


@pytest.mark.parametrize(("net", "norm"), [(Closed, "linf"), (Levels, "l2"), (Closed, "l1")])
def test_evaluate_goes_on_by_queries_and_says_so(net, norm):
    model, data = two_classes(net(), GAPS[:4])
    found = measure.evaluate(model, data, Auto(0.12, norm), seed=1)
    assert flags.GRADIENT_FREE in found.flags
    assert found.success.any()
    assert {part.label for part in found.parts} <= {"square 5000", "hop-skip-jump"}
    held = measure.evaluate(*two_classes(Gap(), GAPS[:4]), Auto(0.12, norm), seed=1)
    assert not (found.success & ~held.success).any()


def test_a_gradient_with_infinite_entries_is_told_from_none():
    class Root(Gap):
        def forward(self, x):
            return super().forward(x + 0 * (x - x.detach()).sqrt())  # the slope of a root at 0 is infinite

    model, data = two_classes(Root(), GAPS)
    assert flags.GRADIENT_FREE not in flags.before(model, data.images, data.labels, random=False)
    said = flags.before(model, data.images, data.labels, random=False)
    assert any(flag.startswith(flags.NOT_FINITE) for flag in said)


class Gamma(Gap):
    """Behind a gamma curve, whose slope is infinite at black."""

    def forward(self, x):
        return super().forward(x**0.45)


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.35), ("l2", 0.5), ("l1", 0.7)])
def test_infinite_slopes_leave_an_evaluation_and_a_curve(norm, eps):
    model, data = two_classes(Gamma(), [*GAPS, 1.0, -1.0])  # the last two have a black pixel
    found = measure.evaluate(model, data, Auto(eps, norm))
    assert found.success[:8].all()
    assert any(flag.startswith(flags.NOT_FINITE) for flag in found.flags)
    curve = measure.curve(model, data, [eps / 50, eps], norm=norm)
    assert [rate.hits for rate in curve.robust_accuracy] == [10, found.robust_accuracy.hits]


def test_the_audit_of_such_a_network_goes_on_and_is_blocked():
    model, data = linear()
    model.net = Shut(model.net)
    found = subject((model, data), 0.3)
    assert flags.GRADIENT_FREE in found.evaluation.flags
    raised = {name: look(found).raised for name, look in LOOKS.items()}
    assert raised["zero gradient"]
    assert raised["margin off its gradient"]
    assert raised["black box beats white box"]


class Shut(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("seed", [18446744073709552, 1764535000123456789, 2**63 - 1])
def test_every_seed_that_the_command_line_takes_works(seed, monkeypatch):
    monkeypatch.setattr(Auto, "stages", Short.stages)
    model, data = linear()
    found = measure.evaluate(model, data, Short(0.05), seed=seed)
    assert found.seed == seed
    effort = replace(SMALL, probes=10, planted=2, noisy=1, queries=50)
    audited = measure.audit(model, data[:10], eps=0.05, seed=seed, effort=effort)
    assert audited.evaluation.seed == seed


def test_parts_of_a_seed_are_seeds_and_differ():
    parts = {subseed(seed, part) for seed in (0, 1, 2**63 - 1) for part in range(20)}
    assert len(parts) == 60
    assert all(0 <= part < 2**63 for part in parts)
    assert subseed(3, 4) == 3004
    assert subseed(2**63 - 1, 1, parts=1) == 0
    assert Draws.keyed(max(parts), torch.arange(2)).uniform(3).shape == (2, 3)
