"""A hundred visitors at once, each with an attack or a certificate: all answers right, and none fails another's."""

import base64
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pixelproof import models
from pixelproof.errors import BadInput
from pixelproof.prove import certify_one_pixel
from pixelproof.web.live import task
from pixelproof.web.live.jobs import RUNNING, Jobs
from pixelproof.web.live.questions import Mount

SHAPE = (1, 4, 4)
ASKED = (
    "certificate:budget=20",
    "pgd:precision=float32",
    "one-pixel",
    "square:eps=0.2,queries=30",
    "fgsm:eps=0.1",
)
VISITORS = 100
KINDS = 5 * len(ASKED)  # each question about each of five images


@pytest.fixture(scope="module")
def model():
    """Small enough for proofs in a moment, with a layer behind each kind of step."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 2), nn.ReLU())
        net = nn.Sequential(conv, nn.Flatten(), nn.Linear(3, 3))
    return models.wrap(net, classes=3, input_shape=SHAPE).eval()


def question(model, number):
    """What a visitor asks: one of the kinds, about one of five images."""
    generator = torch.Generator().manual_seed(number % 5)
    image = torch.rand((1, *SHAPE), generator=generator)
    pixels = base64.b64encode(image.numpy().astype("<f4").tobytes()).decode()
    label = int(model.predict(image).argmax())
    return Mount(session=str(number), pixels=pixels, label=label, attack=ASKED[number // 5 % len(ASKED)], seed=0)


def answered(queue, model, number):
    """The last step of a visitor's job, which is started as soon as there is a place; and how often there was none."""
    refused, asked = 0, question(model, number)
    while True:
        try:
            job = queue.start(model, asked)
            break
        except BadInput as reason:
            if "attacks run at once" not in str(reason):
                raise
            refused += 1
            time.sleep(0.2 + 0.2 * random.random())  # a busy crowd would take the time of those who are served
    while not job.done:
        job.heard = time.monotonic()
        time.sleep(0.02)
    return job.steps[-1], refused


def facts(step):
    """What must be the same whoever else is there."""
    assert step.done
    assert step.error is None
    assert not step.cancelled
    return step.success, step.success_8bit, step.proven, step.total


@pytest.mark.slow  # a hundred traced jobs
def test_all_answers_are_what_they_are_alone(model, monkeypatch):
    monkeypatch.setattr(task, "SECONDS", 600.0)  # a hundred share this machine
    alone = [answered(Jobs(), model, number)[0] for number in range(KINDS)]
    proofs = [step.proven for step in alone if step.proven]
    assert len({proof.partition(":")[0].partition(".")[0][:7] for proof in proofs}) > 1  # proven and refuted ones
    digest, before = model.digest(), [each.requires_grad for each in model.parameters()]
    queue = Jobs()
    with ThreadPoolExecutor(VISITORS) as pool:
        together = list(pool.map(lambda number: answered(queue, model, number), range(VISITORS)))
    assert sum(refused for _, refused in together) > 0  # more came than there were places
    for number, (step, _) in enumerate(together):
        expected = alone[number % KINDS]
        assert facts(step) == facts(expected)
        assert step.margin == pytest.approx(expected.margin, abs=1e-3)
    assert model.digest() == digest
    assert [each.requires_grad for each in model.parameters()] == before
    assert RUNNING < VISITORS


def test_others_do_not_spend_the_budget_of_a_proof(model):
    image = torch.rand((1, *SHAPE), generator=torch.Generator().manual_seed(1))
    labels = model.predict(image).argmax(1)

    def busy():
        ends = time.thread_time() + 3
        while time.thread_time() < ends:
            torch.rand(200, 200) @ torch.rand(200, 200)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            pool.submit(busy)
        found = pool.submit(certify_one_pixel, model, image, labels, budget=60.0).result()
    alone = certify_one_pixel(model, image, labels, budget=60.0)
    assert found.certified.tolist() == alone.certified.tolist()
    assert float(found.seconds) < 2 * float(alone.seconds) + 0.5
