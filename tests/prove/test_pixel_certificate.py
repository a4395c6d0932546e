"""The one-pixel certificate: exact verdicts in closed form, covers, journals, and what it refuses."""

import json

import pytest
import torch
from torch import nn

from pixel_nets import (
    Noisy,
    averaged,
    classifier,
    plain,
    random_images,
    smooth,
)
from pixelproof.attacks.pixel import OnePixelDE
from pixelproof.attacks.pixel.graph import capture
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.margins import colour_grid, margins
from pixelproof.attacks.pixel.plan import draw
from pixelproof.errors import BadInput, RunError
from pixelproof.prove import Journal, certify_one_pixel, cover
from pixelproof.prove.bounds import Bounded, PixelBound, PixelBounds
from pixelproof.prove.cover import Cover, grid
from pixelproof.prove.subject import unsupported
from pixelproof.types import Goal


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


def gentle():
    """A network and images of which some fall to one pixel and some are safe."""
    model = classifier(plain(3, 8), (3, 8, 8), seed=5)
    images = random_images((3, 8, 8), 6, seed=1)
    with torch.no_grad():
        model.net[0].weight.mul_(0.3)
        model.net[-1].bias.sub_(model(images).mean(0))
    return model, images, model.predict(images).argmax(1)


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

    monkeypatch.setattr(PixelBound, "lower", undefined)
    monkeypatch.setattr(PixelBound, "exact", lambda spot, colours: torch.ones(len(colours)))
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
    with pytest.raises(BadInput, match=r"sigmoid and GELU"):
        certify_one_pixel(model, random_images((3, 16, 16), 1), torch.tensor([0]), budget=1.0)
    mean = classifier(averaged(), (3, 16, 16))
    image = torch.zeros(1, 3, 16, 16)
    assert unsupported(draw(capture(mean, image), image, clip=True))
