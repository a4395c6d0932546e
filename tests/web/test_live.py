"""The live page: strokes are judged, attacks are told step by step and stop, questions are answered newest first."""

import base64
import json
import threading
import time

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from explorer_run import example, explored
from pixelproof.models import open_saved
from pixelproof.web.app import api, create
from pixelproof.web.library import Library
from pixelproof.web.live.jobs import Jobs
from pixelproof.web.live.judge import Turns
from pixelproof.web.state import AppState

AT = "/api/runs/explored/live"


@pytest.fixture(scope="module")
def twin(numbers):
    return numbers(f"runs/explored/examples/{example(explored())}/pixels.f32")


@pytest.fixture(scope="module")
def label(ask):
    return ask(f"/examples/{example(explored())}")["label"]


def sent(image):
    return base64.b64encode(np.ascontiguousarray(image, dtype="<f4").tobytes()).decode()


def judged(client, image, sequence, session="painter"):
    return client.post(f"{AT}/judge", json={"session": session, "sequence": sequence, "pixels": sent(image)})


def steps_of(client, **asked):
    started = client.post(f"{AT}/attacks", json={"session": "attacker", **asked})
    assert started.status_code == 200, started.text
    with client.stream("GET", f"/api/{started.json()['events']}") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data:")]


def test_a_judged_image_gets_the_decisions_of_its_page(client, ask, twin):
    page = ask(f"/examples/{example(explored())}")
    for sequence, side in enumerate(("clean", "adversarial")):
        found = judged(client, twin[sequence], sequence, "pages").json()
        assert found["output"]["predicted"] == page[side]["predicted"]
        decisions = {layer["name"]: layer[side] for layer in page["layers"] if layer[side]}
        for layer in found["layers"]:
            said, stored = layer["decision"], decisions[layer["name"]]
            assert said["score"] == pytest.approx(stored["score"], abs=1e-4)
            assert (said["alarm"], said["votes"]) == (stored["alarm"], stored["votes"])
        near = {each["layer"]: each for each in found["neighbours"]}
        listed = ask(f"/examples/{example(explored())}/neighbours/fc1/euclidean")[side]
        assert near["fc1"]["index"] == listed["index"][:12]


def test_painted_pixels_change_the_prediction(client, twin, label):
    """The clean image is painted towards its attacked twin, pixel by pixel, until the classifier is fooled."""
    painted, seen = twin[0].copy(), []
    for sequence, place in enumerate(np.abs(twin[1] - twin[0]).ravel().argsort()[::-1]):
        painted.ravel()[place] = twin[1].ravel()[place]
        seen.append(judged(client, painted, sequence, "strokes").json()["output"]["predicted"])
    assert seen[-1] != label
    assert label in seen


def test_an_image_of_noise_is_called_unlike_the_training_data(client, twin):
    noise = np.random.default_rng(0).integers(0, 2, twin[0].shape).astype("<f4")
    assert "Unlike the training data" in judged(client, noise, 0, "noise").json()["unlike"]
    assert judged(client, twin[0], 1, "noise").json()["unlike"] is None


def test_the_newest_question_wins(client, twin):
    assert judged(client, twin[0], 5, "hasty").status_code == 200
    late = judged(client, twin[0], 4, "hasty")
    assert late.status_code == 409
    assert "newer question" in late.json()["error"]
    assert judged(client, twin[0], 4, "somebody-else").status_code == 200


def test_a_waiting_question_is_dropped_when_a_newer_one_arrives(twin):
    state = AppState(Library([explored().folder]))
    client = TestClient(api(state))
    state.live_run("explored").has("neighbour_view")
    found = {}
    with state.drawing:  # as if a stroke was being judged
        asking = threading.Thread(target=lambda: found.update(old=judged(client, twin[0], 1)))
        asking.start()
        while not state.turns._newest:
            time.sleep(0.005)
        state.turns.take("painter", 2)
    asking.join()
    assert found["old"].status_code == 409


