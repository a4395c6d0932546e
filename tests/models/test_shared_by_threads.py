"""One classifier in many threads: whoever leaves last puts everything back, and nobody hears another's passes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pixelproof import attacks
from pixelproof.attacks import PGD, OnePixel, mount
from pixelproof.attacks.follow import follow
from pixelproof.data import Dataset
from pixelproof.models import evaluating, frozen, wrap
from pixelproof.types import Goal

SHAPE = (1, 8, 8)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3))
    net[4].bias.requires_grad_(False)
    return wrap(net, classes=3, input_shape=SHAPE)


def toy(n=40, seed=0):
    return 0.3 + 0.4 * torch.rand((n, *SHAPE), generator=torch.Generator().manual_seed(seed))


def state(model):
    return [part.training for part in model.modules()], [each.requires_grad for each in model.parameters()]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("context", [evaluating, frozen])
def test_whoever_leaves_last_puts_back_what_the_first_found(context, order):
    model = network().train()
    before = state(model)
    held = [context(model) for _ in order]
    for each in held:
        each.__enter__()
    for place, number in enumerate(order):
        assert not model.net[2].training
        assert context is evaluating or not any(each.requires_grad for each in model.parameters())
        held[number].__exit__(None, None, None)
        assert (state(model) == before) == (place == 2)


def test_what_is_changed_on_purpose_inside_comes_back_there_and_not_outside():
    model = network().eval()
    with evaluating(model):
        model.train()
        with evaluating(model):
            assert not model.training
        assert model.training
    assert not model.training


def test_overlapping_parts_of_a_network_keep_their_modes():
    model = network().train()
    before = state(model)
    whole, part = frozen(model), frozen(model.net)
    whole.__enter__()
    part.__enter__()
    whole.__exit__(None, None, None)
    assert not model.net[0].training
    assert model.training  # nobody holds the classifier itself any more
    part.__exit__(None, None, None)
    assert state(model) == before


def test_many_threads_that_attack_one_network_leave_it_as_it_was():
    model = network().train()
    before = state(model)
    images = toy()
    data = Dataset("toy", images, model.predict(images).argmax(1), model.card.classes)
    expected = {name: mount(attack, model, data) for name, attack in ATTACKS.items()}
    with ThreadPoolExecutor(12) as pool:
        running = [(name, pool.submit(mount, ATTACKS[name], model, data)) for name in ATTACKS for _ in range(10)]
        for name, job in running:
            torch.testing.assert_close(job.result(timeout=120).images, expected[name].images)
    assert state(model) == before
    assert all(each.grad is None for each in model.parameters())


ATTACKS = {
    "pgd": PGD(0.1, steps=5, precision="float32"),
    "one-pixel": OnePixel(ranked=4),
    "apgd": attacks.APGD(0.1, steps=5),
}


class Slow(nn.Module):
    """A layer in whose pass another thread may take its turn."""

    def forward(self, x):
        threading.Event().wait(0.001)
        return x


def test_taps_of_two_threads_are_each_their_own():
    net = nn.Sequential(nn.Flatten(), Slow(), nn.Linear(64, 5), Slow(), nn.Linear(5, 3))
    model = wrap(net, classes=3, input_shape=SHAPE).eval()
    batches = [toy(n, seed=n) for n in (3, 4, 4, 5, 6)]
    alone = [model.taps(batch, ["2", "4"]) for batch in batches]
    digest = model.digest()
    with ThreadPoolExecutor(len(batches) + 1) as pool:
        running = [(k, pool.submit(model.taps, batches[k], ["2", "4"])) for k in range(len(batches)) for _ in range(20)]
        digests = [pool.submit(model.digest) for _ in range(5)]
        for k, job in running:
            for layer, rows in job.result(timeout=120).items():
                torch.testing.assert_close(rows, alone[k][layer])
    assert {job.result() for job in digests} == {digest}


def test_who_follows_an_attack_hears_that_attack_alone():
    net = nn.Sequential(nn.Flatten(), Slow(), nn.Linear(64, 3))
    model = wrap(net, classes=3, input_shape=SHAPE).eval()
    images = toy(6)
    goals = [Goal(model.predict(image[None]).argmax(1)) for image in images]
    attack = PGD(0.01, steps=6, precision="float32")

    def heard(row):
        steps = []
        follow(attack, model, images[row : row + 1], goals[row], listener=lambda x, _logits: steps.append(x))
        return torch.cat(steps)

    alone = [heard(row) for row in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for expected, got in zip(alone, pool.map(heard, range(6)), strict=True):
            torch.testing.assert_close(got, expected)


class Noisy(nn.Module):
    """A network that adds noise to its input."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 3)

    def forward(self, x):
        return self.fc((x + 0.1 * torch.randn_like(x)).flatten(1))


def test_random_networks_draw_the_same_whoever_else_draws():
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(wrap(Noisy(), classes=3, input_shape=SHAPE).eval())
    images = toy(10)
    sets = [Dataset("toy", images, model.predict(images).argmax(1), model.card.classes) for model in models]
    attack = PGD(0.05, steps=3, precision="float32")
    alone = [mount(attack, model, data) for model, data in zip(models, sets, strict=True)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(6) as pool:
        running = [(k, pool.submit(mount, attack, models[k], sets[k])) for k in (0, 1, 2, 0, 1, 2)]
        for k, job in running:
            found = job.result(timeout=120)
            assert torch.equal(found.rate, alone[k].rate)
            assert torch.equal(found.images, alone[k].images)
    assert torch.equal(torch.get_rng_state(), before)
