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
from pixelproof.web.desk import Desk

Metric = Literal["euclidean", "manhattan", "chebyshev", "cosine"]
SideName = Literal["clean", "adversarial"]
AT = "/runs/{run}/examples/{example}"


def router(desk: Desk) -> APIRouter:
    """The routes over a desk."""
    routes = APIRouter(tags=["examples"])
    library, answers = desk.library, desk.answers

    @routes.get(AT, response_model=ExamplePage | Missing)
    def page(run: str, example: str, request: Request) -> Response:
        """What the classifier, its layers and the detectors say before and after the attack."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, ExamplePage | Missing, lambda: explorer.example(shelf, example))

    @routes.get(AT + "/clean.png", response_class=Response)
    def clean(run: str, example: str, request: Request) -> Response:
        """The clean image at native size, 8 bits."""
        shelf = library.shelf(run)
        return answers.picture(request, shelf, lambda: explorer.pictures.clean(shelf, example))

    @routes.get(AT + "/adversarial.png", response_class=Response)
    def adversarial(run: str, example: str, request: Request) -> Response:
        """The attacked image at native size, 8 bits; 404 for a clean example."""
        shelf = library.shelf(run)
        return answers.picture(request, shelf, lambda: explorer.pictures.adversarial(shelf, example))

    @routes.get(AT + "/pixels.f32", response_class=Response)
    def pixels(run: str, example: str, request: Request) -> Response:
        """Exact pixels (images, c, h, w) in [0, 1]: clean, then attacked."""
        shelf = library.shelf(run)
        return answers.array(request, shelf, lambda: explorer.pictures.pixels(shelf, example))

    @routes.get(AT + "/neighbours/{layer}/{metric}.png", response_class=Response)
    def faces(run: str, example: str, layer: str, metric: Metric, request: Request) -> Response:
        """The neighbours' images as one sheet, in the order of the list."""
        shelf = library.shelf(run)
        made = partial(explorer.neighbours.faces, shelf, example, layer, metric)
        return answers.picture(request, shelf, made)

    @routes.get(AT + "/neighbours/{layer}/{metric}", response_model=Neighbourhood | Missing)
    def neighbours(run: str, example: str, layer: str, metric: Metric, request: Request) -> Response:
        """The nearest training images of both images, nearest first: as many as can be shown; take the first k."""
        shelf = library.shelf(run)
        made = partial(explorer.neighbours.neighbours, shelf, example, layer, metric)
        return answers.json(request, shelf, Neighbourhood | Missing, made)

    @routes.get(AT + "/graph/{layer}/{metric}/{side}", response_model=Graph | Missing)
    def graph(run: str, example: str, layer: str, metric: Metric, side: SideName, request: Request) -> Response:
        """The neighbour graph of one image, laid out."""
        shelf = library.shelf(run)
        made = partial(explorer.neighbours.graph, shelf, example, layer, metric, side)
        return answers.json(request, shelf, Graph | Missing, made)

    @routes.get(AT + "/difference/{layer}/{metric}/{a}/{b}", response_model=Difference | Missing)
    def difference(run: str, example: str, layer: str, metric: Metric, a: str, b: str, request: Request) -> Response:
        """Activations of two images: each is 'clean', 'adversarial' or the position of a training image."""
        shelf = library.shelf(run)
        made = partial(explorer.activations.difference, shelf, example, layer, metric, (a, b))
        return answers.json(request, shelf, Difference | Missing, made)

    @routes.get(AT + "/vectors/{layer}/{a}/{b}.f32", response_class=Response)
    def vectors(run: str, example: str, layer: str, a: str, b: str, request: Request) -> Response:
        """The two activation vectors (2, width)."""
        shelf = library.shelf(run)
        return answers.array(request, shelf, lambda: explorer.activations.vectors(shelf, example, layer, (a, b)))

    @routes.get(AT + "/attributions", response_model=Attributions | Missing)
    def attributions(run: str, example: str, request: Request) -> Response:
        """DeepSHAP of both images, and the critical pixels."""
        shelf = library.shelf(run)
        return answers.json(
            request, shelf, Attributions | Missing, lambda: explorer.attributions.attributions(shelf, example)
        )

    @routes.get(AT + "/attributions.f32", response_class=Response)
    def maps(run: str, example: str, request: Request) -> Response:
        """The maps (images, c, h, w)."""
        shelf = library.shelf(run)
        return answers.array(request, shelf, lambda: explorer.attributions.values(shelf, example))

    @routes.get(AT + "/attackability", response_model=Attackability | Missing)
    def attackability(run: str, example: str, request: Request) -> Response:
        """Where one changed pixel fools the classifier."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Attackability | Missing, lambda: explorer.attackability(shelf, example))

    @routes.get("/runs/{run}/units/{layer}/{unit}", response_model=Unit | Missing)
    def unit(run: str, layer: str, unit: int, request: Request) -> Response:
        """Which training images excite a unit most."""
        shelf = library.shelf(run)
        return answers.json(request, shelf, Unit | Missing, lambda: explorer.activations.unit(shelf, layer, unit))

    return routes
