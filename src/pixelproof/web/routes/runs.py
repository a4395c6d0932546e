"""Routes about whole runs: the list, the overview, the gallery and its atlas."""

from __future__ import annotations

from contextlib import nullcontext

from fastapi import APIRouter, Request, Response

from pixelproof import __version__
from pixelproof.views import explorer
from pixelproof.web.contract import DetectorColumn, Gallery, Home, Missing, RunPage
from pixelproof.web.desk import Desk


def router(desk: Desk) -> APIRouter:
    """The routes over a desk."""
    routes = APIRouter(tags=["runs"])
    library, answers = desk.library, desk.answers

    @routes.get("", response_model=Home)
    def home() -> Home:
        """The runs this server was started with, in that order."""
        cards = []
        for shelf in map(library.shelf, library.names()):
            with nullcontext() if shelf.keeps(explorer.card) else answers.busy:
                cards.append(shelf.kept(explorer.card))
        return Home.model_validate({"version": __version__, "static": False, "live": desk.live, "runs": cards})

    @routes.get("/runs/{run}", response_model=RunPage | Missing)
    def page(run: str, request: Request) -> Response:
        """One run: classifier, layers, parts it holds, settings, versions."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, RunPage | Missing, lambda: explorer.page(shelf))

    @routes.get("/runs/{run}/gallery", response_model=Gallery | Missing)
    def gallery(run: str, request: Request) -> Response:
        """Every example as columns."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Gallery | Missing, lambda: explorer.columns.whole(shelf))

    @routes.get("/runs/{run}/gallery/{detector}", response_model=DetectorColumn | Missing)
    def column(run: str, detector: str, request: Request) -> Response:
        """What one detector says of every row, and which case that is."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, DetectorColumn | Missing, lambda: explorer.columns.column(shelf, detector))

    @routes.get("/runs/{run}/atlas/{page}.png", response_class=Response)
    def atlas(run: str, page: int, request: Request) -> Response:
        """A page of the gallery's atlas: tiles at native size."""
        shelf = library.shelf(run)
        return answers.picture(request, shelf, lambda: explorer.pictures.page(shelf, page))

    @routes.get("/runs/{run}/training/{index}.png", response_class=Response)
    def training(run: str, index: int, request: Request) -> Response:
        """A training image by its position in the original file."""
        shelf = library.shelf(run)
        return answers.picture(request, shelf, lambda: explorer.pictures.training(shelf, index))

    return routes
