"""The one-pixel certificate is sound: nothing sampled undercuts a bound, and broken bounds are caught."""

import copy
import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from pixel_nets import (
    Forked,
    Noisy,
    averaged,
    classifier,
    deep,
    overlapping,
    plain,
    random_images,
    residual,
    smooth,
    strided,
)
from torch import nn

from pixelproof.attacks.pixel import (
    Journal,
    OnePixelDE,
    backward,
    certify_one_pixel,
    cover,
    forward,
    linear,
    relax,
    symbols,
)
from pixelproof.attacks.pixel.backward import Backward
from pixelproof.attacks.pixel.bounds import Bounded, PixelBounds, Spot
from pixelproof.attacks.pixel.cover import Cover, grid, halved, merged, ordered
from pixelproof.attacks.pixel.graph import capture
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.margins import colour_grid, margins
from pixelproof.attacks.pixel.ops import Linear, Relu
from pixelproof.attacks.pixel.plan import draw
from pixelproof.attacks.pixel.relax import Form, larger, rectify
from pixelproof.attacks.pixel.site import Bent, Site, Trace
from pixelproof.attacks.pixel.subject import unsupported
from pixelproof.errors import BadInput, RunError
from pixelproof.types import Goal

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


def test_a_pixel_begins_with_the_boxes_of_the_nearest_one(monkeypatch):
    model, images, labels = gentle()
    row = int(certify_one_pixel(model, images, labels, budget=60.0).certified.nonzero()[0, 0])
    engine = Incremental(draw(capture(model, images[:1]), images[:1], clip=True), "")
    spots = PixelBounds(engine, images[row], int(labels[row]))
    one = Cover(3, 8)
    first = [one.prove(spots, position) for position in (0, 63)]
    again = [one.prove(spots, position) for position in (0, 63)]
    assert all(outcome.proven for outcome in (*first, *again))
    assert again[0].boxes <= first[0].boxes
    assert again[1].boxes <= first[1].boxes
    near = one.prove(spots, 1)
    assert near.proven
    assert near.boxes >= len(one.used[0][0])
    monkeypatch.setattr(cover, "KEPT", 2)
    assert one.prove(spots, 2).proven
    assert len(one.used) == 3


def linear_model(seed):
    return classifier(nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 3)), (3, 4, 4), 3, seed=seed)


def one_relu_model(seed):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 1), nn.ReLU(), nn.Linear(1, 3))
    return classifier(net, (3, 4, 4), 3, seed=seed)


