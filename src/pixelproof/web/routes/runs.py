"""Routes about whole runs: the list, the overview, the gallery and its atlas."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixelproof import __version__
from pixelproof.views import explorer, runs
from pixelproof.views.runs import DamagedRun, Home, RunPage
from pixelproof.web.contract import DetectorColumn, Gallery, Missing
from pixelproof.web.state import AppState


def router(state: AppState) -> APIRouter:
    """The routes over a state."""
    routes = APIRouter(tags=["runs"])
    library, answers = state.library, state.answers

    @routes.get("", response_model=Home)
    def home() -> Home:
        """The runs this server was started with, in that order, and those that cannot be read."""
        cards = [card for name in library.names() if (card := library.card(name, answers.busy)) is not None]
        damaged = tuple(DamagedRun(name=name, why=why) for name, why in library.damaged.items())
        return Home(version=__version__, static=False, live=state.live, runs=tuple(cards), damaged=damaged)

    @routes.get("/runs/{run}", response_model=RunPage | Missing)
    def page(run: str, request: Request) -> Response:
        """One run: classifier, layers, parts it holds, settings, versions."""
        opened = library.opened(run)
        return answers.json(request, opened, RunPage | Missing, lambda: runs.page(opened))

    @routes.get("/runs/{run}/gallery", response_model=Gallery | Missing)
    def gallery(run: str, request: Request) -> Response:
        """Every example as columns."""
        opened = library.opened(run)
        return answers.json(request, opened, Gallery | Missing, lambda: explorer.columns.whole(opened))

    @routes.get("/runs/{run}/gallery/{detector}", response_model=DetectorColumn | Missing)
    def column(run: str, detector: str, request: Request) -> Response:
        """What one detector says of every row, and which case that is."""
        opened = library.opened(run)
        return answers.json(
            request, opened, DetectorColumn | Missing, lambda: explorer.columns.column(opened, detector)
        )

    @routes.get("/runs/{run}/atlas/{page}.png", response_class=Response)
    def atlas(run: str, page: int, request: Request) -> Response:
        """A page of the gallery's atlas: tiles at native size."""
        opened = library.opened(run)
        return answers.picture(request, opened, lambda: explorer.pictures.page(opened, page))

    @routes.get("/runs/{run}/training/{index}.png", response_class=Response)
    def training(run: str, index: int, request: Request) -> Response:
        """A training image by its position in the original file."""
        opened = library.opened(run)
        return answers.picture(request, opened, lambda: explorer.pictures.training(opened, index))

    return routes
