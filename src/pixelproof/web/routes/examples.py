"""Routes about one example."""

from __future__ import annotations

from functools import partial
from typing import Literal

from fastapi import APIRouter, Request, Response

from pixelproof.views import explorer
from pixelproof.web.contract import (
    Attackability,
    Attributions,
    Difference,
    ExamplePage,
    Graph,
    Missing,
    Neighbourhood,
    Unit,
)
from pixelproof.web.state import AppState

Metric = Literal["euclidean", "manhattan", "chebyshev", "cosine"]
SideName = Literal["clean", "adversarial"]
AT = "/runs/{run}/examples/{example}"


def router(state: AppState) -> APIRouter:
    """The routes over a state."""
    routes = APIRouter(tags=["examples"])
    library, answers = state.library, state.answers

    @routes.get(AT, response_model=ExamplePage | Missing)
    def page(run: str, example: str, request: Request) -> Response:
        """What the classifier, its layers and the detectors say before and after the attack."""
        opened = library.opened(run)
        return answers.json(request, opened, ExamplePage | Missing, lambda: explorer.example(opened, example))

    @routes.get(AT + "/clean.png", response_class=Response)
    def clean(run: str, example: str, request: Request) -> Response:
        """The clean image at native size, 8 bits."""
        opened = library.opened(run)
        return answers.picture(request, opened, lambda: explorer.pictures.clean(opened, example))

    @routes.get(AT + "/adversarial.png", response_class=Response)
    def adversarial(run: str, example: str, request: Request) -> Response:
        """The attacked image at native size, 8 bits; 404 for a clean example."""
        opened = library.opened(run)
        return answers.picture(request, opened, lambda: explorer.pictures.adversarial(opened, example))

    @routes.get(AT + "/pixels.f32", response_class=Response)
    def pixels(run: str, example: str, request: Request) -> Response:
        """Exact pixels (images, c, h, w) in [0, 1]: clean, then attacked."""
        opened = library.opened(run)
        return answers.array(request, opened, lambda: explorer.pictures.pixels(opened, example))

    @routes.get(AT + "/neighbours/{layer}/{metric}.png", response_class=Response)
    def faces(run: str, example: str, layer: str, metric: Metric, request: Request) -> Response:
        """The neighbours' images as one sheet, in the order of the list."""
        opened = library.opened(run)
        made = partial(explorer.neighbours.faces, opened, example, layer, metric)
        return answers.picture(request, opened, made)

    @routes.get(AT + "/neighbours/{layer}/{metric}", response_model=Neighbourhood | Missing)
    def neighbours(run: str, example: str, layer: str, metric: Metric, request: Request) -> Response:
        """The nearest training images of both images, nearest first: as many as can be shown; take the first k."""
        opened = library.opened(run)
        made = partial(explorer.neighbours.neighbours, opened, example, layer, metric)
        return answers.json(request, opened, Neighbourhood | Missing, made)

    @routes.get(AT + "/graph/{layer}/{metric}/{side}", response_model=Graph | Missing)
    def graph(run: str, example: str, layer: str, metric: Metric, side: SideName, request: Request) -> Response:
        """The neighbour graph of one image, laid out."""
        opened = library.opened(run)
        made = partial(explorer.neighbours.graph, opened, example, layer, metric, side)
        return answers.json(request, opened, Graph | Missing, made)

    @routes.get(AT + "/difference/{layer}/{metric}/{a}/{b}", response_model=Difference | Missing)
    def difference(run: str, example: str, layer: str, metric: Metric, a: str, b: str, request: Request) -> Response:
        """Activations of two images: each is 'clean', 'adversarial' or the position of a training image."""
        opened = library.opened(run)
        made = partial(explorer.activations.difference, opened, example, layer, metric, (a, b))
        return answers.json(request, opened, Difference | Missing, made)

    @routes.get(AT + "/vectors/{layer}/{a}/{b}.f32", response_class=Response)
    def vectors(run: str, example: str, layer: str, a: str, b: str, request: Request) -> Response:
        """The two activation vectors (2, width)."""
        opened = library.opened(run)
        return answers.array(request, opened, lambda: explorer.activations.vectors(opened, example, layer, (a, b)))

    @routes.get(AT + "/attributions", response_model=Attributions | Missing)
    def attributions(run: str, example: str, request: Request) -> Response:
        """DeepSHAP of both images, and the critical pixels."""
        opened = library.opened(run)
        return answers.json(
            request, opened, Attributions | Missing, lambda: explorer.attributions.attributions(opened, example)
        )

    @routes.get(AT + "/attributions.f32", response_class=Response)
    def maps(run: str, example: str, request: Request) -> Response:
        """The maps (images, c, h, w)."""
        opened = library.opened(run)
        return answers.array(request, opened, lambda: explorer.attributions.values(opened, example))

    @routes.get(AT + "/attackability", response_model=Attackability | Missing)
    def attackability(run: str, example: str, request: Request) -> Response:
        """Where one changed pixel fools the classifier."""
        opened = library.opened(run)
        return answers.json(request, opened, Attackability | Missing, lambda: explorer.attackability(opened, example))

    @routes.get("/runs/{run}/units/{layer}/{unit}", response_model=Unit | Missing)
    def unit(run: str, layer: str, unit: int, request: Request) -> Response:
        """Which training images excite a unit most."""
        opened = library.opened(run)
        return answers.json(request, opened, Unit | Missing, lambda: explorer.activations.unit(opened, layer, unit))

    return routes
