"""What the explorer says of examples, against the run's own records and numbers made without it."""

import io
import shutil

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from explorer_run import PGD, example, explored
from pixelproof.attacks import AdversarialSet
from pixelproof.data import load
from pixelproof.explain import Attribution
from pixelproof.models import open_saved
from pixelproof.prove import OnePixelCertificate
from pixelproof.results import CertificateRecord, VerdictRecord
from pixelproof.results.catalogue import CERTIFICATE, SURVEY
from pixelproof.run import Run
from pixelproof.web.app import create
from pixelproof.web.library import Library

pytestmark = pytest.mark.slow

METRICS = {
    "euclidean": lambda a, b: np.sqrt(((a - b) ** 2).sum(-1)),
    "manhattan": lambda a, b: np.abs(a - b).sum(-1),
    "chebyshev": lambda a, b: np.abs(a - b).max(-1),
    "cosine": lambda a, b: 1 - (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1),
}


@pytest.fixture(scope="module")
def run():
    return explored()


@pytest.fixture(scope="module")
def model(run):
    return open_saved(run.path("model"), torch.device("cpu"))


@pytest.fixture(scope="module")
def name(run):
    return example(run)


@pytest.fixture(scope="module")
def twin(run, name):
    """Clean and attacked image (2, c, h, w) of the example, its row and set."""
    found = run.load(f"guards/sets/{PGD}", AdversarialSet)
    row = int((found.index == int(name.rpartition("~")[2])).nonzero()[0, 0])
    return torch.stack([found.clean[row], found.images[row]]), row, found


@pytest.fixture(scope="module")
def page(ask, name):
    return ask(f"/examples/{name}")


def taps(model, images, layer):
    with torch.no_grad():
        return model.taps(images, (layer,))[layer].numpy()


def test_outputs_and_distances(page, model, twin):
    images, row, found = twin
    logits = model.predict(images)
    assert page["clean"]["predicted"] == int(logits[0].argmax()) == page["label"]
    assert page["adversarial"]["predicted"] == int(logits[1].argmax()) != page["label"]
    assert page["adversarial"]["logits"] == pytest.approx(logits[1].tolist(), abs=1e-5)
    assert sum(page["adversarial"]["probabilities"]) == pytest.approx(1)
    assert page["distance"]["linf"] == pytest.approx(float(found.distance["linf"][row]))
    assert page["changed"] == int((images[0] != images[1]).any(0).sum())
    assert page["set"]["label"] in page["sentence"]


def test_decisions_are_the_runs_own(page, run):
    for state, side in ((PGD, "adversarial"), ("clean", "clean")):
        record = run.load(f"guards/verdicts/{state}", VerdictRecord)
        index = run.tensor(f"guards/neighbours/{state}", "index")
        row = int((index == page["index"]).nonzero()[0, 0])
        layers = {layer["name"]: layer[side] for layer in page["layers"] if layer[side]}
        assert set(layers) == set(record.layers)
        for place, layer in enumerate(record.layers):
            said = layers[layer]
            assert said["strangers"] == int(record.strangers[row, place])
            assert said["alarm"] == (said["strangers"] > said["threshold"])
            assert said["calibrated_alarm"] == bool(record.quiet_alarm[row, place])
            assert sum(said["votes"]) == said["k"] == record.k[place]
            assert said["votes"][page[side]["predicted"]] == said["k"] - said["strangers"]
            assert f"{said['strangers']} of the {said['k']} nearest" in said["sentence"]
            assert ("raises an alarm" in said["sentence"]) == said["alarm"]


def test_decisions_made_now_equal_the_studys(run, ask, page):
    """The same image in another set, where the run stored no verdict, gets the same decisions."""
    gallery = ask("/gallery")
    places = {each["id"]: place for place, each in enumerate(gallery["sets"])}
    own = [i for s, i in zip(gallery["set"], gallery["index"], strict=True) if s == places[f"signatures~twins~{PGD}"]]
    clean = run.tensor("guards/neighbours/clean", "index").tolist()
    shared = next(index for index in own if index in clean)
    stored = ask(f"/examples/clean~{shared}")
    now = ask(f"/examples/signatures~twins~{PGD}~{shared}")
    assert [layer["clean"] for layer in stored["layers"]] == [layer["clean"] for layer in now["layers"]]
    assert all(layer["adversarial"] for layer in now["layers"])


def test_drift_is_relative_length_and_cosine(page, model, twin):
    layer = next(each for each in page["layers"] if each["name"] == "fc1")
    a, b = taps(model, twin[0], "fc1")
    assert layer["drift"]["norm"] == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-4)
    assert layer["drift"]["cosine"] == pytest.approx(METRICS["cosine"](a, b), abs=1e-5)


