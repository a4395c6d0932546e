"""Routes about figures over many examples: robustness, detectors, thresholds, maps."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from pixelproof import views
from pixelproof.views import explorer
from pixelproof.views.detectors import Detectors
from pixelproof.web.contract import Hardened, Maps, Missing, Paired, Projection, Robustness, Thresholds
from pixelproof.web.state import AppState


def router(state: AppState) -> APIRouter:
    """The routes over a state."""
    routes = APIRouter(tags=["measures"])
    library, answers = state.library, state.answers

    @routes.get("/runs/{run}/robustness", response_model=Robustness | Missing)
    def robustness(run: str, request: Request) -> Response:
        """Robust accuracy over eps with intervals, per class, per attack."""
        opened = library.opened(run)
        return answers.json(request, opened, Robustness | Missing, lambda: explorer.robustness(opened))

    @routes.get("/runs/{run}/defences", response_model=Hardened | Missing)
    def defences(run: str, request: Request) -> Response:
        """Plain and hardened models on the same images, and the audit's verdict of each."""
        opened = library.opened(run)
        return answers.json(request, opened, Hardened | Missing, lambda: explorer.hardened(opened))

    @routes.get("/runs/{run}/against/{other}", response_model=Paired | Missing)
    def against(run: str, other: str) -> Paired | Missing:
        """Two runs on the same test images, paired by image. Not kept: either run may be replaced."""
        with answers.busy:
            try:
                return Paired.model_validate(explorer.paired(library.opened(run), library.opened(other)))
            except explorer.Lacking as lacking:
                return lacking.answer()

    @routes.get("/runs/{run}/detectors", response_model=Detectors | Missing)
    def detectors(run: str, request: Request) -> Response:
        """Every detector that was judged, with intervals, ROC and the attacks that know it."""
        opened = library.opened(run)
        return answers.json(request, opened, Detectors | Missing, lambda: views.detectors(opened))

    @routes.get("/runs/{run}/thresholds", response_model=Thresholds | Missing)
    def thresholds(run: str, request: Request) -> Response:
        """Per layer: thresholds, ROC and accuracy over k; the scores are behind their links."""
        opened = library.opened(run)
        return answers.json(request, opened, Thresholds | Missing, lambda: explorer.thresholds.thresholds(opened))

    @routes.get("/runs/{run}/thresholds/{attack}/scores.f32", response_class=Response)
    def scores(run: str, attack: str, request: Request) -> Response:
        """Scores (spaces, images): clean images first."""
        opened = library.opened(run)
        return answers.array(request, opened, lambda: explorer.thresholds.scores(opened, attack))

    @routes.get("/runs/{run}/maps", response_model=Maps | Missing)
    def maps(run: str, request: Request) -> Response:
        """The projections that can be shown."""
        opened = library.opened(run)
        return answers.json(request, opened, Maps | Missing, lambda: explorer.maps.maps(opened))

    @routes.get("/runs/{run}/maps/{map}", response_model=Projection | Missing)
    def one(run: str, map: str, request: Request) -> Response:
        """One projection: which example each point is."""
        opened = library.opened(run)
        return answers.json(request, opened, Projection | Missing, lambda: explorer.maps.one(opened, map))

    @routes.get("/runs/{run}/maps/{map}/points.f32", response_class=Response)
    def points(run: str, map: str, request: Request) -> Response:
        """Coordinates (n, 2)."""
        opened = library.opened(run)
        return answers.array(request, opened, lambda: explorer.maps.points(opened, map))

    return routes
