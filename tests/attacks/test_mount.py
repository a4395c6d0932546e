"""The harness: what it selects, counts and verifies, and that it believes no attack."""

import pytest
import torch
from attack_toys import Returns, digits_net, linear
from torch import nn

from pixelproof import attacks, lp, measure, models
from pixelproof.attacks import BIM, FGSM, PGD, DeepFool, UniformNoise, mount
from pixelproof.attacks.adaptive import Alarm, evade
from pixelproof.attacks.mount import round_towards
from pixelproof.data import Dataset
from pixelproof.errors import BadInput, BrokenPromise
from pixelproof.types import Goal


def test_only_what_the_model_gets_right_is_attacked():
    model, test = digits_net()
    labels = test.labels.clone()
    labels[:30] = (labels[:30] + 1) % 10  # thirty images that the model now gets wrong
    wrong = Dataset("relabelled", test.pixels, labels, test.classes, test.index)
    right = (model.predict(test.images).argmax(1) == labels).nonzero()[:, 0]
    found = mount(FGSM(0.1), model, wrong)
    assert found.offered == 150
    assert len(found) == len(right) < 121
    assert torch.equal(found.index, wrong.index[right])
    assert torch.equal(found.labels, labels[right])
    torch.testing.assert_close(found.clean, wrong.images[right])
    assert found.left_standing.n == len(right)
    assert found.robust_accuracy.n == found.clean_accuracy.n == 150
    assert found.robust_accuracy.hits == found.left_standing.hits == int((~found.success).sum())
    assert found.expected_robust_accuracy == pytest.approx(float(found.robust_accuracy))
    part = found[torch.arange(7)]
    assert part.robust_accuracy.n == part.left_standing.n == 7
    assert sum(found.class_counts.values()) == len(right)
    assert found.class_counts[3] == int((labels[right] == 3).sum())


def test_the_set_says_what_was_done():
    model, test = digits_net()
    found = mount(BIM(0.1), model, test, seed=4)
    assert attacks.parse(found.attack) == BIM(0.1)
    assert (found.data, found.model, found.seed, found.norm, found.eps) == ("digits", "cnn", 4, "linf", 0.1)
    assert "bim" in repr(found)
    assert found.seconds > 0
    assert set(found.distance) == {"l0", "l1", "l2", "linf"}
    for kind, size in found.distance.items():
        assert torch.equal(size, lp.norm(found.images - found.clean, kind))
    least = found.minimal("l2")
    assert torch.equal(least.isfinite(), found.success)
    assert torch.equal(found.predicted, model.predict(found.images).argmax(1))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda images: images + 0.2, "must stay within linf 0.1; got 0.2"),
        (lambda images: images - 0.7, r"finite images in \[0, 1\]"),
        (lambda images: images + 0.7, r"finite images in \[0, 1\]"),
        (lambda images: images * float("nan"), "finite images"),
        (lambda images: images / 0, "finite images"),
        (lambda images: images[:1], "must return images of shape"),
        (lambda images: images[:, :, :2], "must return images of shape"),
    ],
)
def test_a_broken_promise_is_named_and_nothing_is_clipped(made, says):
    model, _, toy = linear()
    with pytest.raises(BrokenPromise, match=says):
        mount(Returns(made), model, toy)


def test_one_image_over_budget_among_many_is_found():
    def made(images):
        images = images.clone()
        images[7, 0, 0, 0] += 0.1001
        return images

    model, _, toy = linear()
    with pytest.raises(BrokenPromise, match="image 7 of its batch"):
        mount(Returns(made), model, toy)
    with pytest.raises(BrokenPromise, match="l2"):
        mount(Returns(lambda images: images + 0.05, norm="l2"), model, toy)
    assert len(mount(Returns(lambda images: images + 0.1), model, toy)) == len(toy)


def test_success_is_judged_here_and_not_by_the_attack():
    """An attack that returns clean images, and one that calls another network inside: neither is believed."""
    model, _, toy = linear()
    assert not mount(Returns(lambda images: images), model, toy).success.any()
    other = (toy.labels + 1) % 3
    flipped = Returns(lambda images: 1 - images, eps=None)
    found = mount(flipped, model, toy)
    assert torch.equal(found.success, model.predict(1 - toy.images).argmax(1) != toy.labels)
    assert not torch.equal(found.labels, other)


