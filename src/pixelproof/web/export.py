"""export: a copy of the explorer that opens without a server, made of the very answers a server would give.

Browsers fetch nothing from file:// addresses, but they run scripts and show images. So every JSON answer and array
becomes a small script that hands its content to the page, and images stay images.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

from starlette.types import ASGIApp

from pixelproof.atomic import write_whole
from pixelproof.detect.neighbours.metrics import Metric
from pixelproof.errors import BadInput, RunError
from pixelproof.views import paths
from pixelproof.views.paths import at
from pixelproof.web.app import api, pages
from pixelproof.web.library import Library
from pixelproof.web.pages import wholes
from pixelproof.web.state import AppState
from pixelproof.web.within import Reply, ask

METRICS = get_args(Metric)
PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <link rel="icon" href="data:," />
    <title>pixelproof</title>
    <link rel="stylesheet" href="app.css" />
  </head>
  <body>
    <div id="app"></div>
    <script src="app.js"></script>
  </body>
</html>
"""
Tell = Callable[[int, int], None]


def export(library: Library, site: Path, *, examples: int = 50, tell: Tell | None = None) -> int:
    """Write the copy to `site` and return how many answers it holds; `examples` of every run get their pages.

    Raises BadInput for a folder that holds something else, and RunError when the pages were not built.
    """
    bundle = pages() / "export"
    if not (bundle / "app.js").is_file():
        raise RunError("export", "needs the built pages", "none", "Run 'make web' in a source checkout.")
    if site.exists() and any(site.iterdir()) and not (site / "app.js").is_file():
        raise BadInput("export", f"{site} must be empty or hold an earlier copy", "other files", "Choose another one.")
    application = api(AppState(library, live=False))
    wanted = list(dict.fromkeys(addresses(application, library, examples)))
    for done, address in enumerate(wanted):
        _keep(site / "api", address, ask(application, address))
        if tell:
            tell(done + 1, len(wanted))
    home = _home(application, library, examples)
    write_whole(site / "api" / "home.js", _script("", {"json": home}))
    for name in ("app.js", "app.css"):
        if (bundle / name).is_file():
            shutil.copyfile(bundle / name, site / name)
        else:
            write_whole(site / name, "")
    write_whole(site / "index.html", PAGE)
    return len(wanted) + 1


def addresses(application: ASGIApp, library: Library, examples: int) -> Iterator[str]:
    """Every answer that a copy holds, run by run, and the pages of commands."""
    home = ask(application, "").json()
    yield from (at(paths.COMMAND, command=card["id"]) for card in home["commands"])
    starts = {card["id"]: card["start"] for card in home["runs"]}
    for run, start in starts.items():
        gallery = ask(application, at(paths.GALLERY, run=run)).json()
        yield from (at(path, run=run) for path in wholes())
        yield from (at(paths.AGAINST, run=run, other=other) for other in starts if other != run)
        yield from (at(paths.COLUMN, run=run, detector=each["id"]) for each in gallery.get("detectors", ()))
        atlas = gallery.get("atlas", {"href": "", "pages": 0})
        yield from (at(atlas["href"], page=page) for page in range(atlas["pages"]))
        found = ask(application, at(paths.THRESHOLDS, run=run)).json()
        yield from (each["scores"]["href"] for each in found.get("against", ()))
        for each in ask(application, at(paths.MAPS, run=run)).json().get("maps", ()):
            yield from (at(path, run=run, map=each["id"]) for path in (paths.MAP, paths.POINTS))
        for name in chosen(gallery, examples, start):
            yield from _of_example(application, run, name)


