"""What a run does not hold is an answer that says what to add, never a fault."""

import json
import shutil
import threading

import pytest
from fastapi.testclient import TestClient

from explorer_run import explored
from pixelproof.web import export as exporting
from pixelproof.web.app import api, create
from pixelproof.web.library import Library
from pixelproof.web.serve import fragment
from pixelproof.web.state import AppState
from tiny_runs import real


@pytest.fixture(scope="module")
def start(bare):
    return bare.get("/api").json()["runs"][0]["start"]


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("/thresholds", "[guards]"),
        ("/detectors", "[guards] or [signatures]"),
        ("/units/fc1/0", "[guards]"),
        ("/examples/{start}/neighbours/fc1/euclidean", "[guards]"),
        ("/examples/{start}/graph/fc1/euclidean/clean", "[guards]"),
        ("/examples/{start}/attackability", "[pixels]"),
    ],
)
def test_missing_parts_say_what_to_add(bare, start, address, part):
    answer = bare.get(f"/api/runs/run{address.format(start=start)}")
    assert answer.status_code == 200
    assert answer.json()["available"] is False
    assert part in answer.json()["add"]


@pytest.mark.parametrize(
    "address",
    [
        "/thresholds/pgd/scores.f32",
        "/examples/{start}/neighbours/fc1/euclidean.png",
        "/examples/clean~{n}/adversarial.png",
    ],
)
def test_missing_images_and_numbers_are_404_with_the_same_body(bare, start, address):
    answer = bare.get(f"/api/runs/run{address.format(start=start, n=start.rpartition('~')[2])}")
    assert answer.status_code == 404
    assert set(answer.json()) == {"available", "part", "why", "add"}


def test_pages_without_guards_still_work(bare, start):
    page = bare.get(f"/api/runs/run/examples/{start}").json()
    assert "[guards]" in page["guard"]["add"]
    assert all(layer["adversarial"] is None and layer["drift"] for layer in page["layers"])
    assert page["detectors"] == []
    assert page["attribution"]["shape"][0] == 2  # computed now, from the training images
    run = bare.get("/api/runs/run").json()
    assert {part["name"]: part["available"] for part in run["parts"]} == {
        "attacks": True,
        "signatures": False,
        "guards": False,
        "defences": False,
        "pixels": False,
    }
    assert bare.get("/api/runs/run/gallery").json()["detectors"] == []
    assert {each["id"] for each in bare.get("/api/runs/run/maps").json()["maps"]} >= {"pca~images", "pca~fc1"}


def test_training_images_that_are_elsewhere_are_said_to_be(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(explored().folder, folder)
    content = json.loads((folder / "spec.json").read_text())
    content["spec"]["data"]["name"] = str(tmp_path / "gone")
    (folder / "spec.json").write_text(json.dumps(content))
    client = TestClient(create(Library([folder]), hosts=("testserver",)))
    home = client.get("/api").json()["runs"][0]
    page = client.get(f"/api/runs/run/examples/{home['start']}")
    assert page.status_code == 200
    assert "--data-dir" in page.json()["attribution"]["add"]
    near = client.get(f"/api/runs/run/examples/{home['start']}/neighbours/fc1/euclidean").json()
    assert near["atlas"] is None
    assert near["clean"]["index"]
    assert client.get("/api/runs/run/training/3.png").status_code == 404
    assert not client.get("/api/runs/run").json()["training_images"]


def test_an_unfinished_run_is_listed_and_grows(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(real().folder / "spec.json", folder)
    client = TestClient(create(Library([folder]), hosts=("testserver",)))
    card = client.get("/api").json()["runs"][0]
    assert (card["complete"], card["clean_accuracy"], card["examples"], card["start"]) == (False, None, 0, None)
    assert client.get("/api/runs/run/gallery").json()["available"] is False
    shutil.copytree(real().folder, folder, dirs_exist_ok=True)
    assert client.get("/api").json()["runs"][0]["complete"]
    assert client.get("/api/runs/run/gallery").json()["n"] > 0


def of_your_own(tmp_path, net):
    """A run whose network only its own code, or program, could build."""
    folder = tmp_path / "run"
    shutil.copytree(real().folder, folder)
    (folder / "model.safetensors").unlink()
    content = json.loads((folder / "spec.json").read_text())
    content["spec"]["model"] = {"net": net, "weights": None}
    (folder / "spec.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("net", "kind"), [("trap.py:build", "is built by code"), ("net.pt2", "is an exported program")]
)
def test_a_network_of_your_own_is_not_run_and_the_link_leads_to_what_can_be_shown(tmp_path, net, kind):
    (tmp_path / "trap.py").write_text("raise SystemExit('executed')")
    library = Library([of_your_own(tmp_path, str(tmp_path / net))])
    client = TestClient(create(library, hosts=("testserver",)))
    gallery = client.get("/api/runs/run/gallery").json()
    example = f"{gallery['sets'][gallery['set'][0]]['id']}~{gallery['index'][0]}"
    answer = client.get(f"/api/runs/run/examples/{example}").json()
    assert f"{kind}, which the explorer does not run" in answer["why"]
    assert client.get("/api").json()["runs"][0]["start"] is None
    assert fragment(library) == ""
    assert client.get("/api/runs/run/robustness").json()["curves"]


def test_a_network_of_your_own_is_exported_without_the_pages_that_need_it(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "pages", lambda: tmp_path / "static")
    (tmp_path / "static" / "export").mkdir(parents=True)
    (tmp_path / "static" / "export" / "app.js").write_text("// the bundle")
    exporting.export(Library([of_your_own(tmp_path, "own.py:build")]), tmp_path / "site", examples=2)
    written = {
        path.relative_to(tmp_path / "site" / "api").as_posix() for path in (tmp_path / "site" / "api").rglob("*.js")
    }
    assert {"runs/run/gallery.js", "runs/run/robustness.js"} <= written


def test_a_damaged_file_is_one_sentence(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(real().folder, folder)
    (folder / "clean.safetensors").write_bytes(b"not a file")
    client = TestClient(create(Library([folder]), hosts=("testserver",)), raise_server_exceptions=False)
    answer = client.get("/api/runs/run/gallery")
    assert answer.status_code == 404
    assert "expected a saved CleanRecord" in answer.json()["error"]


def test_answers_are_kept_and_revalidated(bare):
    first = bare.get("/api/runs/run/gallery")
    again = bare.get("/api/runs/run/gallery", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["content-encoding"] == "gzip"
    plain = bare.get("/api/runs/run/gallery", headers={"accept-encoding": "identity"})
    assert plain.json() == first.json()


def test_the_list_of_runs_does_not_wait_for_a_page_that_is_being_made():
    state = AppState(Library([real().folder]))
    client = TestClient(api(state))
    first = client.get("/api").json()
    held, ready = threading.Event(), threading.Event()

    def compute():
        with state.answers.busy:
            ready.set()
            held.wait(30)

    computing = threading.Thread(target=compute)
    computing.start()
    ready.wait()
    try:
        found = {}
        asking = threading.Thread(target=lambda: found.update(again=client.get("/api").json()))
        asking.start()
        asking.join(15)
        assert found["again"] == first
    finally:
        held.set()
        computing.join()