def test_success_in_8_bits_is_what_a_saved_file_shows():
    model, test = digits_net()
    found = mount(DeepFool(), model, test)
    assert found.success.all()
    saved = (found.images * 255).round().to(torch.uint8).float() / 255
    assert torch.equal(found.success_8bit, model.predict(saved).argmax(1) != found.labels)
    assert not found.success_8bit.all(), "some of the smallest perturbations do not survive rounding"


def test_eight_bit_images_are_whole_levels_inside_the_budget():
    model, test = digits_net()
    for attack in (BIM(0.1), PGD(8 / 255), FGSM(0.7, norm="l2"), UniformNoise(0.05)):
        found = mount(attack, model, test, eight_bit=True)
        levels = found.images * 255
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
        assert (found.distance[attack.norm] <= attack.eps * (1 + 1e-5)).all()
        assert torch.equal(found.success, found.success_8bit)
    full = mount(PGD(8 / 255, precision="float32"), model, test, eight_bit=True)
    assert (full.distance["linf"] * 255).round().max() == 8, "a budget of whole levels is used up"


def test_rounding_goes_towards_the_clean_image_and_keeps_whole_levels():
    clean = torch.tensor([100.0, 100.0, 100.0, 100.0]).view(1, 1, 2, 2) / 255
    moved = torch.tensor([102.7, 97.2, 103.0, 100.0]).view(1, 1, 2, 2) / 255
    assert (round_towards(clean, moved) * 255).round().flatten().tolist() == [102, 98, 103, 100]


def test_passes_are_counted_exactly():
    model, _, toy = linear()
    held = mount(FGSM(0.0001), model, toy)
    assert held.forwards.unique().tolist() == [1]
    assert held.backwards.unique().tolist() == [1]
    assert held.first_break.unique().tolist() == [-1]
    found = mount(BIM(1e-4, steps=6), model, toy)
    strong = ~found.success & (found.forwards == 7)
    assert strong.float().mean() > 0.5  # six steps and a last look; an extra look only where a break was in sight
    assert (found.backwards[~found.success] == 6).all()
    noise = mount(UniformNoise(0.1), model, toy)
    assert not noise.forwards.any()
    assert not noise.backwards.any()
    assert (mount(PGD(1e-4, steps=4, precision="float32"), model, toy).backwards == 4).all()


def test_the_first_break_is_the_pass_that_saw_it():
    """Replayed by hand: BIM step by step on one image, noting the first iterate that the model gets wrong."""
    model, _, toy = linear()
    eps, steps = 0.3, 10
    found = mount(BIM(eps, steps=steps), model, toy)
    assert found.success.any()
    for row in found.success.nonzero()[:, 0].tolist():
        clean, label = toy.images[row : row + 1], toy.labels[row : row + 1]
        x, taken = clean, 0
        while model(x).argmax(1) == label:
            x = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(x), label), x)
            x = (x + 2 * eps / steps * gradient.sign()).clamp(clean - eps, clean + eps).clamp(0, 1).detach()
            taken += 1
        assert found.backwards[row] in (taken, taken + 1)  # the pass that sees the break may itself take a gradient
        assert taken + 1 <= found.first_break[row] <= found.forwards[row]
        torch.testing.assert_close(found.images[row : row + 1], x)


@pytest.mark.parametrize("spec", ["bim:eps=0.3,steps=6", "pgd:eps=0.3,steps=6,precision=float32"])
def test_without_early_stop_every_image_takes_every_step_and_no_success_is_lost(spec):
    model, _, toy = linear()
    stopped, going = (mount(attacks.parse(f"{spec},early_stop={word}"), model, toy) for word in ("true", "false"))
    assert stopped.success.any()
    assert (going.backwards == 6).all()
    assert (going.forwards == 7).all()
    assert (stopped.backwards[stopped.success] < 6).any()
    assert not (stopped.success & ~going.success).any()
    assert going.attack.endswith("early_stop=false")


