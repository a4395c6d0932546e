"""The application: the API under /api, the built pages beside it, and one sentence for everything that goes wrong."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from pixelproof import __version__
from pixelproof.errors import BadInput, CorruptFile, PixelproofError, RunError, UnknownName
from pixelproof.views.answer import Lacking, Refusal
from pixelproof.web.gate import Gate
from pixelproof.web.library import Library
from pixelproof.web.live.upload import TooLarge, TooMany, WrongType
from pixelproof.web.routes import live
from pixelproof.web.routes import pages as routes_of_pages
from pixelproof.web.state import AppState

NO_PAGES = """<!doctype html><html lang="en"><meta charset="utf-8"><title>pixelproof: pages not built</title>
<body><main><h1>The explorer's pages are not built</h1>
<p>The API answers under <a href="api">api</a>, but the pages are made by node and were not there when pixelproof was
installed. With node 20.19 or later: <code>make web</code>. Without: <code>pip install -e .</code> builds them with a
node of its own while the package registries can be reached.</p></main></body></html>"""


STATUS: dict[type[Exception], int] = {
    UnknownName: 404,
    CorruptFile: 404,
    RunError: 404,
    TooLarge: 413,
    WrongType: 415,
    TooMany: 429,
}


def pages() -> Path:
    """The folder with the built pages, whether it is there or not."""
    return Path(str(files("pixelproof.web"))) / "static"


def create(library: Library, *, hosts: tuple[str, ...], token: str | None = None, live_page: bool = True) -> ASGIApp:
    """The whole application behind its gate."""
    return Gate(api(AppState(library, live_page)), hosts, token)


def api(state: AppState) -> FastAPI:
    """The API and the pages, without the gate."""
    app = FastAPI(
        title="pixelproof explorer",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses={404: {"model": Refusal}, 400: {"model": Refusal}},
    )
    for subject in (routes_of_pages, live):
        app.include_router(subject.router(state), prefix="/api")
    app.add_exception_handler(PixelproofError, _refuse)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)

    @app.get("/api/{rest:path}", include_in_schema=False)
    def unknown(rest: str) -> JSONResponse:
        return JSONResponse({"error": f"explore: no such address: api/{rest[:80]}."}, status_code=404)

    if (pages() / "index.html").is_file():
        app.mount("/", StaticFiles(directory=pages(), html=True))
    else:
        app.add_api_route("/{rest:path}", _no_pages, include_in_schema=False, response_class=HTMLResponse)
    return app


def _no_pages() -> HTMLResponse:
    return HTMLResponse(NO_PAGES, status_code=503)


def _refuse(_request: Request, reason: Exception) -> JSONResponse:
    if isinstance(reason, Lacking):
        return JSONResponse(reason.answer().model_dump(), status_code=404)
    special = next((status for kind, status in STATUS.items() if isinstance(reason, kind)), None)
    status = special or (400 if isinstance(reason, BadInput) else 500)
    return JSONResponse({"error": str(reason)}, status_code=status)


def _invalid(_request: Request, reason: Exception) -> JSONResponse:
    assert isinstance(reason, RequestValidationError)
    first = reason.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse({"error": f"explore: {where}: {first['msg']}."}, status_code=422)


def _http(_request: Request, reason: Exception) -> JSONResponse:
    assert isinstance(reason, HTTPException)
    return JSONResponse({"error": f"explore: {reason.detail}."}, status_code=reason.status_code)


def _gone(_request: Request, _reason: Exception) -> JSONResponse:
    return JSONResponse({"error": "explore: the request ended before its end."}, status_code=400)


def _unexpected(_request: Request, reason: Exception) -> JSONResponse:
    what = " ".join(f"{type(reason).__name__}: {reason}".split())[:300]
    return JSONResponse({"error": f"explore: unexpected {what}."}, status_code=500)
