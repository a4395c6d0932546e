"""The explorer over 10,000 examples: bundle, first page, view switches, strokes of the brush, and 20 people at once.

Wall-clock seconds on loopback, as a visitor has them: they depend on the machine and on what else runs on it (its load
is printed). Beside them stand processor seconds, which do not wait for other programs: of the page's main thread for
what a browser does, of the server's process for what a server does. Without Chromium only the server is measured.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pixelproof import study
from pixelproof.web.app import pages

EXAMPLES = 10_000
USERS, VISITS = 20, 10
STROKES = 30
VIEWS = ("gallery", "thresholds", "robustness", "map", "run", "example")
LIMITS = {"bundle": 150.0, "first page": 1.0, "switch": 0.2, "stroke": 0.1, "p95 of 20 people": 0.15}
STUDY: dict[str, Any] = {
    "name": "many",
    "title": "Many examples",
    "data": {"name": "digits"},
    "training": {"epochs": 6, "batch": 32},
    "attacks": {"specs": ["fgsm", "bim", "pgd", "deepfool", "sign-noise"], "eps": [0.05, 0.1, 0.15, 0.2, 0.25]},
    "guards": {"attacks": ["pgd"], "focus": "pgd", "eps": 0.15, "n": 300, "k": 50, "detectors": ["margin"]},
}


def conducted(folder: Path, data: str) -> Path:
    """A run with EXAMPLES examples: every attacked image of every attack and budget is kept."""
    asked = STUDY | {"attacks": STUDY["attacks"] | {"examples": 1000}}
    if data == "cifar10":
        asked |= {"data": {"name": data, "train": 5000, "test": 1000}, "model": {"net": "cifar-cnn"}}
        asked["training"] = {"epochs": 2}
        asked["attacks"] = {"specs": ["fgsm", "pgd:steps=5"], "eps": [0.01, 0.03], "examples": 1000}
        asked["guards"] = asked["guards"] | {"eps": 0.03}
    study.conduct(study.parse(asked), folder, device="cpu")
    return folder


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str, int]]:
    """The address of a server over a run, the fragment of its link, and its process."""
    code = "from pixelproof.cli import main; main()"
    arguments = ["explore", str(folder), "--port", "0", "--no-browser", "--quiet"]
    server = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        site, _, fragment = server.stdout.readline().removeprefix("explorer: ").strip().partition("/#")
        yield site, fragment, server.pid
    finally:
        server.terminate()
        server.wait()


def get(address: str, body: dict[str, Any] | None = None) -> bytes:
    """An answer's bytes."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(address, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        found: bytes = answer.read()
    return found


def seconds(work: Any) -> float:
    """Wall-clock seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def spent(process: int) -> float:
    """Processor seconds of a process until now, all threads together; Linux only, 0 elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bundle() -> float:
    """Kilobytes, compressed, of what the first page loads: the page, its scripts and styles, no dynamic part."""
    page = (pages() / "index.html").read_text()
    files = [path for path in pages().rglob("*") if path.suffix in (".js", ".css") and path.name in page]
    return sum(len(gzip.compress(path.read_bytes())) for path in [pages() / "index.html", *files]) / 1000


Timed = tuple[float, float]


def in_browser(site: str, fragment: str) -> tuple[list[Timed], dict[str, Timed]]:
    """Wall and processor seconds to a usable first page (three visits), and from one view to the next, in Chromium."""
    from playwright.sync_api import sync_playwright

    ready = "main[data-view={}] h1:visible"
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        first, switches = [], {}
        for _ in range(3):
            context = browser.new_context()
            page = context.new_page()
            clock = context.new_cdp_session(page)
            clock.send("Performance.enable", {"timeDomain": "threadTicks"})

            def busy(clock: Any = clock) -> float:
                metrics = clock.send("Performance.getMetrics")["metrics"]
                return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")

            def timed(work: Any, busy: Any = busy) -> Timed:
                before = busy()
                wall = seconds(work)
                return wall, busy() - before

            def visit(page: Any = page) -> None:
                page.goto(f"{site}/#{fragment}")
                page.wait_for_selector(ready.format("example"))

            first.append(timed(visit))
        run = fragment.partition("run=")[2].partition("&")[0]
        for again in range(2):  # the first time its code is fetched and its answer made
            for view in VIEWS:

                def switch(view: str = view, page: Any = page) -> None:
                    page.evaluate(f"location.hash = 'view={view}&run={run}'")
                    page.wait_for_selector(ready.format(view))
                    page.wait_for_selector("main [role=status]:has-text('Reading')", state="detached")

                switches[f"{view}{'' if again else ', first time'}"] = timed(switch)
        browser.close()
    return first, switches