def test_turns_forget_old_sessions():
    turns = Turns()
    for session in range(1000):
        turns.take(str(session), 1)
    assert turns.overtaken("999", 0)
    assert not turns.overtaken("0", 0)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        ("!!", "no base64"),
        ("", "0 bytes"),
        (sent(np.zeros((1, 8, 7))), "224 bytes"),
        (sent(np.full((1, 8, 8), 1.5)), "Divide by 255"),
        (sent(np.full((1, 8, 8), -0.5)), "min -0.5"),
        (sent(np.full((1, 8, 8), np.nan)), "NaN"),
    ],
)
def test_bad_images_are_refused(client, pixels, says):
    for address, more in (("judge", {"sequence": 1}), ("attacks", {"label": 1, "attack": "fgsm"})):
        answer = client.post(f"{AT}/{address}", json={"session": "bad", "pixels": pixels, **more})
        assert answer.status_code == 400
        assert says in answer.json()["error"]


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"attack": "pgdd"}, 404, "Did you mean 'pgd'"),
        ({"attack": "pgd:eps=-1"}, 400, "eps must be"),
        ({"attack": "foolbox:attack=LinfPGD"}, 404, "known attack"),
        ({"attack": "certificate:budget=9999"}, 400, "budget"),
        ({"label": 10}, 400, "labels"),
        ({"target": 3, "label": 3}, 400, "target must differ"),
        ({"session": "a b"}, 422, "session"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_bad_attacks_are_refused(client, twin, asked, status, says):
    body = {"session": "bad", "pixels": sent(twin[0]), "label": 3, "attack": "fgsm"} | asked
    answer = client.post(f"{AT}/attacks", json=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_pgd_is_told_pass_by_pass_and_judged_at_the_end(client, twin, label):
    steps = steps_of(client, pixels=sent(twin[0]), label=label, attack="pgd:eps=0.15,steps=12")
    assert [steps[0]["step"], steps[0]["success"]] == [0, False]
    assert [step["step"] for step in steps[1:-1]] == list(range(1, len(steps) - 1))
    last = steps[-1]
    assert last["done"] and last["error"] is None and not last["cancelled"]  # noqa: PT018
    image = np.frombuffer(base64.b64decode(last["pixels"]), dtype="<f4").reshape(twin[0].shape)
    assert np.abs(image - twin[0]).max() <= 0.15 + 1e-5
    model = open_saved(explored().path("model"), torch.device("cpu"))
    logits = model.predict(torch.from_numpy(image.copy())[None])[0]
    assert last["output"]["predicted"] == int(logits.argmax())
    assert last["success"] == (int(logits.argmax()) != label)
    others = torch.cat([logits[:label], logits[label + 1 :]])
    assert last["margin"] == pytest.approx(float(logits[label] - others.max()), abs=1e-4)


def test_a_target_is_aimed_at(client, twin, label):
    target = (label + 1) % 10
    steps = steps_of(client, pixels=sent(twin[0]), label=label, target=target, attack="pgd:eps=1,steps=40")
    assert steps[-1]["output"]["predicted"] == target
    assert steps[-1]["success"]


def test_one_pixel_search_gives_the_attackability_map(client, twin, label):
    steps = steps_of(client, pixels=sent(twin[0]), label=label, attack="one-pixel:sweep=always")
    tried = [sum(value is not None for value in step["lowest"]) for step in steps if step["lowest"]]
    assert tried == sorted(tried)
    assert tried[-1] == 64
    assert (steps[-1]["step"], steps[-1]["total"]) == (64, 64)
    model = open_saved(explored().path("model"), torch.device("cpu"))
    clean = torch.from_numpy(twin[0].copy())
    candidates = clean.repeat(128, 1, 1, 1)
    for row in range(128):
        candidates[row].view(-1)[row // 2] = float(row % 2)
    logits = model.predict(candidates)
    own = logits[:, label]
    margin = (own - logits.index_fill(1, torch.tensor([label]), -torch.inf).amax(1)).view(64, 2).amin(1)
    assert steps[-1]["lowest"] == pytest.approx(margin.tolist(), abs=1e-3)
    assert steps[-1]["proven"].startswith(f"{int((margin < 0).sum())} of 64 pixels")


def test_the_certificate_gives_its_verdict(client, twin, label):
    steps = steps_of(client, pixels=sent(twin[0]), label=label, attack="certificate:budget=5")
    assert steps[-1]["error"] is None
    assert steps[-1]["proven"].split(":")[0].split()[0] in ("Proven", "Refuted", "Undecided")


def test_an_attack_can_be_cancelled(client, twin, label):
    body = {"session": "patient", "pixels": sent(twin[0]), "label": label, "attack": "cw"}
    job = client.post(f"{AT}/attacks", json=body).json()
    assert client.delete(f"/api/live/{job['job']}").status_code == 204
    with client.stream("GET", f"/api/{job['events']}") as stream:
        last = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data:")][-1]
    assert (last["done"], last["cancelled"]) == (True, True)
    assert client.delete(f"/api/live/{job['job']}").status_code == 204
    assert client.delete("/api/live/nothing").status_code == 204
    assert client.get("/api/live/nothing/events").status_code == 400


def test_a_new_attack_of_a_session_stops_the_earlier_one(client, twin, label):
    body = {"session": "restless", "pixels": sent(twin[0]), "label": label}
    first = client.post(f"{AT}/attacks", json={**body, "attack": "cw"}).json()
    second = client.post(f"{AT}/attacks", json={**body, "attack": "fgsm:eps=0.1"}).json()
    ends = {}
    for name, job in (("first", first), ("second", second)):
        with client.stream("GET", f"/api/{job['events']}") as stream:
            ends[name] = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data:")][-1]
    assert ends["first"]["cancelled"]
    assert not ends["second"]["cancelled"]


def test_only_so_many_attacks_run_at_once(twin, label):
    from pixelproof.errors import BadInput
    from pixelproof.web.live.questions import Mount

    model, jobs = open_saved(explored().path("model"), torch.device("cpu")), Jobs()
    asked = [Mount(session=str(n), pixels=sent(twin[0]), label=label, attack="cw") for n in range(5)]
    started = [jobs.start(model, each) for each in asked[:4]]
    with pytest.raises(BadInput, match="at most 4 attacks run at once"):
        jobs.start(model, asked[4])
    for job in started:
        job.cancelled.set()


def test_the_page_lists_attacks_with_settings_that_parse(client):
    page = client.get(AT).json()
    offered = {each["name"]: each["settings"] for each in page["attacks"]}
    assert {"pgd", "one-pixel", "certificate"} <= set(offered)
    assert offered["pgd"]["eps"] == "0.1"
    assert "foolbox" not in offered
    assert page["guard"] is None


def test_live_can_be_switched_off(twin):
    client = TestClient(create(Library([explored().folder]), hosts=("testserver",), live_page=False))
    assert client.get("/api").json()["live"] is False
    assert client.get(AT).json()["available"] is False
    assert judged(client, twin[0], 1).status_code == 404