def test_images_come_losslessly(client, numbers, name, twin, page):
    exact = numbers(page["pixels"]["href"])
    assert np.array_equal(exact, twin[0].numpy())
    for place, side in enumerate(("clean", "adversarial")):
        content = client.get(f"/api/runs/explored/examples/{name}/{side}.png").content
        levels = np.asarray(Image.open(io.BytesIO(content)))
        assert np.array_equal(levels, np.round(exact[place, 0] * 255).astype(np.uint8))


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_are_the_nearest_of_all(ask, run, model, twin, name, metric):
    found = ask(f"/examples/{name}/neighbours/fc2/{metric}")
    training = load("digits")
    right = model.predict(training.images).argmax(1) == training.labels
    rows, queries = taps(model, training.images[right], "fc2"), taps(model, twin[0], "fc2")
    for side, query in zip(("clean", "adversarial"), queries, strict=True):
        far = METRICS[metric](rows.astype(float), query.astype(float))
        order = np.argsort(far, kind="stable")[: len(found[side]["index"])]
        assert found[side]["distance"] == pytest.approx(far[order].tolist(), rel=1e-3, abs=1e-5)
        assert set(found[side]["index"]) == set(training.index[right][order].tolist())
    assert found["indexed"] == int(right.sum())


def test_composed_neighbours_agree_with_the_study(ask, run, name, page):
    found = ask(f"/examples/{name}/neighbours/composed/euclidean")
    index = run.tensor(f"guards/neighbours/{PGD}", "index")
    row = int((index == page["index"]).nonzero()[0, 0])
    stored = run.tensor(f"guards/neighbours/{PGD}", "neighbours")[row, -1]
    assert found["adversarial"]["index"] == stored.tolist()


def test_neighbour_faces_are_the_training_images(ask, client, name):
    found = ask(f"/examples/{name}/neighbours/fc1/euclidean")
    sheet = np.asarray(Image.open(io.BytesIO(client.get(f"/api/{found['atlas']['href']}").content)))
    training = load("digits")
    width, height = found["atlas"]["tile"]
    listed = found["clean"]["index"] + found["adversarial"]["index"]
    assert found["atlas"]["tiles"] == len(listed)
    for tile in (0, 3, len(listed) - 1):
        y, x = divmod(tile, found["atlas"]["columns"])
        image = training.images[(training.index == listed[tile]).nonzero()[0, 0]][0]
        cut = sheet[y * height : (y + 1) * height, x * width : (x + 1) * width]
        assert np.array_equal(cut, np.round(image.numpy() * 255).astype(np.uint8))


def test_graph_is_laid_out_and_keeps_distances(ask, client, name):
    graph = ask(f"/examples/{name}/graph/fc1/euclidean/adversarial")
    listed = ask(f"/examples/{name}/neighbours/fc1/euclidean")["adversarial"]
    assert [node["index"] for node in graph["nodes"]] == [None, *listed["index"]]
    assert [node["distance"] for node in graph["nodes"][1:]] == pytest.approx(listed["distance"], rel=1e-4)
    assert max(abs(node[axis]) for node in graph["nodes"] for axis in "xy") == pytest.approx(1)
    pairs = {(link["a"], link["b"]) for link in graph["links"]}
    assert {(0, k) for k in range(1, len(graph["nodes"]))} <= pairs
    assert all(a < b for a, b in pairs)
    assert 0 <= graph["stress"] < 1


@pytest.mark.parametrize("metric", METRICS)
def test_difference_says_who_carries_the_distance(ask, numbers, model, twin, name, metric):
    found = ask(f"/examples/{name}/difference/fc1/{metric}/clean/adversarial")
    a, b = taps(model, twin[0], "fc1").astype(float)
    assert np.allclose(numbers(found["vectors"]["href"]), [a, b], atol=1e-5)
    assert found["distance"] == pytest.approx(METRICS[metric](a, b), rel=1e-3, abs=1e-6)
    shares = [unit["share"] for unit in found["units"]]
    assert shares == sorted(shares, reverse=True)
    if metric == "chebyshev":
        assert shares[0] == 1
        assert found["units"][0]["unit"] == int(np.abs(a - b).argmax())
    if metric == "manhattan":
        assert shares[0] == pytest.approx(np.abs(a - b).max() / np.abs(a - b).sum(), rel=1e-4)
    assert found["carried"] == sorted(found["carried"])


def test_difference_to_a_training_image(ask, numbers, model, name):
    listed = ask(f"/examples/{name}/neighbours/fc2/euclidean")["adversarial"]
    found = ask(f"/examples/{name}/difference/fc2/euclidean/adversarial/{listed['index'][0]}")
    assert found["distance"] == pytest.approx(listed["distance"][0], rel=1e-3)
    training = load("digits")
    image = training.images[(training.index == listed["index"][0]).nonzero()[:, 0]]
    assert np.allclose(numbers(found["vectors"]["href"])[1], taps(model, image, "fc2")[0], atol=1e-5)


def test_unit_names_the_images_that_excite_it(ask, model):
    found = ask("/units/fc1/7")
    training = load("digits")
    right = model.predict(training.images).argmax(1) == training.labels
    values = taps(model, training.images[right], "fc1")[:, 7]
    assert found["top"][0]["activation"] == pytest.approx(values.max(), abs=1e-5)
    assert found["top"][0]["index"] == int(training.index[right][int(values.argmax())])
    assert found["quantiles"][3] == pytest.approx(float(np.median(values)), abs=1e-4)


