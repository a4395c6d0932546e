"""Who may ask: Host, Origin, token, size; and what every answer tells the browser to forbid."""

import json
import re

import pytest
from fastapi.testclient import TestClient

from pixelproof.errors import BadInput, RunError
from pixelproof.run import Run
from pixelproof.web.app import create, pages
from pixelproof.web.gate import BODY
from pixelproof.web.library import Library
from pixelproof.web.serve import Place, link
from tiny_runs import real

TOKEN = "a-long-secret"


@pytest.fixture(scope="module")
def library():
    return Library([real().folder])


@pytest.fixture
def guarded(library):
    return TestClient(create(library, hosts=("testserver",), token=TOKEN), follow_redirects=False)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8477", 200),
        ("localhost", 200),
        ("[::1]:99", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("", 400),
        ("[", 400),
        ("192.168.0.7", 400),
    ],
)
def test_only_this_machines_own_names_are_answered(library, host, status):
    client = TestClient(create(library, hosts=Place().hosts))
    assert client.get("/api", headers={"host": host}).status_code == status


def test_beyond_loopback_addresses_are_answered_but_names_are_not(library):
    client = TestClient(create(library, hosts=Place("0.0.0.0").hosts))
    assert client.get("/api", headers={"host": "192.168.0.7:8477"}).status_code == 200
    assert client.get("/api", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
    ],
)
def test_other_sites_are_refused(bare, headers, status):
    assert bare.get("/api", headers=headers).status_code == status
    assert bare.post("/api/runs/run/live/judge", headers=headers, json={}).status_code == (
        422 if status == 200 else 403
    )


def test_without_the_token_nothing_is_told(guarded):
    for address in ("/", "/api", "/api/runs/run/gallery", "/api/openapi.json", "/?token=wrong"):
        answer = guarded.get(address)
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]
        assert TOKEN not in answer.text


def test_the_token_becomes_a_cookie_and_leaves_the_address(guarded):
    answer = guarded.get(f"/?token={TOKEN}&keep=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?keep=1"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get("/api").status_code == 200  # the client keeps the cookie
    assert guarded.get("/api", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", "Bearer \xe9"])
def test_a_wrong_bearer_is_refused(library, given):
    client = TestClient(create(library, hosts=("testserver",), token=TOKEN))
    assert client.get("/api", headers={"authorization": given.encode("latin-1")}).status_code == 401


def test_every_answer_forbids_what_the_pages_do_not_need(bare):
    for address in ("/", "/api", "/api/nothing", "/api/runs/run/atlas/0.png"):
        headers = bare.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"https?:|\*", policy)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_too_large_requests_are_refused_before_they_are_read(bare):
    answer = bare.post("/api/runs/run/live/judge", content=b"x", headers={"content-length": str(BODY + 1)})
    assert answer.status_code == 413

    def endless():
        for _ in range(BODY // 2**20 + 2):
            yield b" " * 2**20

    assert bare.post("/api/runs/run/live/judge", content=endless()).status_code in (400, 413)


@pytest.mark.parametrize(
    "address",
    [
        "/../pyproject.toml",
        "/%2e%2e/%2e%2e/pyproject.toml",
        "/..%5c..%5cpyproject.toml",
        "/api/runs/..%2f..%2fetc/gallery",
    ],
)
def test_paths_stay_inside(bare, address):
    answer = bare.get(address)
    assert answer.status_code in (404, 503)
    assert "build-system" not in answer.text


def test_runs_are_found_by_name_only(bare):
    assert bare.get("/api/runs/nothing").status_code == 404
    assert bare.get("/api/runs/%2Ftmp").status_code == 404


def test_the_built_pages_ask_nobody_else():
    if not (pages() / "index.html").is_file():
        pytest.skip("the pages are not built: make web")
    known = r"https?://(www\.w3\.org|svelte\.dev|developer\.mozilla\.org|github\.com|127\.0\.0\.1|localhost)"
    for path in [*pages().rglob("*.html"), *pages().rglob("*.css")]:
        assert not re.search(r"https?://(?!www\.w3\.org)", path.read_text()), path
    for path in pages().rglob("*.js"):
        text = path.read_text()
        assert not re.search(r"\beval\(|new Function\(", text), path
        found = {each for each in re.findall(r"https?://[a-zA-Z0-9.-]+", text) if not re.match(known, each)}
        assert not found, (path, found)


def test_other_addresses_need_a_token():
    assert Place().secret is None
    assert len(Place("0.0.0.0").secret) >= 24
    assert Place("0.0.0.0").secret != Place("0.0.0.0").secret
    assert Place("0.0.0.0", token=TOKEN).secret == TOKEN
    with pytest.raises(BadInput, match="at least 8"):
        _ = Place(token="short").secret


def test_the_link_opens_an_example_that_fools(library, bare):
    address = link(library, "127.0.0.1", 8477, TOKEN)
    assert address.startswith(f"http://127.0.0.1:8477/?token={TOKEN}#view=example&run=run&example=attack~")
    name = address.rpartition("example=")[2]
    assert bare.get(f"/api/runs/run/examples/{name}").json()["success"]


def test_listening_is_on_loopback_and_a_taken_port_is_said():
    with Place(port=0).listen() as first:
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(BadInput, match=f"127.0.0.1:{port}"):
            Place(port=port).listen()


def test_a_folder_without_runs_is_said(tmp_path):
    with pytest.raises(RunError, match="expected a run"):
        Library([tmp_path])


STUDY = {"name": "study", "title": "A study", "data": {}, "model": {}, "attacks": {}}


def test_folders_of_runs_are_opened_and_names_are_told_apart(tmp_path):
    for folder in ("a/one", "b/one", "b/two words"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "spec.json").write_text(json.dumps({"format": 1, "spec": STUDY}))
    assert Library([tmp_path / "a" / "one", tmp_path / "b"]).names() == ["one", "one-2", "two-words"]


def test_folders_of_commands_are_listed_beside_studies(tmp_path):
    Run.create(tmp_path / "audit", {"command": "audit", "model": "0" * 16})
    assert not Library([tmp_path]).names()
    Run.create(tmp_path / "study", STUDY)
    library = Library([tmp_path])
    assert library.names() == ["study"]
    (card,) = library.command_cards()
    assert (card.id, card.command, card.complete) == ("audit", "audit", False)
