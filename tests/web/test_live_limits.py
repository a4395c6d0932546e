"""One visitor cannot take the server: settings have ranges, jobs stop whatever they do, uploads wait for their turn."""

import asyncio
import base64
import dataclasses
import io
import threading
import time

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from torch import nn

from pixelproof import lp, models, specs
from pixelproof.errors import BadInput
from pixelproof.types import Goal
from pixelproof.views.explorer import OpenRun
from pixelproof.web import gate
from pixelproof.web.app import create
from pixelproof.web.gate import Gate
from pixelproof.web.library import Library
from pixelproof.web.live import jobs, offer, task, upload
from pixelproof.web.live.jobs import Jobs
from pixelproof.web.live.questions import Mount
from pixelproof.web.live.task import RunningAttack, Task
from tiny_runs import forge

SHAPE = (1, 8, 8)
OFFERS = {each.name: each for each in offer.offered(SHAPE)}
SETTINGS = [(name, setting) for name, each in OFFERS.items() for setting in each.settings]


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
    return models.wrap(net, classes=3, input_shape=SHAPE).eval()


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_every_setting_has_a_range_or_choices_and_its_default_lies_within(name, setting):
    each = OFFERS[name]
    assert (setting in each.ranges) != (setting in each.choices)
    offer.asked(f"{name}:{setting}={each.settings[setting]}", SHAPE)
    if setting in each.choices:
        assert each.settings[setting] in each.choices[setting]


@pytest.mark.parametrize(("name", "setting"), [(name, key) for name, key in SETTINGS if key in OFFERS[name].ranges])
def test_a_setting_outside_its_range_is_refused(name, setting):
    low, high = OFFERS[name].ranges[setting]
    below = low - 1
    for value in (int(high) + 1, below if float(below).is_integer() else f"{below:g}"):
        with pytest.raises(BadInput):
            offer.asked(f"{name}:{setting}={value}", SHAPE)


@pytest.mark.parametrize(
    "spec",
    [
        "one-pixel-de:population=5000",
        "fab:restarts=100000000",
        "pgd:eps=0.1,steps=1000000",
        "one-pixel:levels=256",
        "one-pixel:sweep=never",
        "certificate:budget=9999",
    ],
)
def test_what_took_the_server_is_refused(spec):
    with pytest.raises(BadInput, match=r"must lie in|must be one of|of the live page"):
        offer.asked(spec, SHAPE)


def test_larger_images_allow_fewer_at_once():
    many = {each.name: each.ranges for each in offer.offered((3, 224, 224))}["one-pixel-de"]["population"]
    assert many[1] * 3 * 224 * 224 <= offer.VALUES
    assert many[1] < OFFERS["one-pixel-de"].ranges["population"][1]


def running(model, attack, job=None):
    """A task on its thread."""
    job = job or RunningAttack("job", "session", "")
    work = Task(job, model, torch.full((1, *SHAPE), 0.5), Goal(torch.tensor([0])), seed=0)
    thread = threading.Thread(target=work.run, args=(attack,), daemon=True)
    thread.start()
    return work, thread


@dataclasses.dataclass(frozen=True)
class Silent:
    """An attack that asks the network nothing for a long time, and takes every Exception for a failing step."""

    name = "silent"
    kind = "fixed"
    draws = False
    targetable = True
    norm = "linf"
    eps = 1.0

    def __call__(self, model, images, goal, rng):
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            try:
                lp.distances(images, images)
            except Exception:
                continue
        return images


@pytest.mark.parametrize("how", ["cancelled", "late", "unheard"])
def test_an_attack_that_asks_nothing_stops(model, monkeypatch, how):
    if how == "late":
        monkeypatch.setattr(task, "SECONDS", 0.3)
    if how == "unheard":
        monkeypatch.setattr(task, "UNHEARD", 0.3)
    work, thread = running(model, Silent())
    if how == "cancelled":
        work.job.cancelled.set()
    thread.join(30)
    assert not thread.is_alive()
    last = work.job.steps[-1]
    assert last.done
    assert work.job.done
    assert (last.cancelled, bool(last.error)) == ((False, True) if how == "late" else (True, False))


