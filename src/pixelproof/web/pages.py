"""The table of pages: which view answers which address. Routes, warm-up, exported copy and TypeScript come from it.

What a view returns says how it is sent: an answer as JSON, a tensor as raw numbers, bytes as a PNG.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from pixelproof import views
from pixelproof.views import OpenRun, explorer, paths


@dataclass(frozen=True)
class Page:
    """One address and the view that answers it; its places after the run's are the view's arguments, in order.

    `warm`: asked for when a server starts, in ascending order, so that the first visitor does not wait.
    """

    path: str
    view: Callable[..., Any]
    warm: int | None = None

    @cached_property
    def places(self) -> tuple[str, ...]:
        """The names in braces."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @property
    def whole(self) -> bool:
        """Whether the address needs the run alone."""
        return self.places == ("run",)

    @cached_property
    def arguments(self) -> tuple[inspect.Parameter, ...]:
        """The view's arguments after the open run, with their types and under the names of the path's places."""
        given = list(inspect.signature(self.view, eval_str=True).parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        named = zip(self.places[1:], given, strict=True)
        return tuple(inspect.Parameter(name, keyword, annotation=each.annotation) for name, each in named)

    @cached_property
    def gives(self) -> Any:
        """What the view returns."""
        return inspect.signature(self.view, eval_str=True).return_annotation

    @cached_property
    def model(self) -> type[BaseModel] | None:
        """The answer's model; None for images and raw numbers."""
        return self.gives if isinstance(self.gives, type) and issubclass(self.gives, BaseModel) else None

    @property
    def picture(self) -> bool:
        """Whether it is an image; if it is no answer either, it is raw numbers."""
        return self.gives is bytes

    def call(self, opened: OpenRun, values: dict[str, Any]) -> Any:
        """Ask the view."""
        return self.view(opened, *(values[name] for name in self.places[1:]))


# What a visitor sees first where an address has further places.
FIRST = {"detector": "composed-tuned", "page": 0, "layer": "composed", "metric": "euclidean"}

PAGES: tuple[Page, ...] = (
    Page(paths.RUN, views.runs.page, warm=1),
    Page(paths.GALLERY, explorer.gallery, warm=2),
    Page(paths.COLUMN, explorer.columns.column, warm=3),
    Page(paths.ATLAS, explorer.pictures.page, warm=4),
    Page(paths.TRAINING, explorer.pictures.training),
    Page(paths.EXAMPLE, explorer.example, warm=5),
    Page(paths.CLEAN, explorer.pictures.clean),
    Page(paths.ADVERSARIAL, explorer.pictures.adversarial),
    Page(paths.PIXELS, explorer.pictures.pixels),
    Page(paths.FACES, explorer.neighbours.faces),
    Page(paths.NEIGHBOURS, explorer.neighbours.neighbours, warm=6),
    Page(paths.GRAPH, explorer.graph),
    Page(paths.DIFFERENCE, explorer.activations.difference),
    Page(paths.VECTORS, explorer.activations.vectors),
    Page(paths.ATTRIBUTIONS, explorer.attributions.attributions, warm=12),
    Page(paths.ATTRIBUTION_VALUES, explorer.attributions.values),
    Page(paths.ATTACKABILITY, explorer.attackability),
    Page(paths.UNIT, explorer.activations.unit),
    Page(paths.ROBUSTNESS, views.robustness, warm=7),
    Page(paths.DEFENCES, views.defences, warm=8),
    Page(paths.DETECTORS, views.detectors, warm=10),
    Page(paths.THRESHOLDS, explorer.thresholds.thresholds, warm=9),
    Page(paths.SCORES, explorer.thresholds.scores),
    Page(paths.MAPS, explorer.maps.maps, warm=11),
    Page(paths.MAP, explorer.maps.one),
    Page(paths.POINTS, explorer.maps.points),
)


def warmed(run: str, start: str | None) -> list[str]:
    """What to ask for when a server starts, in order; `start` is the example that a visitor of the run sees first."""
    chosen = sorted((page for page in PAGES if page.warm is not None), key=lambda page: page.warm or 0)
    wanted = [page.path for page in chosen if start is not None or "example" not in page.places]
    return [paths.at(path, run=run, example=start, **FIRST) for path in wanted]


def wholes() -> list[str]:
    """The addresses of one run's answers that need nothing but the run."""
    return [page.path for page in PAGES if page.whole and page.model is not None]


__all__ = ["PAGES", "Page", "warmed", "wholes"]
