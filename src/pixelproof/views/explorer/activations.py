"""Activations of two images in one layer: who carries their distance, and what else excites a unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from pixelproof.detect.neighbours.layers import activations
from pixelproof.detect.neighbours.metrics import Metric
from pixelproof.detect.neighbours.store import COMPOSED
from pixelproof.errors import BadInput, UnknownName
from pixelproof.views import paths
from pixelproof.views.answer import Answer, Lacking, Numbers
from pixelproof.views.open_run import OpenRun

LARGEST = 24  # units that are listed one by one
EXCITED = 16
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class UnitChange(Answer):
    """One unit (value of a layer): both activations, and its share of the distance.

    `layer` is where the unit is: in the composed layer, one of the layers that it joins, with scaled activations.
    """

    layer: str = Field(description="Where the unit is.")
    unit: int = Field(description="Its place in the flattened layer, from 0.")
    a: float = Field(description="Activation of the first image.")
    b: float = Field(description="Activation of the second image.")
    share: float = Field(description="Of the distance, 0 to 1.")


class ActivationDifference(Answer):
    """Activations of two images in one layer, and who carries their distance.

    `share` of a unit: |difference|^p / sum, p = 2 (euclidean), 1 (manhattan); by Chebyshev one unit carries all; by
    cosine shares are those of the squared difference of the rows divided by their lengths. `carried[m]` is the share
    of the m + 1 largest units together.
    """

    available: Literal[True] = True
    layer: str = Field(description="Whose activations are compared.")
    metric: str = Field(description="That the distance is measured by.")
    a: str = Field(description="The first image: clean, adversarial or the position of a training image.")
    b: str = Field(description="The second image, likewise.")
    width: int = Field(description="Units of the layer.")
    distance: float = Field(description="Between the two images, by the metric.")
    units: tuple[UnitChange, ...] = Field(description="Those with the largest shares, largest first.")
    carried: tuple[float, ...] = Field(description="Shares of the largest units together, 0 to 1.")
    vectors: Numbers = Field(description="All activations of both images: (2, width).")
    sentence: str = Field(description="How many units carry half of the distance, in words.")


class Exciting(Answer):
    """A training image and how strongly it excites the unit."""

    index: int = Field(description="Position in the original training file.")
    label: int = Field(description="True class.")
    activation: float = Field(description="Of the unit.")


class Unit(Answer):
    """What else excites a unit: the training images with its highest activations, and its quantiles over all."""

    available: Literal[True] = True
    layer: str = Field(description="Where it is.")
    unit: int = Field(description="Its place in the flattened layer, from 0.")
    indexed: int = Field(description="Training images that the quantiles are over: the correctly classified ones.")
    quantiles: tuple[float, ...] = Field(description="0, 5, 25, 50, 75, 95, 100 %.")
    top: tuple[Exciting, ...] = Field(description="Highest activation first.")


def difference(opened: OpenRun, example: str, layer: str, metric: Metric, a: str, b: str) -> ActivationDifference:
    """How two images differ in a layer; each is "clean", "adversarial" or the position of a training image."""
    rows = vectors(opened, example, layer, a, b)
    shares, distance = carried(rows, metric)
    order = shares.argsort(descending=True, stable=True)
    top = order[:LARGEST].tolist()
    names = _units(opened, layer, rows.shape[1])
    share = shares[order].cumsum(0).clamp(max=1)
    half = int((share < 0.5).sum()) + 1
    first = names(top[0])
    told = (
        f"{half} of {rows.shape[1]} units carry half of the {metric} distance {distance:.4g}; "
        f"unit {first[1]} of {first[0]} alone carries {100 * float(shares[top[0]]):.0f} %."
    )
    return ActivationDifference(
        layer=layer,
        metric=metric,
        a=a,
        b=b,
        width=rows.shape[1],
        distance=distance,
        units=tuple(
            UnitChange(
                layer=names(place)[0],
                unit=names(place)[1],
                a=float(rows[0, place]),
                b=float(rows[1, place]),
                share=float(shares[place]),
            )
            for place in top
        ),
        carried=tuple(round(value, 6) for value in share[:LARGEST].tolist()),
        vectors=Numbers(
            href=paths.at(paths.VECTORS, run=opened.name, example=example, layer=layer, a=a, b=b),
            shape=tuple(rows.shape),
        ),
        sentence=told if distance > 0 else f"Both images have the same activations in {layer}.",
    )


def carried(rows: Float[Tensor, "2 d"], metric: Metric) -> tuple[Float[Tensor, " d"], float]:
    """Each unit's share of the distance of two rows, and the distance itself; shares are 0 where it is 0."""
    rows = rows.double()
    if metric == "cosine":
        rows = torch.nn.functional.normalize(rows, dim=1)
    apart = (rows[0] - rows[1]).abs()
    if metric == "chebyshev":
        distance = float(apart.amax())
        shares = torch.zeros_like(apart)
        shares[apart.argmax()] = 1.0 if distance > 0 else 0.0
        return shares, distance
    power = apart if metric == "manhattan" else apart.square()
    total = float(power.sum())
    shares = power / total if total > 0 else power
    distance = total if metric == "manhattan" else total / 2 if metric == "cosine" else total**0.5
    return shares, distance