def strokes(site: str, run: str, example: str) -> list[float]:
    """Seconds of the live page's questions, one pixel changed after the other; the first five are left out."""
    raw = bytearray(get(f"{site}/api/runs/{run}/examples/{example}/pixels.f32"))
    page = json.loads(get(f"{site}/api/runs/{run}/examples/{example}"))
    image = raw[: len(raw) // page["pixels"]["shape"][0]]
    found = []
    for sequence in range(STROKES):
        image[4 * sequence : 4 * sequence + 4] = b"\0\0\x80?"
        asked = {"session": "bench", "sequence": sequence, "pixels": base64.b64encode(image).decode()}
        found.append(seconds(lambda asked=asked: get(f"{site}/api/runs/{run}/live/judge", asked)))
    return found[5:]


def crowd(site: str, run: str, gallery: dict[str, Any]) -> list[float]:
    """Seconds of every example page that USERS people ask for, VISITS each, one second apart, none the same."""
    names = [f"{gallery['sets'][s]['id']}~{i}" for s, i in zip(gallery["set"], gallery["index"], strict=True)]
    step = len(names) // (USERS * VISITS)
    found: list[float] = []

    def person(number: int) -> None:
        time.sleep(number / USERS)
        for visit in range(VISITS):
            address = f"{site}/api/runs/{run}/examples/{names[(number * VISITS + visit) * step]}"
            found.append(seconds(partial(get, address)))
            time.sleep(1)

    people = [threading.Thread(target=person, args=(number,)) for number in range(USERS)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    return sorted(found)


def main() -> None:
    """Print every figure with its limit as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="also on CIFAR-10 (needs PIXELPROOF_DATA)")
    parser.add_argument("--run", type=Path, help="measure a run that is there already")
    asked = parser.parse_args()
    report: dict[str, Any] = {"load before": os.getloadavg()[0], "limits": LIMITS, "bundle kB gzip": round(bundle(), 1)}
    for data in ("digits", "cifar10") if asked.full else ("digits",):
        with tempfile.TemporaryDirectory() as folder:
            run = asked.run or conducted(Path(folder) / "many", data)
            with served(run) as (site, fragment, process):
                report[data] = measured(site, fragment, process)
    report["load after"] = os.getloadavg()[0]
    print(json.dumps(report, indent=1))


def measured(site: str, fragment: str, process: int) -> dict[str, Any]:
    """All figures of one server, after the warm-up that it gives itself."""
    parts = dict(pair.split("=") for pair in fragment.split("&"))
    run, example = parts["run"], parts["example"]
    for part in ("robustness", "defences", "thresholds", "detectors", "maps", f"examples/{example}/attributions"):
        get(f"{site}/api/runs/{run}/{part}")
    gallery = json.loads(get(f"{site}/api/runs/{run}/gallery"))
    found: dict[str, Any] = {"examples": gallery["n"]}
    if shutil.which("chromium") or shutil.which("chromium-browser"):
        first, switches = in_browser(site, fragment)
        found |= {"first page, wall and cpu s": [_rounded(each) for each in first]}
        found |= {"switch, wall and cpu s": {view: _rounded(each) for view, each in switches.items()}}
    before = spent(process)
    stroke = strokes(site, run, example)
    between = spent(process)
    people = crowd(site, run, gallery)
    after = spent(process)
    return found | {
        "stroke s, median": round(statistics.median(stroke), 4),
        "stroke s, worst": round(max(stroke), 4),
        "stroke cpu s": round((between - before) / STROKES, 4),
        "20 people s, median": round(statistics.median(people), 4),
        "20 people s, p95": round(people[int(0.95 * len(people))], 4),
        "20 people cpu s a page": round((after - between) / len(people), 4),
    }


def _rounded(timed: Timed) -> list[float]:
    return [round(each, 3) for each in timed]


if __name__ == "__main__":
    main()
