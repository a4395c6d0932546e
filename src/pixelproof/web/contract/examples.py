"""One example: images, outputs, what every layer says, neighbours, activations, attributions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pixelproof.views.explorer.decisions import Decision
from pixelproof.web.contract.common import Answer, Atlas, Missing, Numbers
from pixelproof.web.contract.gallery import ExampleSet


class Output(Answer):
    """What the classifier says of one image."""

    predicted: int
    logits: tuple[float, ...]
    probabilities: tuple[float, ...]


class Drift(Answer):
    """How far the adversarial image's activations are from the clean image's."""

    norm: float = Field(description="Length of the change relative to the clean activations' length.")
    cosine: float = Field(description="Cosine distance, 0 to 2.")


class Layer(Answer):
    """One layer of the classifier, in order; decisions are null for layers that were not judged."""

    name: str
    kind: str
    width: int
    drift: Drift | None
    clean: Decision | None
    adversarial: Decision | None


class Verdict(Answer):
    """What one detector says of one image, and which of the cases that is, in words.

    `case` is one of Gallery.cases.
    """

    score: float
    threshold: float
    p_value: float | None
    alarm: bool
    recovered: int | None
    case: str


class DetectorVerdict(Answer):
    """One detector on both images."""

    id: str
    name: str
    about: str
    clean: Verdict | None
    adversarial: Verdict | None


class ExamplePage(Answer):
    """Everything about an example but the bulk: that is behind the links of the same name.

    GET .../clean.png, .../adversarial.png: 8-bit, native size. `pixels` (2, c, h, w): clean and adversarial, exact.
    A row of the clean images has no adversarial twin: `adversarial`, `distance` and every drift are null, and its
    arrays have one image instead of two.
    """

    id: str
    run: str
    set: ExampleSet
    index: int
    label: int
    success: bool
    success_8bit: bool
    clean: Output
    adversarial: Output | None
    distance: dict[str, float] | None
    changed: int | None = Field(description="Pixels that differ in any channel.")
    pixels: Numbers
    layers: tuple[Layer, ...]
    detectors: tuple[DetectorVerdict, ...]
    guard: Missing | None = Field(description="Why layers say nothing here, when they do not.")
    guard_note: str = Field(description="What the thresholds rest on: n, half, attack, rate. Empty without a guard.")
    held_out: bool | None = Field(description="Whether no threshold was tuned on this image; null without a guard.")
    sentence: str = Field(description="What happened, in one sentence.")
    attribution: Numbers | Missing
    attackability: bool = Field(description="Whether the run holds this image's one-pixel map.")


class Side(Answer):
    """Neighbours of one image, nearest first. `alike`: place in this list of a near-duplicate before it, or null."""

    index: tuple[int, ...] = Field(description="Positions in the original training file.")
    label: tuple[int, ...]
    distance: tuple[float, ...]
    alike: tuple[int | None, ...]


class Neighbourhood(Answer):
    """The nearest training images in one layer by one metric; the client shows the first k it wants."""

    available: Literal[True] = True
    layer: str
    metric: str
    guard_metric: str = Field(description="The metric the layer's decision was made with.")
    indexed: int = Field(description="Training images that were searched: the correctly classified ones.")
    clean: Side
    adversarial: Side | None
    atlas: Atlas | None = Field(description="Tiles: the clean side's neighbours, then the adversarial side's.")


class Node(Answer):
    """A node of the graph: the example (index null) or a training image, laid out by classical scaling."""

    index: int | None
    label: int
    distance: float
    x: float
    y: float


class Link(Answer):
    """An edge between two nodes (positions in `nodes`) with their distance."""

    a: int
    b: int
    distance: float


class Graph(Answer):
    """The neighbour graph, already laid out in [-1, 1]^2: node 0 is the example, then its neighbours, nearest first.

    `links`: the example to every neighbour, and every neighbour to the `near` nodes nearest to it.
    """

    available: Literal[True] = True
    layer: str
    metric: str
    side: str
    near: int
    stress: float = Field(description="Share of the squared distances that two dimensions cannot show, 0 to 1.")
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
