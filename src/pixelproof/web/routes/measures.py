"""Routes about figures over many examples: robustness, detectors, thresholds, maps."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixelproof.views import explorer
from pixelproof.web.contract import Detectors, Hardened, Maps, Missing, Paired, Projection, Robustness, Thresholds
from pixelproof.web.desk import Desk


def router(desk: Desk) -> APIRouter:
    """The routes over a desk."""
    routes = APIRouter(tags=["measures"])
    library, answers = desk.library, desk.answers

    @routes.get("/runs/{run}/robustness", response_model=Robustness | Missing)
    def robustness(run: str, request: Request) -> Response:
        """Robust accuracy over eps with intervals, per class, per attack."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Robustness | Missing, lambda: explorer.robustness(shelf))

    @routes.get("/runs/{run}/defences", response_model=Hardened | Missing)
    def defences(run: str, request: Request) -> Response:
        """Plain and hardened models on the same images, and the audit's verdict of each."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Hardened | Missing, lambda: explorer.hardened(shelf))

    @routes.get("/runs/{run}/against/{other}", response_model=Paired | Missing)
    def against(run: str, other: str) -> Paired | Missing:
        """Two runs on the same test images, paired by image. Not kept: either run may be replaced."""
        with answers.busy:
            try:
                return Paired.model_validate(explorer.paired(library.shelf(run), library.shelf(other)))
            except explorer.Lacking as lacking:
                return Missing.model_validate(lacking.answer())

    @routes.get("/runs/{run}/detectors", response_model=Detectors | Missing)
    def detectors(run: str, request: Request) -> Response:
        """Every detector that was judged, with intervals, ROC and the attacks that know it."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Detectors | Missing, lambda: explorer.detectors(shelf))

    @routes.get("/runs/{run}/thresholds", response_model=Thresholds | Missing)
    def thresholds(run: str, request: Request) -> Response:
        """Per layer: thresholds, ROC and accuracy over k; the scores are behind their links."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Thresholds | Missing, lambda: explorer.thresholds.thresholds(shelf))

    @routes.get("/runs/{run}/thresholds/{attack}/scores.f32", response_class=Response)
    def scores(run: str, attack: str, request: Request) -> Response:
        """Scores (spaces, images): clean images first."""
        shelf = library.shelf(run)
        return answers.array(request, shelf, lambda: explorer.thresholds.scores(shelf, attack))

    @routes.get("/runs/{run}/maps", response_model=Maps | Missing)
    def maps(run: str, request: Request) -> Response:
        """The projections that can be shown."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Maps | Missing, lambda: explorer.maps.maps(shelf))

    @routes.get("/runs/{run}/maps/{map}", response_model=Projection | Missing)
    def one(run: str, map: str, request: Request) -> Response:
        """One projection: which example each point is."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Projection | Missing, lambda: explorer.maps.one(shelf, map))

    @routes.get("/runs/{run}/maps/{map}/points.f32", response_class=Response)
    def points(run: str, map: str, request: Request) -> Response:
        """Coordinates (n, 2)."""
        shelf = library.shelf(run)
        return answers.array(request, shelf, lambda: explorer.maps.points(shelf, map))

    return routes