def chosen(gallery: dict[str, Any], examples: int, start: str | None) -> list[str]:
    """The examples that get their pages: the one to begin with, then of every set in turn the first success not yet
    taken, then the others."""
    sets = gallery.get("sets")
    if sets is None:  # a gallery that cannot be read
        return []
    queues: list[list[str]] = [[] for _ in sets]
    for hit in (True, False):
        for place, index, success in zip(gallery["set"], gallery["index"], gallery["success"], strict=True):
            if success == hit:
                queues[place].append(f"{sets[place]['id']}~{index}")
    queues.sort(key=lambda queue: not queue[:1] or not queue[0].startswith("guards~"))
    found = [start] if start else []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        found += [queue[turn] for queue in queues if turn < len(queue) and queue[turn] != start]
        if len(found) >= examples:
            break
    return found[:examples]


def _of_example(application: ASGIApp, run: str, example: str) -> Iterator[str]:
    def own(path: str, **places: object) -> str:
        return at(path, run=run, example=example, **places)

    page = ask(application, own(paths.EXAMPLE)).json()
    if "adversarial" not in page:
        return
    attacked = page["adversarial"] is not None
    sides = ("clean", "adversarial") if attacked else ("clean",)
    yield from (own(path) for path in (paths.EXAMPLE, paths.PIXELS, paths.CLEAN, paths.ATTRIBUTIONS))
    if attacked:
        yield own(paths.ADVERSARIAL)
    if "href" in page["attribution"]:
        yield page["attribution"]["href"]
    yield own(paths.ATTACKABILITY)
    for layer in page["layers"]:
        if layer["clean"] is not None:
            for metric in METRICS:
                place = own(paths.NEIGHBOURS, layer=layer["name"], metric=metric)
                yield place
                if atlas := ask(application, place).json().get("atlas"):
                    yield atlas["href"]
            yield from (own(paths.GRAPH, layer=layer["name"], metric="euclidean", side=side) for side in sides)
            if attacked:
                yield from _of_change(application, run, example, layer["name"])


def _of_change(application: ASGIApp, run: str, example: str, layer: str) -> Iterator[str]:
    """What the attack changed in a layer, told from either side, and the unit that the page then shows unasked."""
    for a, b in (("adversarial", "clean"), ("clean", "adversarial")):
        places = {"run": run, "example": example, "layer": layer, "a": a, "b": b}
        yield at(paths.VECTORS, **places)
        for metric in METRICS:
            place = at(paths.DIFFERENCE, metric=metric, **places)
            yield place
            yield from _of_unit(application, run, ask(application, place).json())


def _of_unit(application: ASGIApp, run: str, difference: dict[str, Any]) -> Iterator[str]:
    """The unit that changed most, which the page shows unasked, and the training images that excite it."""
    for each in difference.get("units", ())[:1]:
        place = at(paths.UNIT, run=run, layer=each["layer"], unit=each["unit"])
        yield place
        unit = ask(application, place).json()
        yield from (at(paths.TRAINING, run=run, index=image["index"]) for image in unit.get("top", ()))


def _home(application: ASGIApp, library: Library, examples: int) -> dict[str, Any]:
    home: dict[str, Any] = ask(application, "").json()
    for card in home["runs"]:
        card["exported"] = chosen(ask(application, at(paths.GALLERY, run=card["id"])).json(), examples, card["start"])
    return home | {"static": True, "live": False}


def _keep(folder: Path, address: str, reply: Reply) -> None:
    """One answer as a file: an image or a page as it is, anything else as a script."""
    kind = reply.headers.get("content-type", "")
    if reply.status != 200:
        return
    if kind == "image/png" or kind.startswith("text/html"):
        write_whole(folder / address, reply.body)
        return
    if kind == "application/octet-stream":
        shape = [int(size) for size in reply.headers["x-shape"].split(",")]
        content: dict[str, Any] = {"base64": base64.b64encode(reply.body).decode(), "shape": shape}
    else:
        content = {"json": reply.json()}
    write_whole(folder / f"{address}.js", _script(address, content))


def _script(address: str, content: dict[str, Any]) -> str:
    return f"pixelproof_data({json.dumps(address)}, {json.dumps(content, separators=(',', ':'))});\n"
