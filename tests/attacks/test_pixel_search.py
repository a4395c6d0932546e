"""One-pixel and few-pixel attacks: definitions, budgets, and the sweep against differential evolution."""

import pytest
import torch
from torch import nn

from pixel_nets import classifier, make, random_images
from pixelproof import data, models, specs
from pixelproof.attacks import ATTACKS, FewPixel, OnePixel, OnePixelDE, mount
from pixelproof.attacks.pixel import evolution, found
from pixelproof.attacks.pixel.margins import colour_grid, margins
from pixelproof.attacks.pixel.search import BEFORE
from pixelproof.draws import Draws
from pixelproof.errors import BadInput
from pixelproof.lp import norm
from pixelproof.models import Training
from pixelproof.types import Goal

MODEL = make("plain", seed=3)
IMAGES = random_images((3, 12, 12), 8, seed=2)
LABELS = MODEL.predict(IMAGES).argmax(1)
QUICK = {
    "one-pixel": OnePixel(),
    "one-pixel-de": OnePixelDE(24, 6),
    "three pixels by evolution": OnePixelDE(24, 6, 3),
    "few-pixel": FewPixel(3, 40, 16),
}


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", QUICK)
def test_at_most_the_allowed_pixels_change_to_eight_bit_colours(name):
    attack = QUICK[name]
    images = attack(MODEL, IMAGES, Goal(LABELS), generator())
    assert (norm(images - IMAGES, "l0") <= attack.eps).all()
    fresh = images[(images != IMAGES)]
    torch.testing.assert_close((fresh * 255).round() / 255, fresh)
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize("name", QUICK)
def test_specs_round_trip(name):
    attack = QUICK[name]
    assert specs.parse(specs.write(attack), ATTACKS) == attack


@pytest.mark.parametrize("name", ["one-pixel-de", "few-pixel"])
def test_results_do_not_depend_on_the_batch(name):
    attack = QUICK[name]
    index = torch.arange(len(IMAGES))
    together = attack(MODEL, IMAGES, Goal(LABELS), Draws.keyed(5, index))
    alone = torch.cat([attack(MODEL, IMAGES[[k]], Goal(LABELS[[k]]), Draws.keyed(5, index[[k]])) for k in range(4)])
    assert torch.equal(together[:4], alone)


@pytest.mark.parametrize("name", QUICK)
def test_targeted_success_is_the_target_class(name):
    targets = (LABELS + 1) % 4
    images = QUICK[name](MODEL, IMAGES, Goal(targets, True), generator())
    predicted = MODEL.predict(images).argmax(1)
    before, after = (margins(MODEL.predict(x)[k], int(targets[k]), True) for x in (IMAGES, images) for k in [0])
    assert after <= before
    found = OnePixel().search(MODEL, IMAGES, Goal(targets, True))
    if name == "one-pixel":
        assert torch.equal(found.success, predicted == targets)
        assert found.success.any()


def test_the_sweep_finds_whatever_evolution_finds():
    goal = Goal(LABELS)
    evolved = MODEL.predict(OnePixelDE(60, 15)(MODEL, IMAGES, goal, generator())).argmax(1) != LABELS
    swept = OnePixel().search(MODEL, IMAGES, goal).success
    assert evolved.any()
    assert not (evolved & ~swept).any()


