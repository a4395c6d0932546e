"""Incremental evaluation gives the logits of a full forward pass, whatever the network."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pixel_nets import NETS, classifier, make, random_images
from pixelproof.attacks.pixel.engine import FullForward, executor
from pixelproof.attacks.pixel.graph import capture
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.ops import Pool, Relu, run
from pixelproof.attacks.pixel.plan import draw
from pixelproof.errors import BadInput


def compare(engine, model, image, colours=3):
    """The largest difference from the full forward pass, over every position of the image."""
    generator = torch.Generator().manual_seed(1)
    positions = torch.randperm(image[0].numel(), generator=generator)
    values = torch.rand(len(positions), colours, len(image), generator=generator)
    exact = FullForward(model).focus(image)
    scene = engine.focus(image)
    torch.testing.assert_close(scene.clean, exact.clean, rtol=1e-4, atol=1e-4)
    return (scene.logits(positions, values) - exact.logits(positions, values)).abs().max()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("clip", [False, True])
def test_every_position_equals_the_full_forward_pass(name, clip):
    model = make(name)
    image = random_images(model.card.input_shape, 1)[0]
    engine = Incremental(draw(capture(model, image[None]), image[None], clip=clip), "")
    assert compare(engine, model, image) < 1e-4


@pytest.mark.parametrize("name", ["plain", "grey", "strided", "overlapping", "residual", "turning"])
def test_local_networks_are_planned_and_save_work(name):
    model = make(name)
    engine = executor(model, random_images(model.card.input_shape, 1)[0])
    assert isinstance(engine, Incremental)
    assert engine.plan.gain > 1.2


def test_the_graph_is_followed_to_the_last_local_layer():
    model = make("plain")
    plan = executor(model, random_images((3, 12, 12), 1)[0]).plan
    assert [entry.kind for entry in plan.entries] == ["linear"]
    assert isinstance(plan.steps[plan.local[-1]].op, Relu)
    assert isinstance(plan.steps[plan.local[-2]].op, Pool)


def test_windows_grow_as_receptive_fields_do():
    model = make("plain")
    plan = draw(capture(model, torch.zeros(1, 3, 12, 12)), torch.zeros(1, 3, 12, 12))
    track = plan.rows[5]
    widths = {high - low + 1 for low, high in track.spans.values()}
    assert widths == {1, 3, 5}
    assert track.spans[max(track.spans)] == (1, 2) or track.spans[max(track.spans)] == (1, 3)


def test_one_convolution_has_a_known_window():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4))
    plan = draw(capture(classifier(net, (1, 12, 12)), torch.zeros(1, 1, 12, 12)), torch.zeros(1, 1, 12, 12))
    assert plan.rows[4].spans[1] == (2, 2)
    assert plan.rows[5].spans[1] == (2, 3)


def test_the_captured_graph_is_the_model():
    model = make("residual")
    images = random_images((3, 24, 24), 3)
    torch.testing.assert_close(run(capture(model, images[:1]), images)[-1], model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_multiplications_are_those_that_torch_counts(name):
    model, image = make(name), random_images(make(name).card.input_shape, 1)
    plan = draw(capture(model, image), image)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run(plan.steps, image)
    assert plan.flops == counter.get_total_flops() > 0


def test_a_network_without_local_structure_falls_back_and_says_why():
    net = nn.Sequential(nn.Conv2d(1, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    model = classifier(net, (1, 8, 8))
    image = random_images((1, 8, 8), 1)[0]
    engine = executor(model, image)
    assert isinstance(engine, FullForward)
    assert "no local structure" in engine.note
    with pytest.raises(BadInput, match="incremental"):
        executor(model, image, "incremental")


def test_a_graph_that_cannot_be_read_falls_back_and_says_why():
    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(16, 4)

        def forward(self, x):
            return self.fc(x.flatten(1)) * (2 if x.sum().item() > 0 else 1)

    engine = executor(classifier(Choosing(), (1, 4, 4)), torch.rand(1, 4, 4))
    assert "cannot be read" in engine.note


def test_a_wrong_plan_is_noticed(monkeypatch):
    model = make("plain")
    image = random_images((3, 12, 12), 1)[0]
    kernel = Incremental.kernel
    monkeypatch.setattr(Incremental, "kernel", lambda self, position: kernel(self, position) * 1.01)
    engine = executor(model, image)
    assert isinstance(engine, FullForward)
    assert "differs" in engine.note
