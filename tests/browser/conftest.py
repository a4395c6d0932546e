"""Browser tests: Debian's Chromium on a real server over a real run.

Where no Chromium is, they skip with the reason; in CI (CI=true) a missing browser, or missing pages, is a failure.
"""

import os
import shutil
import subprocess
import sys

import pytest

from explorer_run import explored
from pixelproof.web.app import pages

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def lacking(reason):
    """A skip, or in CI a failure: there a test that did not run proves nothing."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"CI is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        lacking("no Chromium is installed: apt-get install chromium, or set CHROMIUM to one")
    return {**browser_type_launch_args, "executable_path": path, "args": FLAGS}


@pytest.fixture(scope="session")
def served():
    """The address of a server over the run "explored", and the link it printed."""
    if not (pages() / "index.html").is_file():
        lacking("the pages are not built: make web")
    command = "from pixelproof.cli import main; main()"
    arguments = ["explore", str(explored().folder), "--port", "0", "--no-browser", "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        link = process.stdout.readline().removeprefix("explorer: ").strip()
        assert link.startswith("http://127.0.0.1:"), link
        yield link
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="session")
def base_url(served):
    return served.partition("/#")[0]


@pytest.fixture
def quiet_page(page):
    """A page on which no console error, no failed request and no uncaught exception happened by the end of the test."""
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"{request.url}: {request.failure}"))
    yield page
    assert said == []