def test_progress_reaches_the_end():
    model, _, toy = linear()
    seen = []
    mount(FGSM(0.1), model, toy, batch=16, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(16, 40), (32, 40), (40, 40)]


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (torch.zeros(3, dtype=torch.long), "one label per image"),
        (torch.full((40,), 9), "got 9"),
        (None, "a target must differ from the label; got 40 equal"),
    ],
)
def test_targets_that_cannot_be_right_are_refused(targets, says):
    model, _, toy = linear()
    with pytest.raises(BadInput, match=says):
        mount(PGD(0.1), model, toy, targets=toy.labels if targets is None else targets)


@pytest.mark.usefixtures("unchecked")
def test_labels_in_place_of_a_goal_are_refused():
    model, _, toy = linear()
    with pytest.raises(BadInput, match=r"expected a Goal; got Tensor\. Write Goal\(labels\)"):
        PGD(0.1)(model, toy.images, toy.labels, None)


def test_data_that_does_not_fit_is_refused():
    model, _, toy = linear()
    other = Dataset("wide", torch.rand(4, 1, 4, 5), torch.zeros(4, dtype=torch.long), toy.classes)
    with pytest.raises(BadInput, match=r"expects images \(1, 4, 4\); got \(1, 4, 5\)"):
        mount(FGSM(0.1), model, other)
    many = Dataset("many", toy.images, torch.full((40,), 11), tuple(map(str, range(12))))
    with pytest.raises(BadInput, match="got 11"):
        mount(FGSM(0.1), model, many)
    wrong = Dataset("wrong", toy.images, (toy.labels + 1) % 3, toy.classes)
    with pytest.raises(BadInput, match="at least one correctly classified image is needed; got 0 of 40"):
        mount(FGSM(0.1), model, wrong)
    with pytest.raises(BadInput, match="batch must be at least 1"):
        mount(FGSM(0.1), model, toy, batch=0)


def test_a_model_whose_logits_are_not_finite_is_named():
    class Breaks(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(16, 3)

        def forward(self, images):
            return self.fc(images.flatten(1)) * torch.where(images.amax((1, 2, 3)) > 0.85, float("nan"), 1.0)[:, None]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Breaks()
    images = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.8
    card = models.Card("breaks", ("a", "b", "c"), (1, 4, 4))
    model = models.Classifier(net, card).eval()
    toy = Dataset("toy", images, model(images).argmax(1), card.classes)
    with pytest.raises(BadInput, match="breaks: must return finite logits"):
        mount(PGD(0.3), model, toy)
    broken = Dataset("toy", images + 0.19, toy.labels, card.classes)
    with pytest.raises(BadInput, match="breaks: must return finite logits"):
        mount(FGSM(0.1), model, broken)


def test_the_model_is_frozen_inside_and_restored_after_an_error():
    model, _, toy = linear()
    model.train()

    def made(images):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise KeyError("inside")

    with pytest.raises(KeyError):
        mount(Returns(made), model, toy)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_goals_are_seen_from_both_sides():
    logits = torch.tensor([[3.0, 1.0, 0.0]])
    assert Goal(torch.tensor([0])).margin(logits).item() == 2.0
    assert Goal(torch.tensor([1]), targeted=True).margin(logits).item() == 2.0
    assert Goal(torch.tensor([0]), targeted=True).margin(logits).item() == -2.0


@pytest.mark.parametrize("names", [("b", "a", "c"), ("a", "b", "d"), ("a", "b", "c", "d")])
def test_class_names_of_model_and_data_are_compared_before_any_work(names):
    model, _, toy = linear()
    named = models.wrap(model.net, classes=("a", "b", "c"), input_shape=model.card.input_shape).eval()
    other = Dataset("mine", toy.images, toy.labels, names)
    auto = attacks.Auto(0.1)
    for asked in (
        lambda: mount(PGD(0.1), named, other),
        lambda: attacks.sweep(PGD(0.1), named, other, [0.1]),
        lambda: attacks.transfer(PGD(0.1), named, named, other),
        lambda: measure.evaluate(named, other, auto),
        lambda: evade(PGD(0.1), named, other, Alarm(lambda x: x.flatten(1).mean(1), 0.9)),
    ):
        with pytest.raises(BadInput, match="must have the classes of mine"):
            asked()
    assert mount(PGD(0.1), named, Dataset("mine", toy.images, toy.labels, ("a", "b", "c"))).offered == len(toy)
    assert mount(PGD(0.1), named, toy).offered == len(toy)  # "0", "1", "2" are counted, not named
