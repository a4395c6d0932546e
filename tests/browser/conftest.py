"""A real run on the digits behind a real server, and Debian's Chromium in front of it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

expect.set_options(timeout=20_000)  # shared machines stall; a test that passes does not wait
ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "frontend"
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).is_file()), None)
STUDY = """
name = "walk"
title = "A walk on the digits"
about = "Small, for the browser tests."

[data]
name = "digits"

[training]
epochs = 8
batch = 32

[attacks]
specs = ["fgsm", "pgd:steps=10", "sign-noise"]
eps = [0.05, 0.15, 0.25]
examples = 40

[signatures]
attacks = ["pgd:steps=10"]
focus = "pgd:steps=10"
n = 160
k = [8]
adaptive = 0

[pixels]
n = 30
maps = 30
validation = 2

[guards]
attacks = ["pgd:steps=10"]
focus = "pgd:steps=10"
eps = 0.2
n = 160
detectors = ["margin"]
adaptive = 0
"""


def lacking(what: str) -> None:
    """Skip with the reason; in CI what is lacking is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, but {what}")
    pytest.skip(what)


def _built() -> None:
    """The pages, built where they are missing or older than their sources."""
    page = ROOT / "src" / "pixelproof" / "web" / "static" / "index.html"
    sources = [path for path in (FRONTEND / "src").rglob("*") if path.is_file()]
    if page.is_file() and all(path.stat().st_mtime <= page.stat().st_mtime for path in sources):
        return
    npm = shutil.which("npm")
    if npm is None:
        lacking("the pages are not built and there is no npm: run 'make web'")
    if not (FRONTEND / "node_modules").is_dir():
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=FRONTEND, check=True, capture_output=True)
    subprocess.run([npm, "run", "build"], cwd=FRONTEND, check=True, capture_output=True)


@pytest.fixture(scope="session")
def walked(tmp_path_factory) -> Path:
    """The run folder, conducted once for all workers, without the type checks that tests put on every call."""
    if CHROMIUM is None:
        lacking("there is no Chromium at /usr/bin/chromium: install Debian's chromium")
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / "walk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _built()
        folder = shared / "walk"
        if not (folder / "run.json").is_file():
            (shared / "walk.toml").write_text(STUDY)
            with _command("run", str(shared / "walk.toml"), "--out", str(folder), "--device", "cpu") as command:
                assert command.wait(timeout=400) == 0
    return folder


def _command(*arguments: str) -> subprocess.Popen[str]:
    code = "import sys; from pixelproof.cli import main; sys.argv[0] = 'pixelproof'; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


@pytest.fixture(scope="session")
def site(walked):
    """The address of a served explorer, for example http://127.0.0.1:40001."""
    server = _command("explore", str(walked), "--port", "0", "--no-browser", "--quiet")
    assert server.stdout is not None
    line = server.stdout.readline()
    assert "http://" in line, line
    yield line.split("explorer: ")[1].split("/#")[0].strip()
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture(scope="session")
def api(site):
    """GET api('runs/walk/gallery'): the server's JSON, or raw numbers for addresses that end in .f32."""

    def get(address: str):
        with urllib.request.urlopen(f"{site}/api/{address}".rstrip("/")) as answer:
            content = answer.read()
            if address.endswith(".f32"):
                shape = [int(size) for size in answer.headers["X-Shape"].split(",")]
                return np.frombuffer(content, "<f4").reshape(shape)
            return json.loads(content)

    return get


@pytest.fixture(scope="session")
def base_url(site) -> str:
    """Where relative addresses begin. (The plugin's own fixture of this name warns with pytest 9.)"""
    return site


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    """Debian's Chromium, in a container."""
    return {
        **browser_type_launch_args,
        "executable_path": CHROMIUM,
        "args": ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    }


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args):
    """A common screen, and no motion."""
    return {**browser_context_args, "viewport": {"width": 1400, "height": 1000}, "reduced_motion": "reduce"}


@pytest.fixture
def visit(walked, site, page):
    """visit(view='gallery', ...) opens an address of the run; every error on the console fails the test."""
    complaints: list[str] = []
    page.set_default_timeout(20_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def go(**query: str):
        address = "&".join(f"{key}={value}" for key, value in ({"run": walked.name} | query).items())
        page.goto(f"{site}/#{address}")
        page.wait_for_selector(f"main[data-view={query.get('view', 'run')}]")
        return page

    yield go
    assert complaints == []


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, which finds faults that keep people out."""
    source = FRONTEND / "node_modules" / "axe-core" / "axe.min.js"
    if not source.is_file():
        lacking("axe-core is not installed: run 'npm ci' in frontend/")
    return source.read_text()


@pytest.fixture(scope="session")
def start(api):
    """The example that the explorer opens with."""
    return api("")["runs"][0]["start"]
