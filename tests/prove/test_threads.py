"""Certificates, pixel searches and gradient attacks in many threads at once: nobody's answer changes, nobody fails."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pixel_nets import classifier, random_images, strided
from pixelproof.attacks import PGD, OnePixel
from pixelproof.attacks.pixel.engine import executor
from pixelproof.prove import certify_one_pixel
from pixelproof.types import Goal

THREADS = 12
IMAGES = random_images((1, 6, 6), 1)


def tiny(seed):
    """The attack that finds it, the proof that there is none, and a network that is followed step by step."""
    layers = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()), nn.Flatten(), nn.Linear(12, 3)
    )
    return classifier(layers, (1, 6, 6), 3, seed=seed)


def proven(model):
    found = certify_one_pixel(model, IMAGES, model.predict(IMAGES).argmax(1), budget=60.0)
    assert not bool(found.undecided)
    return bool(found.certified), found.boxes.tolist(), found.corner_margin.tolist()


def searched(model):
    found = OnePixel(sweep="always").search(model, IMAGES, Goal(model.predict(IMAGES).argmax(1)))
    return found.success.tolist(), found.margin.tolist(), found.note


def descended(model):
    goal = Goal(model.predict(IMAGES).argmax(1))
    return PGD(eps=0.1, steps=20)(model, IMAGES, goal, torch.Generator().manual_seed(0)).flatten().tolist()


@pytest.mark.parametrize("shared", [False, True], ids=["a network each", "one network"])
def test_all_answers_are_what_they_are_alone(shared):
    jobs = [(kind, 0 if shared else k) for k in range(THREADS // 3) for kind in (proven, searched, descended)]
    alone = [kind(tiny(seed)) for kind, seed in jobs]
    one = tiny(0)
    with ThreadPoolExecutor(THREADS) as pool:
        running = [pool.submit(kind, one if shared else tiny(seed)) for kind, seed in jobs]
        together = [job.result(timeout=120) for job in running]
    for (kind, _), expected, got in zip(jobs, alone, together, strict=True):
        if kind is descended:
            torch.testing.assert_close(got, expected)  # memory's alignment decides the last bit
        else:
            assert got[0] == expected[0]
            assert got[2] == pytest.approx(expected[2]) if kind is proven else got[2] == expected[2]
    assert "incremental" in executor(tiny(0), IMAGES[0]).note


def test_threads_that_only_run_networks_are_not_disturbed():
    """Counting multiplications hooks no module, and tracing puts nothing in the place of anybody's weights."""
    model = classifier(strided(), (3, 16, 16))
    images = random_images((3, 16, 16), 4)
    expected = model.predict(images)
    with ThreadPoolExecutor(2) as pool:
        traced = pool.submit(lambda: [executor(model, images[0]).note for _ in range(4)])
        while not traced.done():
            torch.testing.assert_close(model.predict(images), expected)
    assert all("incremental" in note for note in traced.result())
