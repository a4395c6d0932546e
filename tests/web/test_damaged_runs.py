"""One damaged run is named and left out; the others are shown, exported and linked to."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from pixelproof.cli import explore, screen
from pixelproof.errors import RunError
from pixelproof.run import FORMAT
from pixelproof.web import export as exporting
from pixelproof.web.app import api, create
from pixelproof.web.library import Library
from pixelproof.web.serve import fragment
from pixelproof.web.state import AppState
from pixelproof.web.within import warm
from tiny_runs import forge


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil(run, how):
    spec = run.folder / "spec.json"
    if how == "empty spec":
        spec.write_text("")
    elif how == "newer":
        spec.write_text(json.dumps({"format": FORMAT + 1, "spec": {}}))
    elif how == "no study":
        spec.write_text(json.dumps({"format": FORMAT, "spec": {}}))
    elif how == "cut attack":
        cut(run.path("attack/fgsm/eps-0.1"))
    else:
        cut(run.path("clean"))


HOWS = ("empty spec", "newer", "no study", "cut attack", "cut clean")


@pytest.fixture(params=HOWS)
def folder(tmp_path, request):
    """A good run and a damaged one that comes before it."""
    forge(tmp_path / "runs" / "good")
    spoil(forge(tmp_path / "runs" / "bad"), request.param)
    return tmp_path / "runs"


def test_the_list_of_runs_names_the_damaged_one(folder):
    home = TestClient(create(Library([folder]), hosts=("testserver",))).get("/api").json()
    assert [card["id"] for card in home["runs"]] == ["good"]
    assert [each["name"] for each in home["damaged"]] == ["bad"]
    assert home["damaged"][0]["why"]


def test_no_page_of_a_damaged_run_is_a_fault_of_the_server(folder):
    client = TestClient(create(Library([folder]), hosts=("testserver",)))
    for page in ("robustness", "gallery", "detectors"):
        assert client.get(f"/api/runs/bad/{page}").status_code in (200, 404)
        assert client.get(f"/api/runs/good/{page}").status_code == 200


def test_link_warming_and_export_go_round_it(folder, tmp_path, monkeypatch):
    library = Library([folder])
    fragment(library)
    warm(api(AppState(library)))
    (tmp_path / "static" / "export").mkdir(parents=True)
    (tmp_path / "static" / "export" / "app.js").write_text("// the bundle")
    monkeypatch.setattr(exporting, "pages", lambda: tmp_path / "static")
    exporting.export(library, tmp_path / "site", examples=1)
    assert (tmp_path / "site" / "api" / "runs" / "good.js").is_file()
    assert not (tmp_path / "site" / "api" / "runs" / "bad.js").exists()


def test_the_command_says_what_is_left_out(folder, monkeypatch):
    with screen.err.capture() as said:
        library = explore._library([folder], None)
    assert "good" in library.names()
    assert said.get().startswith("left out: bad: ")
    assert said.get().count("\n") == 1


def test_nothing_but_damaged_runs_is_an_error(tmp_path):
    spoil(forge(tmp_path / "runs" / "bad"), "empty spec")
    with pytest.raises(RunError, match="must be readable"):
        Library([tmp_path / "runs"])


def test_a_name_of_500_characters_is_one_sentence():
    with pytest.raises(RunError, match="expected a"):
        Library([Path("x" * 500)])
