"""Bounds of one-pixel changes are sound: nothing sampled undercuts one, and every broken bound is caught."""

import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pixel_nets import (
    Forked,
    classifier,
    deep,
    overlapping,
    plain,
    random_images,
    residual,
    strided,
)
from pixelproof.attacks.pixel.graph import capture
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.margins import colour_grid, margins
from pixelproof.attacks.pixel.ops import Linear, Relu
from pixelproof.attacks.pixel.plan import draw
from pixelproof.prove import (
    backward,
    forward,
    linear,
    relax,
    symbols,
)
from pixelproof.prove.backward import Backward
from pixelproof.prove.bounds import PixelBounds
from pixelproof.prove.cover import grid
from pixelproof.prove.relax import Form, rectify
from pixelproof.prove.site import Bent, Site, Trace

BOUNDED = {
    "plain": (lambda: plain(), (3, 12, 12), True),
    "grey": (lambda: plain(1, 14), (1, 14, 14), False),
    "strided": (lambda: strided(), (3, 16, 16), False),
    "overlapping": (lambda: overlapping(), (3, 16, 16), False),
    "residual": (lambda: residual(), (3, 24, 24), False),
    "forked": (lambda: Forked(), (3, 12, 12), False),
}


def prepared(name):
    net, shape, normalised = BOUNDED[name]
    model = classifier(net(), shape, normalised=normalised)
    image = random_images(shape, 1)[0]
    engine = Incremental(draw(capture(model, image[None]), image[None], clip=True), "")
    return model, image, engine


def gaps(name, *, halvings, pixels=4, samples=48, boxes=12):
    """Smallest sampled margin minus the bound, in float64, for random boxes of random pixels."""
    model, image, engine = prepared(name)
    label = int(model(image[None]).argmax())
    spots = PixelBounds(engine, image, label)
    exact = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(halvings)
    channels, _, width = image.shape
    found = []
    for position in torch.randperm(image[0].numel(), generator=generator)[:pixels].tolist():
        low, high = grid(channels, halvings)
        chosen = torch.randperm(len(low), generator=generator)[:boxes]
        low, high = low[chosen], high[chosen]
        bounded = spots.at(position).lower(low, high)
        assert ((bounded.axis >= 0) & (bounded.axis < channels)).all()
        assert torch.equal(bounded.strain < 1, bounded.bound > 0)
        inside = torch.rand(len(low), samples, channels, generator=generator, dtype=torch.float64)
        colours = low[:, None] + (high - low)[:, None] * torch.cat(
            [inside, colour_grid(channels, 2).expand(len(low), -1, -1)], 1
        )
        batch = image.double().repeat(colours[..., 0].numel(), 1, 1, 1)
        batch[:, :, position // width, position % width] = colours.flatten(0, 1)
        with torch.no_grad():
            sampled = margins(exact(batch), label, False).view(len(low), -1).amin(1)
        found.append(sampled - bounded.bound)
    return torch.cat(found)


@pytest.mark.parametrize("halvings", [0, 3, 7])
@pytest.mark.parametrize("name", BOUNDED)
def test_sampling_never_undercuts_a_bound(name, halvings):
    assert gaps(name, halvings=halvings).min() >= 0


@pytest.mark.parametrize("name", BOUNDED)
def test_bounds_of_small_boxes_are_tight(name):
    assert gaps(name, halvings=9, pixels=3, samples=12, boxes=8).median() < 0.2


@pytest.mark.parametrize("name", BOUNDED)
def test_a_bound_does_not_depend_on_what_was_bounded_before(name):
    model, image, engine = prepared(name)
    label = int(model(image[None]).argmax())
    position = image[0].numel() // 2 + 3
    low, high = grid(len(image), 2)
    fresh = PixelBounds(engine, image, label).at(position).lower(low, high).bound
    used = PixelBounds(engine, image, label).at(position)
    used.lower(*grid(len(image), 0))  # one box alone
    used.exact(low[:1])
    torch.testing.assert_close(used.lower(low, high).bound, fresh, rtol=0, atol=0)


def relaxed_with(change):
    original = relax.relax

    def mutated(centre, radius):
        how = original(centre, radius)
        return dataclasses.replace(how, **change(how))

    return mutated


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(
            lambda patch: patch.setattr(relax, "relax", relaxed_with(lambda how: {"shift": -how.shift})), id="sign"
        ),
        pytest.param(
            lambda patch: patch.setattr(relax, "relax", relaxed_with(lambda how: {"error": 0 * how.error})), id="error"
        ),
        pytest.param(lambda patch: patch.setattr(Form, "spread", lambda form: 0 * form.x[0]), id="generators"),
        pytest.param(lambda patch: patch.setattr(Form, "carried", lambda form: None), id="symbols dropped"),
        pytest.param(lambda patch: patch.setattr(forward, "GROWTH", -1.0), id="symbols"),
        pytest.param(lambda patch: patch.setattr(Form, "top", lambda form: -form.x[0].abs() - 1), id="settled maxima"),
    ],
)
def test_a_broken_bound_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    worst = min(float(gaps(name, halvings=halvings).min()) for name in ("plain", "strided") for halvings in (2, 5))
    assert worst < 0