def vectors(opened: OpenRun, example: str, layer: str, a: str, b: str) -> Float[Tensor, "2 d"]:
    """The two activation vectors; in the composed layer those of its layers, scaled as the guard scales them."""
    return torch.stack([_vector(opened, example, layer, which) for which in (a, b)])


def _vector(opened: OpenRun, example: str, layer: str, which: str) -> Float[Tensor, " d"]:
    layers = _parts(opened, layer)
    if which in ("clean", "adversarial"):
        shown, row = opened.find(example)
        if which == "adversarial" and shown.attack is None:
            raise Lacking("adversarial image", "This is a clean image: nothing was attacked.", "Take 'clean'.")
        image = shown.clean_image(row) if which == "clean" else shown.image(row)
        found, _ = activations(opened.model, image[None], layers)
        rows = [found[name][0] for name in layers]
    else:
        rows = [_trained(opened, name, which) for name in layers]
    if layer != COMPOSED:
        return rows[0]
    return torch.cat([row * weight for row, weight in zip(rows, opened.neighbour_view.store.weights, strict=True)])


def _trained(opened: OpenRun, layer: str, which: str) -> Tensor:
    """Activations of a training image: the index's own where it holds the layer, else computed now."""
    if not (which.isascii() and which.isdigit() and len(which) < 16):
        expected = "expected 'clean', 'adversarial' or the position of a training image"
        raise BadInput("explore", expected, f"'{which[:40]}'")
    index = int(which)
    found = opened.neighbour_view if opened.has("neighbour_view") else None
    if found is not None and layer in found.store.layers and index in found.rows:
        own = found.by(found.metric)[found.store.layers.index(layer)]
        if own.metric != "cosine":  # which stores rows of length one
            return own.rows[found.rows[index]].cpu()
    image = opened.training[opened.place(index)].images
    return activations(opened.model, image, (layer,))[0][layer][0]


def _parts(opened: OpenRun, layer: str) -> tuple[str, ...]:
    if layer == COMPOSED:
        return opened.neighbour_view.store.layers
    if layer not in opened.layers:
        raise UnknownName("explore", "layer", layer[:80], (*opened.layers, *([COMPOSED] if opened.judged else [])))
    return (layer,)


def _units(opened: OpenRun, layer: str, width: int) -> Callable[[int], tuple[str, int]]:
    """Layer and unit of a place in a row: in the composed layer, of the layer it comes from."""
    starts = []
    total = 0
    for name in _parts(opened, layer):
        starts.append((total, name))
        total += opened.widths[name] if layer == COMPOSED else width

    def name_of(place: int) -> tuple[str, int]:
        start, name = next(entry for entry in reversed(starts) if entry[0] <= place)
        return name, place - start

    return name_of


def unit(opened: OpenRun, layer: str, number: int) -> Unit:
    """The training images that excite a unit most, and the unit's quantiles over all of the index."""
    store = opened.neighbour_view.store
    if layer not in store.layers:
        raise Lacking("unit", f"The training images' activations in {layer} are not in the run.", "Add it to layers.")
    rows = opened.neighbour_view.by(opened.neighbour_view.metric)[store.layers.index(layer)].rows
    if not 0 <= number < rows.shape[1]:
        raise BadInput("explore", f"units of {layer} go from 0 to {rows.shape[1] - 1}", number)
    values = rows[:, number].cpu()
    top = values.topk(min(EXCITED, len(values)))
    quantiles = torch.quantile(values.double(), torch.tensor(QUANTILES, dtype=torch.float64))
    return Unit(
        layer=layer,
        unit=number,
        indexed=len(values),
        quantiles=tuple(quantiles.tolist()),
        top=tuple(
            Exciting(index=int(store.origin[row]), label=int(store.labels[row]), activation=float(value))
            for value, row in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        ),
    )