def test_attributions_are_the_runs_own_and_add_up(ask, numbers, run, model):
    own = example(run, "signatures")
    found = ask(f"/examples/{own}/attributions")
    maps = numbers(found["values"]["href"])
    stored = run.load(f"signatures/maps/{PGD}", Attribution)
    row = int((run.tensor(f"signatures/twins/{PGD}", "index") == int(own.rpartition("~")[2])).nonzero()[0, 0])
    assert found["stored"]
    assert np.array_equal(maps[1], stored.values[row].numpy())
    pixels = torch.from_numpy(numbers(f"runs/explored/examples/{own}/pixels.f32").copy())
    logits = model.predict(pixels)
    for place, predicted in enumerate(found["classes"]):
        reached = maps[place].sum() + found["base"][place]
        assert reached == pytest.approx(float(logits[place, predicted]), rel=1e-2, abs=1e-2)
    assert {each["sense"] for each in found["critical"]} == {"generation", "detection"}
    assert all(len(each["positions"]) == 8 for each in found["critical"])
    assert found["limit"] == pytest.approx(float(np.abs(maps).max()))


def test_attributions_made_now_use_the_studys_backgrounds(ask, numbers, run):
    """A clean image of the signatures, asked for through the set of clean images, which stores none."""
    own = example(run, "signatures")
    index = own.rpartition("~")[2]
    now = ask(f"/examples/clean~{index}/attributions")
    assert not now["stored"]
    stored = numbers(f"runs/explored/examples/{own}/attributions.f32")[0]
    assert np.allclose(numbers(now["values"]["href"])[0], stored, atol=1e-4)


def test_attackability_is_the_survey(ask, run):
    survey = SURVEY.load(run)
    gallery = ask("/gallery")
    clean = {i for s, i in zip(gallery["set"], gallery["index"], strict=True) if s == 0}
    row = next(row for row, index in enumerate(survey.index.tolist()) if index in clean)
    found = ask(f"/examples/clean~{int(survey.index[row])}/attackability")
    assert found["vulnerable"] == survey.vulnerable[row].flatten().nonzero()[:, 0].tolist()
    assert "not proven" in found["note"]


def test_the_certificates_verdict_stands_beside_the_map(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    own = Run.open(tmp_path / "run")
    survey = SURVEY.load(own)
    first = own.load(f"guards/sets/{PGD}", AdversarialSet).index
    index = survey.index[torch.isin(survey.index, first)][:3]
    none = torch.zeros(3, dtype=torch.bool)
    proof = OnePixelCertificate(
        wrong=none,
        attacked=torch.tensor([False, True, False]),
        certified=torch.tensor([True, False, False]),
        position=torch.tensor([-1, 19, -1]),
        colour=torch.ones(3, 1),
        open=torch.zeros(3, 8, 8, dtype=torch.bool).index_fill(0, torch.tensor([2]), True),
        boxes=torch.ones(3, dtype=torch.long),
        seconds=torch.ones(3),
        corner_margin=torch.ones(3),
    )
    CERTIFICATE.save(own, CertificateRecord(index, torch.zeros(3, dtype=torch.long), proof, 3, 5.0))
    client = TestClient(create(Library([tmp_path / "run"]), hosts=("testserver",)))
    said = [client.get(f"/api/runs/run/examples/clean~{each}/attackability").json() for each in index.tolist()]
    assert [each["certificate"].split(" ")[0] for each in said] == ["Proven", "Refuted", "Undecided"]
    assert "row 2, column 3 " in said[1]["certificate"]
    assert "5 CPU seconds: 64 pixels" in said[2]["certificate"]
    other = next(each for each in survey.index.tolist() if each in first and each not in index)
    assert client.get(f"/api/runs/run/examples/clean~{other}/attackability").json()["certificate"] is None


@pytest.mark.parametrize(
    ("address", "status", "says"),
    [
        ("/examples/nothing~3", 400, "id of an example"),
        ("/examples/clean~999999", 400, "id of an example"),
        ("/examples/clean~99999999999999999999", 400, "id of an example"),
        ("/examples/..%2F..%2Fspec~3", 404, "no such address"),
        ("/examples/{name}/neighbours/fc9/euclidean", 404, "Did you mean"),
        ("/examples/{name}/neighbours/fc1/hamming", 422, "euclidean"),
        ("/examples/{name}/difference/fc1/cosine/clean/nobody", 400, "position of a training image"),
        ("/examples/{name}/difference/fc1/cosine/clean/999999", 400, "position of a training image"),
        ("/units/fc1/100000", 400, "units of fc1 go from 0"),
        ("/training/999999.png", 400, "position of a training image"),
        ("/atlas/99.png", 400, "atlas pages go from 0"),
        ("/gallery/nobody", 404, "known detector"),
        ("/maps/nowhere", 404, "known map"),
    ],
)
def test_bad_addresses_get_one_clear_sentence(client, name, address, status, says):
    answer = client.get(f"/api/runs/explored{address.format(name=name)}")
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert len(answer.text) < 500