def backward_gaps(name, *, halvings=3):
    """Smallest sampled difference label - rival minus its backward bound, for every rival, in float64."""
    model, image, engine = prepared(name)
    label = int(model(image[None]).argmax())
    rivals = [k for k in range(4) if k != label]
    spots = PixelBounds(engine, image, label)
    exact = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(7)
    channels, _, width = image.shape
    low, high = grid(channels, halvings)
    found = []
    for position in torch.randperm(image[0].numel(), generator=generator)[:4].tolist():
        spot = spots.at(position)
        with torch.no_grad():
            trace = spot.forward.trace(low, high)
            rows, columns = torch.ones(len(low), len(rivals)).nonzero(as_tuple=True)
            bound = spot.backward.bound(trace, rows, columns, torch.inf).view(len(low), -1)
            inside = torch.rand(len(low), 60, channels, generator=generator, dtype=torch.float64)
            colours = low[:, None] + (high - low)[:, None] * inside
            batch = image.double().repeat(colours[..., 0].numel(), 1, 1, 1)
            batch[:, :, position // width, position % width] = colours.flatten(0, 1)
            logits = exact(batch).view(len(low), -1, 4)
            found.append((logits[..., [label]] - logits[..., rivals]).amin(1) - bound)
    return torch.cat(found)


@pytest.mark.parametrize("name", BOUNDED)
def test_sampling_never_undercuts_a_backward_bound(name):
    assert backward_gaps(name).min() >= 0


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(lambda patch: patch.setattr(Backward, "_merged", lambda *_: torch.zeros(1)), id="errors before"),
        pytest.param(lambda patch: patch.setattr(Backward, "_windows", lambda *_: torch.zeros(1)), id="on windows"),
        pytest.param(
            lambda patch: patch.setattr(Backward, "_windows", lambda self, trace, rows, slope: -slope.abs().sum(1)),
            id="sign",
        ),
    ],
)
def test_a_broken_backward_bound_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    tried = [("plain", 3), ("strided", 3), ("residual", 0), ("overlapping", 0)]
    assert any(float(backward_gaps(name, halvings=halvings).min()) < 0 for name, halvings in tried)


def test_a_maximum_is_settled_only_where_all_that_reads_it_is_a_rectifier(monkeypatch):
    monkeypatch.setattr(Site, "_rectified", lambda self, value: True)
    assert gaps("forked", halvings=3).min() < 0