def test_the_complete_map_is_what_trying_everything_gives():
    found = OnePixel(sweep="always").search(MODEL, IMAGES[:2], Goal(LABELS[:2]))
    for row in range(2):
        vulnerable = torch.zeros(144, dtype=torch.bool)
        classes = {int(LABELS[row])}
        for position in range(144):
            batch = IMAGES[row].repeat(8, 1, 1, 1)
            batch[:, :, position // 12, position % 12] = colour_grid(3, 2)
            predicted = MODEL.predict(batch).argmax(1)
            vulnerable[position] = bool((predicted != LABELS[row]).any())
            classes |= set(predicted.tolist())
        assert torch.equal(found.vulnerable[row].flatten(), vulnerable)
        assert set(found.targets[row].nonzero()[:, 0].tolist()) == classes
    assert found.complete.all()
    assert (found.candidates == 144 * 8).all()


def test_full_and_incremental_search_agree():
    parts = [
        OnePixel(sweep="always", executor=kind).search(MODEL, IMAGES[:3], Goal(LABELS[:3])) for kind in ("full", "auto")
    ]
    torch.testing.assert_close(parts[0].margin, parts[1].margin, rtol=1e-4, atol=1e-4)
    assert torch.equal(parts[0].success, parts[1].success)
    assert parts[0].note != parts[1].note


def test_a_linear_classifier_is_attacked_at_its_best_pixel():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    model = classifier(net, (1, 4, 4), 2)
    image = torch.full((1, 1, 4, 4), 0.5)
    label = model.predict(image).argmax(1)
    weight = net[1].weight[label] - net[1].weight[1 - label]
    found = OnePixel(ranked=1, sweep="never").search(model, image, Goal(label))
    assert int(found.position[0]) == int(weight.abs().argmax())
    assert float(found.colour[0, 0]) == float(weight[0, int(weight.abs().argmax())] < 0)


def test_images_that_are_already_wrong_are_reported_and_left_alone():
    wrong = (LABELS[:4] + 1) % 4
    found = OnePixel().search(MODEL, IMAGES[:4], Goal(wrong))
    assert found.already.all()
    assert not found.success.any()
    assert torch.equal(found.images, IMAGES[:4])
    assert not found.candidates.any()


def test_more_levels_try_more_colours_only_where_corners_fail():
    found = OnePixel(levels=3).search(MODEL, IMAGES, Goal(LABELS))
    plain = OnePixel().search(MODEL, IMAGES, Goal(LABELS))
    assert (found.candidates[~plain.success] == plain.candidates[~plain.success] + 144 * 27).all()
    assert torch.equal(found.candidates[plain.success], plain.candidates[plain.success])


@pytest.mark.parametrize("name", QUICK)
def test_training_mode_is_refused_and_gradients_are_restored(name):
    model = make("plain")
    QUICK[name](model, IMAGES[:1], Goal(LABELS[:1]), generator())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    with pytest.raises(BadInput, match="evaluation mode"):
        QUICK[name](model.train(), IMAGES[:1], Goal(LABELS[:1]), generator())


@pytest.mark.parametrize(
    "make_attack",
    [
        lambda: OnePixel(ranked=0, sweep="never"),
        lambda: OnePixel(levels=1),
        lambda: OnePixelDE(population=3),
        lambda: OnePixelDE(population=10_001),
        lambda: OnePixelDE(population=1_000_000_000),
        lambda: OnePixelDE(population=400, pixels=100_000),
        lambda: OnePixelDE(iterations=-1),
        lambda: FewPixel(k=0),
        lambda: FewPixel(queries=-1),
    ],
)
def test_settings_that_cannot_be_right_are_refused(make_attack):
    with pytest.raises(BadInput):
        make_attack()


@pytest.mark.parametrize("name", QUICK)
def test_images_and_labels_that_cannot_be_right_are_refused(name):
    with pytest.raises(BadInput, match="lie in"):
        QUICK[name](MODEL, IMAGES * 255, Goal(LABELS), generator())
    with pytest.raises(BadInput, match="labels"):
        QUICK[name](MODEL, IMAGES, Goal(LABELS + 9), generator())


def test_few_pixels_cannot_exceed_the_image():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(BadInput, match="pixels"):
        FewPixel(k=5)(classifier(net, (1, 2, 2), 2), torch.rand(1, 1, 2, 2), Goal(torch.tensor([0])), generator())


def test_evolution_cannot_exceed_the_image():
    with pytest.raises(BadInput, match=f"an image has {IMAGES[0, 0].numel()} pixels"):
        OnePixelDE(4, 1, pixels=IMAGES[0, 0].numel() + 1)(MODEL, IMAGES, Goal(LABELS), generator())


def test_finer_colours_than_memory_holds_are_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(BadInput, match="256 levels in 3 channels"):
        OnePixel(levels=256).search(classifier(net, (3, 2, 2), 2), torch.rand(1, 3, 2, 2), Goal(torch.tensor([0])))


def test_parents_are_chosen_alike_however_few_numbers_memory_holds(monkeypatch):
    attack = OnePixelDE(population=11, iterations=3)
    whole = attack(MODEL, IMAGES, Goal(LABELS), generator())
    monkeypatch.setattr(evolution, "DRAWN", 2 * 11 * len(IMAGES))
    assert torch.equal(attack(MODEL, IMAGES, Goal(LABELS), generator()), whole)


def test_candidates_are_judged_alike_however_many_memory_holds(monkeypatch):
    whole = OnePixel(sweep="always").search(MODEL, IMAGES, Goal(LABELS))
    monkeypatch.setattr(found, "TOGETHER", 1000)
    parts = OnePixel(sweep="always").search(MODEL, IMAGES, Goal(LABELS))
    assert torch.equal(parts.vulnerable, whole.vulnerable)
    assert torch.equal(parts.candidates, whole.candidates)
    torch.testing.assert_close(parts.margin, whole.margin)


def test_more_pixels_fool_at_least_as_many():
    rates = [
        int((MODEL.predict(FewPixel(k, 60, 16)(MODEL, IMAGES, Goal(LABELS), generator())).argmax(1) != LABELS).sum())
        for k in (1, 3)
    ]
    assert rates[0] <= rates[1]
    assert rates[1] > 0


def test_three_pixels_beat_evolution_over_three_pixels_at_equal_queries():
    model = models.load("cnn", data=data.load("digits"), training=Training(epochs=8, batch=64))
    test = data.load("digits", "test")[torch.arange(60)]
    allowed = 600
    evolved = mount(OnePixelDE(60, allowed // 60 - 1, 3), model, test, seed=0)
    greedy = 3 * (2 * 16 + BEFORE + 1)
    few = mount(FewPixel(3, allowed - greedy - 8, 16), model, test, seed=0)
    assert int(few.forwards.max()) <= allowed
    assert int(evolved.forwards.max()) <= allowed
    assert int(few.success.sum()) > int(evolved.success.sum())
