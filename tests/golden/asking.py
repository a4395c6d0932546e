"""All that is said about a run: views, the tables and text of its report, and the answers of the explorer's server."""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from golden.plain import jsonable
from golden.reading import read
from pixelproof import __version__, report, views
from pixelproof.errors import PixelproofError
from pixelproof.run import Run
from pixelproof.views import explorer
from pixelproof.views.explorer import Shelf
from pixelproof.web.app import api
from pixelproof.web.desk import Desk
from pixelproof.web.export import addresses
from pixelproof.web.library import Library
from pixelproof.web.within import Reply, ask

SHOWN = 3  # examples of a view that takes a limit
EXAMPLES = 3  # examples of a run whose pages are asked for
OTHER = re.compile("/(manhattan|chebyshev|cosine)|/clean/adversarial")  # the same page asked for in another way
Call = Callable[[], Any]


def of_views(folder: Path, most: int) -> dict[str, Any]:
    """What every view gives, by its name and arguments."""
    run = Run.open(folder)
    return {name: _called(call, folder, most) for name, call in _views(run)}


def _views(run: Run) -> Iterator[tuple[str, Call]]:
    attacked = [(row["attack"], row["eps"]) for row in jsonable(views.robustness(run), 10**9)]
    focus = jsonable(views.focus(run), 10**9)
    for name in views.__all__:
        view: Any = getattr(views, name)
        if inspect.isclass(view):
            continue
        if list(inspect.signature(view).parameters) == ["run"]:
            yield name, partial(view, run)
        elif name == "family":
            for label in views.attack_names(run):
                yield f"family({label})", partial(view, label)
        elif name == "images":
            for attack, eps in attacked:
                yield f"images({attack}, {eps})", partial(view, run, attack=attack, eps=eps)
        elif name == "examples":
            if focus:
                arguments = {"attack": focus["attack"], "eps": focus["eps"], "limit": SHOWN}
                yield f"examples({focus['attack']}, {focus['eps']})", partial(view, run, **arguments)
        elif name in ("explained", "pixel_examples"):
            yield name, partial(view, run, SHOWN)
        elif name in ("k_curves", "layer_rocs", "threshold_curves"):
            for attack in views.guarded_attacks(run):
                yield f"{name}({attack})", partial(view, run, attack)
        elif name == "front":
            yield name, lambda: views.front(views.defences(run))
        elif name == "shown":
            yield name, lambda: [views.shown(row) for row in views.defences(run)]
        else:
            raise LookupError(f"no arguments are known for the view {name}: say them here")


def of_explorer(folder: Path, most: int) -> dict[str, Any]:
    """What the explorer's views give for a run and for the example to begin with."""
    shelf = Shelf(Run.open(folder), folder.name)
    return {f"explorer.{name}": _called(call, folder, most) for name, call in _explorer(shelf)}


def _explorer(shelf: Shelf) -> Iterator[tuple[str, Call]]:
    whole: dict[str, Callable[[Shelf], Any]] = {
        "card": explorer.card,
        "page": explorer.page,
        "gallery": explorer.gallery,
        "columns.whole": explorer.columns.whole,
        "robustness": explorer.robustness,
        "hardened": explorer.hardened,
        "detectors": explorer.detectors,
        "thresholds": explorer.thresholds.thresholds,
        "maps": explorer.maps.maps,
    }
    for name, view in whole.items():
        yield name, partial(view, shelf)
    start = jsonable(explorer.card(shelf), 10**9)["start"]
    if start:
        layer = shelf.layers[-1]
        yield "example", partial(explorer.example, shelf, start)
        yield "attackability", partial(explorer.attackability, shelf, start)
        yield "attributions", partial(explorer.attributions.attributions, shelf, start)
        yield "neighbours", partial(explorer.neighbours.neighbours, shelf, start, layer, "euclidean")
        pair = ("adversarial", "clean")
        yield "difference", partial(explorer.activations.difference, shelf, start, layer, "cosine", pair)


def of_report(folder: Path, most: int, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables that a report writes, and what can be read in its page; `out` is where it is written."""
    page = report.write(Run.open(folder), out)
    tables = {}
    for path in sorted((out / "tables").glob("*.csv")):
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        cells = [[_cell(text) for text in row] for row in rows]
        if len(cells) <= most:
            tables[path.name] = {"columns": header, "rows": cells}
        else:
            columns = zip(header, zip(*cells, strict=True), strict=True)
            summed = {name: jsonable(list(column), most) for name, column in columns}
            tables[path.name] = {"columns": header, "first": cells[:2], "length": len(cells), "summed": summed}
    figures = sorted(path.name for path in (out / "figures").iterdir())
    return tables, read(page.read_text()) | {"figures": figures}


def _cell(text: str) -> Any:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        return jsonable(float(text), 0)
    except ValueError:
        return text


def of_server(folders: Sequence[Path], most: int, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """What a server over some runs answers, by address; without `wanted`, a choice that meets every GET route."""
    library = Library(folders)
    application = api(Desk(library))
    found = _chosen(application, library) if wanted is None else wanted
    answers = {address or "/": _answer(ask(application, address.removeprefix("/")), most) for address in found}
    broken = [f"{address}: {answer['body']}" for address, answer in answers.items() if answer["status"] == 500]
    if broken:
        raise AssertionError("the server failed at " + "; ".join(broken))
    return answers


def _chosen(application: Any, library: Library) -> list[str]:
    """Every address of a copy, other metrics for one example and layer only; and some addresses that are refused."""
    every = list(dict.fromkeys(addresses(application, library, EXAMPLES)))
    found = [""]
    for run in library.names():
        own = [address for address in every if address.startswith(f"runs/{run}")]
        first = next(address for address in own if "/examples/" in address)
        found += [each for each in own if not OTHER.search(each) or (each.startswith(first) and "/composed/" in each)]
        base = f"runs/{run}"
        found += [f"{base}/live", f"{base}/training/0.png", f"{base}/gallery/none", f"{base}/examples/none~0"]
        found += [f"{base}/units/none/0", f"{base}/maps/none", f"{base}/thresholds/none/scores.f32"]
    return [*dict.fromkeys(found), "runs/none", "none"]


def _answer(reply: Reply, most: int) -> dict[str, Any]:
    kind = reply.headers.get("content-type", "").partition(";")[0]
    body: Any
    if kind == "application/json":
        body = jsonable(reply.json(), most)
        if isinstance(body, dict) and body.get("version") == __version__:
            body["version"] = "of the program"
    elif kind == "application/octet-stream":
        shape = [int(size) for size in reply.headers["x-shape"].split(",")]
        body = jsonable(np.frombuffer(reply.body, "<f4").reshape(shape), most)
    else:
        body = jsonable(reply.body, most)
    return {"status": reply.status, "kind": kind, "body": body}


def _called(call: Call, folder: Path, most: int) -> Any:
    """What a view gives, or the sentence with which it refuses."""
    try:
        return jsonable(call(), most)
    except PixelproofError as reason:
        return {"refused": type(reason).__name__, "sentence": str(reason).replace(str(folder), folder.name)}