def rounding_gaps():
    """The exact difference label - rival of single colours minus its bounds (forward, backward), large weights."""
    model, image = classifier(plain(), (3, 12, 12)), random_images((3, 12, 12), 1)[0]
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.mul_(4)
    engine = Incremental(draw(capture(model, image[None]), image[None], clip=True), "")
    label = int(model(image[None]).argmax())
    rivals = [k for k in range(4) if k != label]
    exact = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(0)
    found = []
    for position in torch.randperm(144, generator=generator)[:3].tolist():
        spot = PixelBounds(engine, image, label).at(position)
        colours = torch.rand(64, 3, generator=generator)
        batch = image.double().repeat(len(colours), 1, 1, 1)
        batch[:, :, position // 12, position % 12] = colours.double()
        with torch.no_grad():
            trace = spot.forward.trace(colours, colours)
            rows, columns = torch.ones(len(colours), len(rivals)).nonzero(as_tuple=True)
            back = spot.backward.bound(trace, rows, columns, torch.inf).view(len(colours), -1)
            logits = exact(batch)
        truth = logits[:, [label]] - logits[:, rivals]
        found.append(torch.stack([truth - (trace.margin - trace.error), truth - back]))
    return torch.cat(found, 1).flatten(1).amin(1)


def test_rounding_is_paid_where_it_is_all_the_error_and_missed_where_it_is_not(monkeypatch):
    assert (rounding_gaps() >= 0).all()
    for module in (relax, forward, linear, backward):
        monkeypatch.setattr(module, "SHORT", 0.0)
    for module in (symbols, relax, forward, linear):
        monkeypatch.setattr(module, "GROWTH", 0.0)
    monkeypatch.setattr(linear, "rounding", lambda terms: 0.0)
    monkeypatch.setattr(backward, "SUMS", 0.0)
    assert (rounding_gaps() < 0).all()


@pytest.mark.parametrize("shape", [(20, 3), (3, 20), (8, 2, 3, 5), (2, 8, 3, 5)])
def test_the_longer_of_a_sum_and_its_transpose_decides_the_rounding(shape):
    longest = {2: 20, 4: 8 * 15}[len(shape)]
    assert linear.Weights.of(torch.ones(shape)).gamma == relax.rounding(longest)


def slack_of_lines(hidden):
    """Smallest sampled difference label - rival minus its backward bound through dense rectifiers, over whole cubes."""
    found = []
    for seed in range(6):
        model, image = classifier(deep(hidden), (3, 4, 4), 3, seed=seed), random_images((3, 4, 4), 1, seed)[0]
        label = int(model(image[None]).argmax())
        rivals = [k for k in range(3) if k != label]
        engine = Incremental(draw(capture(model, image[None]), image[None], clip=True), "")
        spots, exact = PixelBounds(engine, image, label), copy.deepcopy(model).double()
        colours = colour_grid(3, 9).double()
        for position in range(0, 16, 2):
            spot = spots.at(position)
            batch = image.double().repeat(len(colours), 1, 1, 1)
            batch[:, :, position // 4, position % 4] = colours
            with torch.no_grad():
                trace = spot.forward.trace(*grid(3, 0))
                bound = spot.backward.bound(trace, torch.tensor([0, 0]), torch.tensor([0, 1]), torch.inf)
                logits = exact(batch)
            found.append(float(((logits[:, [label]] - logits[:, rivals]).amin(0) - bound).min()))
    return min(found)


@pytest.mark.parametrize("hidden", [1, 2])
def test_lines_through_dense_rectifiers_are_sound_and_wrong_ones_caught(monkeypatch, hidden):
    assert slack_of_lines(hidden) >= 0
    original = relax.relax

    def mutated(*ends):
        how = original(*ends)
        return dataclasses.replace(how, error=-how.error)

    monkeypatch.setattr(relax, "relax", mutated)
    assert slack_of_lines(hidden) < -1e-3


RAISING, HIGH, LOW = (1.0, 0.4, 0.3, 0.6), (-1.0, 0.5, -1.0, 0.5), (-1.0, -0.2, 0.0, 0.6)


@pytest.mark.parametrize(
    ("neurons", "truth"),
    [([RAISING], 0.0), ([HIGH], -2.0), ([LOW], -0.4), ([RAISING, HIGH, LOW], -2.4)],
    ids=["raising", "lowering, high", "lowering, low", "together"],
)
def test_the_line_of_a_neuron_touches_what_it_can_be(neurons, truth):
    """The sum of weight * relu(centre + slope * t + r), |r| <= error, t in [-1, 1], is least at t = -1."""
    weights, centre, slopes, errors = torch.tensor(neurons).t()
    x, e, zero = torch.stack([centre, slopes])[:, None], errors[None, None], torch.zeros(1)
    entering = Form(x, e, x[:0, :1], x.new_zeros(1, 0), ())
    out, how = rectify(entering, zero, zero, (0, 0))
    weight = weights[None]
    exact = linear.Rounded(zero, torch.zeros(len(neurons)), zero), linear.Rounded(zero, zero, zero)
    tail = [exact[0], Bent(x, e[0], how), exact[1]]
    trace = Trace(
        {}, {}, {}, tail, out.x[0] @ weight.t(), out.x[1:] @ weight.t(), out.e[0] @ weight.abs().t(), entering
    )
    site = Site.__new__(Site)  # of which only what the dense layers need is given
    site.plan = site.windows = None
    site.margin = SimpleNamespace(rivals=[1], ops=[Relu(), Linear(weight, None)])
    site.entry = linear.Weights.of(torch.eye(len(neurons)))
    first = torch.zeros(1, dtype=torch.long)
    least, error, slope = Backward(site)._dense(trace, first, first)
    bound = float(least - error - (slope.abs() * e[0]).sum(1))
    assert truth - 1e-4 < bound <= truth + 1e-7
