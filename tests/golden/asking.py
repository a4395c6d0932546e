"""All that is said about a run: the tables and text of its report, and the answers of the explorer's server."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from golden.plain import jsonable
from golden.reading import read
from pixelproof import __version__, report
from pixelproof.run import Run
from pixelproof.web.app import api
from pixelproof.web.export import addresses
from pixelproof.web.library import Library
from pixelproof.web.state import AppState
from pixelproof.web.within import Reply, ask

EXAMPLES = 3  # examples of a run whose pages are asked for
OTHER = re.compile("/(manhattan|chebyshev|cosine)|/clean/adversarial")  # the same page asked for in another way


def of_report(folder: Path, most: int, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables that a report writes, and what can be read in its page; `out` is where it is written."""
    page = report.write(Run.open(folder), out)
    tables = {}
    for path in sorted((out / "tables").glob("*.csv")):
        with path.open(newline="") as file:
            header, *rows = csv.reader(file)
        columns = {
            name: [_cell(text) for text in cells] for name, cells in zip(header, zip(*rows, strict=True), strict=True)
        }
        many = len(rows) > most
        tables[path.name] = {name: jsonable(cells, most) if many else cells for name, cells in columns.items()}
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
    application = api(AppState(library))
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
