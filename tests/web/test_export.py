"""The exported copy holds the server's own answers as files a browser opens without a server."""

import base64
import json

import numpy as np
import pytest

from explorer_run import explored
from pixelproof.errors import BadInput, RunError
from pixelproof.web import export as exporting
from pixelproof.web.export import export
from pixelproof.web.library import Library

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Stands for the built pages, which tests do not need node for."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "export").mkdir()
    (folder / "export" / "app.js").write_text("// the bundle")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory, bundle):
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "pages", lambda: bundle)
        export(Library([explored().folder]), folder, examples=3)
    return folder


def content(site, address):
    """What a data file hands to the page, and the address it says it is for."""
    text = (site / "api" / f"{address}.js").read_text()
    assert text.startswith("pixelproof_data(")
    inside = text.removeprefix("pixelproof_data(").rstrip().removesuffix(");")
    name, found = json.loads(f"[{inside}]")
    return name, found


def test_files_hold_the_servers_answers(site, client):
    files = [path for path in (site / "api").rglob("*.js") if path.name != "home.js"]
    assert len(files) > 50
    for path in files[::7]:
        address = path.relative_to(site / "api").as_posix().removesuffix(".js")
        name, found = content(site, address)
        assert name == address
        answer = client.get(f"/api/{address}")
        if "json" in found:
            assert found["json"] == answer.json()
        else:
            values = np.frombuffer(base64.b64decode(found["base64"]), dtype="<f4")
            assert values.tobytes() == answer.content
            assert ",".join(map(str, found["shape"])) == answer.headers["x-shape"]
    for path in list((site / "api").rglob("*.png"))[::5]:
        assert path.read_bytes() == client.get(f"/{path.relative_to(site).as_posix()}").content


def test_the_copy_says_what_it_is_and_holds_every_page_it_lists(site):
    name, home = content(site, "home")
    assert name == ""
    card = home["json"]["runs"][0]
    assert home["json"]["static"]
    assert not home["json"]["live"]
    assert len(card["exported"]) == 3
    assert card["exported"][0] == card["start"]
    assert card["exported"][0].startswith("guards~")
    for example in card["exported"]:
        _, page = content(site, f"runs/explored/examples/{example}")
        assert page["json"]["success"] or page["json"]["set"]["id"] == "clean"
        for layer in page["json"]["layers"]:
            if layer["clean"]:
                assert (site / f"api/runs/explored/examples/{example}/neighbours/{layer['name']}/cosine.js").is_file()
    assert "app.js" in (site / "index.html").read_text()
    assert 'type="module"' not in (site / "index.html").read_text()


def test_links_of_the_answers_lead_to_files(site):
    _, page = content(site, f"runs/explored/examples/{content(site, 'home')[1]['json']['runs'][0]['exported'][0]}")
    assert (site / "api" / f"{page['json']['pixels']['href']}.js").is_file()
    assert (site / "api" / f"{page['json']['attribution']['href']}.js").is_file()
    _, found = content(site, "runs/explored/thresholds")
    assert all((site / "api" / f"{each['scores']['href']}.js").is_file() for each in found["json"]["against"])


def test_a_folder_with_other_files_is_left_alone(tmp_path, bundle, monkeypatch):
    monkeypatch.setattr(exporting, "pages", lambda: bundle)
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match="must be empty"):
        export(Library([explored().folder]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_the_pages_it_says_how_to_build_them(tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "pages", lambda: tmp_path / "nothing")
    with pytest.raises(RunError, match="make web"):
        export(Library([explored().folder]), tmp_path / "site")