def smallest_corner_margin(model, image, label):
    """The exact minimum where every margin is a monotone function of one linear form of the colour."""
    corners = colour_grid(3, 2)
    batch = image.repeat(16, len(corners), 1, 1, 1)
    for position in range(16):
        batch[position, :, :, position // 4, position % 4] = corners
    return float(margins(model.predict(batch.flatten(0, 1)), label, False).min())


def test_a_linear_network_is_bounded_exactly():
    model, image = linear_model(1), random_images((3, 4, 4), 1)[0]
    label = int(model(image[None]).argmax())
    engine = Incremental(draw(capture(model, image[None]), image[None], clip=True), "")
    spots = PixelBounds(engine, image, label)
    low, high = grid(3, 0)
    bound = min(float(spots.at(position).lower(low, high).bound) for position in range(16))
    assert bound == pytest.approx(smallest_corner_margin(model, image, label), abs=1e-4)


@pytest.mark.parametrize("make_model", [linear_model, one_relu_model])
def test_networks_in_closed_form_get_the_exact_verdict(make_model):
    verdicts = []
    for seed in range(6):
        model, images = make_model(seed), random_images((3, 4, 4), 4, seed)
        labels = model.predict(images).argmax(1)
        proof = certify_one_pixel(model, images, labels, budget=20.0)
        for row in range(len(images)):
            truth = smallest_corner_margin(model, images[row], int(labels[row]))
            if abs(truth) > 5e-3:
                assert bool(proof.attacked[row]) == (truth < 0)
                assert bool(proof.certified[row]) == (truth > 0)
                verdicts.append(truth < 0)
    assert {True, False} == set(verdicts)


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


def gentle():
    """A network and images of which some fall to one pixel and some are safe."""
    model = classifier(plain(3, 8), (3, 8, 8), seed=5)
    images = random_images((3, 8, 8), 6, seed=1)
    with torch.no_grad():
        model.net[0].weight.mul_(0.3)
        model.net[-1].bias.sub_(model(images).mean(0))
    return model, images, model.predict(images).argmax(1)


def test_certified_images_survive_and_attacked_ones_have_a_witness():
    model, images, labels = gentle()
    proof = certify_one_pixel(model, images, labels, budget=60.0)
    assert proof.certified.any()
    assert proof.attacked.any()
    assert not proof.undecided.any()
    evolved = OnePixelDE(40, 10)(model, images, Goal(labels), torch.Generator().manual_seed(0))
    assert (model.predict(evolved).argmax(1) == labels)[proof.certified].all()
    grid = colour_grid(3, 5)
    for row in proof.certified.nonzero()[:, 0].tolist():
        for position in range(64):
            batch = images[row].repeat(len(grid), 1, 1, 1)
            batch[:, :, position // 8, position % 8] = grid
            assert (model.predict(batch).argmax(1) == labels[row]).all()
    for row in proof.attacked.nonzero()[:, 0].tolist():
        image = images[row].clone()
        position = int(proof.position[row])
        image[:, position // 8, position % 8] = proof.colour[row]
        assert int(model.predict(image[None]).argmax()) != int(labels[row])
    assert proof.certified_accuracy.hits <= proof.robust_accuracy.hits
    assert proof.certified_accuracy.n == 6


def test_a_killed_proof_goes_on_where_it_stopped(tmp_path):
    model, images, labels = gentle()
    row = int(certify_one_pixel(model, images, labels, budget=60.0).certified.nonzero()[0, 0])
    part = images[row : row + 1], labels[row : row + 1]

    def kill(number, decided, pixels):
        assert (number, decided, pixels) == (0, 32, 64)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify_one_pixel(model, *part, budget=60.0, journal=Journal(tmp_path, kill))
    stopped = certify_one_pixel(model, *part, budget=1e-9, journal=Journal(tmp_path))
    assert stopped.undecided.all()
    assert int(stopped.open.sum()) == 64 - 32 - 1
    done = certify_one_pixel(model, *part, budget=60.0, journal=Journal(tmp_path))
    assert done.certified.all()
    assert not done.open.any()
    assert done.boxes[0] > stopped.boxes[0]
    again = certify_one_pixel(model, *part, budget=1e-9, journal=Journal(tmp_path))
    assert again.certified.all()
    assert torch.equal(again.boxes, done.boxes)


def test_a_journal_of_something_else_is_refused(tmp_path):
    model, images, labels = gentle()
    certify_one_pixel(model, images[:1], labels[:1], budget=1e-6, journal=Journal(tmp_path))
    with pytest.raises(RunError, match="belong"):
        certify_one_pixel(model, images[1:2], labels[1:2], budget=1.0, journal=Journal(tmp_path))
    (tmp_path / "image-00000.json").write_text("{")
    with pytest.raises(RunError, match="proof"):
        certify_one_pixel(model, images[:1], labels[:1], budget=1.0, journal=Journal(tmp_path))


def test_images_that_are_wrong_from_the_start_are_reported():
    model, images, labels = gentle()
    proof = certify_one_pixel(model, images[:2], (labels[:2] + 1) % 4, budget=1.0)
    assert proof.wrong.all()
    assert not proof.attacked.any()
    assert float(proof.robust_accuracy) == 0


def test_training_mode_is_refused():
    model, images, labels = gentle()
    with pytest.raises(BadInput, match="evaluation mode"):
        certify_one_pixel(model.train(), images, labels, budget=1.0)


def test_a_bound_that_is_not_a_number_proves_nothing(monkeypatch):
    model, images, labels = gentle()
    engine = Incremental(draw(capture(model, images[:1]), images[:1], clip=True), "")
    spots = PixelBounds(engine, images[0], int(labels[0]))

    def undefined(spot, low, high):
        nothing = torch.full((len(low),), torch.nan)
        return Bounded(nothing, torch.zeros(len(low), dtype=torch.long), nothing)

    monkeypatch.setattr(Spot, "lower", undefined)
    monkeypatch.setattr(Spot, "exact", lambda spot, colours: torch.ones(len(colours)))
    assert not Cover(3, 8).prove(spots, 0).proven


def test_all_images_are_attacked_before_any_is_proven_and_the_widest_margin_comes_first(tmp_path):
    model, images, labels = gentle()
    told = []

    def stop(*facts):
        told.append(facts)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        certify_one_pixel(model, images, labels, budget=60.0, journal=Journal(tmp_path, stop))
    stored = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]
    assert len(stored) == len(images)
    undecided = [each for each in stored if each["verdict"] == "undecided"]
    begun = [each["corner_margin"] for each in undecided if each["decided"]]
    assert begun == [max(each["corner_margin"] for each in undecided)]
    assert told == [(len(images) - len(undecided), 32, 64)]
    told.clear()
    done = certify_one_pixel(model, images, labels, budget=60.0, journal=Journal(tmp_path, lambda *a: told.append(a)))
    assert not done.undecided.any()
    assert told[-1] == (len(images), 0, 64)
    assert [finished for finished, _, _ in told] == sorted(finished for finished, _, _ in told)


@pytest.mark.parametrize("budget", [0.0, -1.0])
def test_a_budget_that_is_not_positive_is_refused(budget):
    model, images, labels = gentle()
    with pytest.raises(BadInput, match="budget"):
        certify_one_pixel(model, images, labels, budget=budget)


def test_a_network_that_is_not_deterministic_is_refused():
    noisy = classifier(Noisy(), (3, 8, 8))
    images = random_images((3, 8, 8), 1)
    with pytest.raises(BadInput, match="deterministic"):
        certify_one_pixel(noisy, images, torch.tensor([0]), budget=1.0)
    model, images, labels = gentle()
    with pytest.raises(BadInput, match="deterministic"):
        certify_one_pixel(model.carrying(stochastic=True), images, labels, budget=1.0)


def test_steps_without_a_bound_are_named():
    model = classifier(smooth(), (3, 16, 16))
    with pytest.raises(BadInput, match=r"sigmoid.*gelu"):
        certify_one_pixel(model, random_images((3, 16, 16), 1), torch.tensor([0]), budget=1.0)
    mean = classifier(averaged(), (3, 16, 16))
    image = torch.zeros(1, 3, 16, 16)
    assert unsupported(draw(capture(mean, image), image, clip=True))