def test_the_steps_of_a_job_have_a_size(model, monkeypatch):
    monkeypatch.setattr(task, "TOLD_BYTES", 4000)
    monkeypatch.setattr(task, "UNHEARD", 60.0)  # nobody listens here, and the checks of types make it slow
    work, thread = running(model, specs.parse("pgd:eps=0.001,steps=60,early_stop=false", offer.TABLE))
    thread.join(30)
    assert sum(len(step.pixels or "") for step in work.job.steps) < 4000 + 2 * 400
    assert work.job.steps[-1].done
    work, thread = running(model, specs.parse("one-pixel:sweep=always", offer.TABLE))
    thread.join(30)
    assert work.job.steps[-1].step == work.job.steps[-1].total == 64
    assert sum(value is not None for value in work.job.steps[-1].lowest) == 64


def test_jobs_that_ended_are_forgotten_when_there_are_many(model, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT", 2)
    kept = Jobs()
    pixels = base64.b64encode(np.full(64, 0.5, dtype="<f4").tobytes()).decode()
    for number in range(6):
        job = kept.start(model, Mount(session=str(number), pixels=pixels, label=0, attack="fgsm"))
        while not job.done:
            time.sleep(0.005)
    assert len(kept._jobs) <= 3


@pytest.mark.parametrize("change", [{"label": 2**63}, {"label": -1}, {"target": 2**63}, {"seed": 2**64}, {"seed": -1}])
def test_numbers_that_no_tensor_holds_are_one_sentence(tmp_path, change):
    forge(tmp_path / "run")
    client = TestClient(create(Library([tmp_path / "run"]), hosts=("testserver",)))
    asked = {"session": "a", "pixels": "", "label": 0, "attack": "fgsm"} | change
    answer = client.post("/api/runs/run/live/attacks", json=asked)
    assert answer.status_code == 422
    assert next(iter(change)) in answer.json()["error"]


def test_only_so_many_files_arrive_at_once():
    arriving = upload.Arriving()
    with arriving.place():
        others = [arriving.place() for _ in range(upload.AT_ONCE - 1)]
        for each in others:
            each.__enter__()
        with pytest.raises(upload.TooMany, match="at most 8 files at once"), arriving.place():
            pass
        for each in others:
            each.__exit__(None, None, None)
        with arriving.place():
            pass


async def silent(*_):
    """An application, or a way to send, of which nothing comes."""


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(gate, "SLOW", 0.05)
    said = []

    async def application(scope, receive, send):
        await receive()
        await receive()

    async def receive():
        if not said:
            said.append("part")
            return {"type": "http.request", "body": b"a", "more_body": True}
        await asyncio.sleep(60)
        return {}

    scope = {"type": "http", "headers": [(b"host", b"localhost")], "query_string": b"", "path": "/"}
    with pytest.raises(gate.HTTPException) as ended:
        asyncio.run(asyncio.wait_for(Gate(application)(scope, receive, silent), 20))
    assert ended.value.status_code == 408


@pytest.mark.parametrize(
    ("path", "leads"),
    [("//other.example/", "/other.example/"), ("///other.example", "/other.example"), ("/runs", "/runs"), ("/", "/")],
)
def test_the_token_leads_to_this_server_only(path, leads):
    scope = {
        "type": "http",
        "headers": [(b"host", b"localhost")],
        "query_string": b"token=secret-token&a=b",
        "path": path,
    }
    answer = Gate(silent, token="secret-token").refuse(scope)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{leads}?a=b"


def test_pictures_are_decoded_one_after_the_other(monkeypatch, tmp_path):
    busy, most, lock = [0], [0], threading.Lock()

    def slow(content, shape):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.05)
        with lock:
            busy[0] -= 1
        return upload.FittedPicture(torch.zeros(SHAPE), (8, 8), "PNG", ())

    monkeypatch.setattr(upload, "picture", slow)
    forge(tmp_path / "run")
    monkeypatch.setattr(OpenRun, "model", models.wrap(nn.Flatten(), classes=64, input_shape=SHAPE))
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "PNG")
    with TestClient(create(Library([tmp_path / "run"]), hosts=("testserver",))) as client:
        asking = [
            threading.Thread(
                target=client.post, args=("/api/runs/run/live/upload",), kwargs={"content": picture.getvalue()}
            )
            for _ in range(4)
        ]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
    assert most[0] == 1
