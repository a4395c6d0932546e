"""The routes of the table of pages, and those that are no page of one run: the list of runs, and two runs compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from pixelproof import __version__, views
from pixelproof.views import paths
from pixelproof.views.answer import Missing, or_missing
from pixelproof.views.paired import Paired
from pixelproof.views.runs import DamagedRun, Home
from pixelproof.web.pages import PAGES, Page
from pixelproof.web.state import AppState

# A report has its style inside and runs nothing: no script, no address is followed from it.
STILL = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
STILL += "frame-ancestors 'none'"


def router(state: AppState) -> APIRouter:
    """The routes over the application's state."""
    routes = APIRouter(tags=["pages"])
    library, answers = state.library, state.answers

    @routes.get("", response_model=Home)
    def home() -> Home:
        """The runs this server was started with, in that order, and those that cannot be read."""
        cards = [card for name in library.names() if (card := library.card(name, answers.busy)) is not None]
        commands = library.command_cards()
        damaged = tuple(DamagedRun(name=name, why=why) for name, why in library.damaged.items())
        return Home(
            version=__version__, static=False, live=state.live, runs=tuple(cards), commands=commands, damaged=damaged
        )

    @routes.get("/" + paths.COMMAND, response_class=HTMLResponse)
    def of_command(command: str) -> HTMLResponse:
        """The page of what a command found out, as its report shows it."""
        return HTMLResponse(library.command_page(command), headers={"Content-Security-Policy": STILL})

    @routes.get("/" + paths.AGAINST, response_model=Paired | Missing)
    def against(run: str, other: str) -> Paired | Missing:
        """Two runs on the same test images, paired by image. Not kept: either run may be replaced."""
        with answers.busy:
            return or_missing(lambda: views.paired(library.opened(run), library.opened(other)))

    for page in PAGES:
        answer = endpoint(page, state)
        if page.model is None:
            routes.get(f"/{page.path}", response_class=Response, name=page.path)(answer)
        else:
            routes.get(f"/{page.path}", response_model=page.model | Missing, name=page.path)(answer)
    return routes


def endpoint(page: Page, state: AppState) -> Callable[..., Response]:
    """The function that answers a page's address, with the signature that its documentation and checks come from."""

    def answer(request: Request, run: str, **values: Any) -> Response:
        opened = state.library.opened(run)
        if page.model is not None:
            return state.answers.json(request, opened, lambda: page.call(opened, values))
        if page.picture:
            return state.answers.picture(request, opened, lambda: page.call(opened, values))
        return state.answers.array(request, opened, lambda: page.call(opened, values))

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = (
        inspect.Parameter("request", keyword, annotation=Request),
        inspect.Parameter("run", keyword, annotation=str),
    )
    answer.__signature__ = inspect.Signature((*own, *page.arguments))  # type: ignore[attr-defined]
    answer.__doc__ = page.view.__doc__
    return answer
