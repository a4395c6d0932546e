"""DeepShap: DeepLIFT multipliers averaged over backgrounds, on the graph of the whole classifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, fx

from pixelproof.draws import Rng
from pixelproof.errors import BadInput
from pixelproof.explain.attribution import (
    Attribution,
    additivity,
    check_background,
    check_varied,
    chosen_classes,
    judged,
    logits_of,
)
from pixelproof.explain.graph import TracedGraph, Values, naming, trace
from pixelproof.explain.operations import RULES
from pixelproof.explain.rules import Pairs, producer
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, Labels

GROUP = 50  # images, or backgrounds, whose inner values are held at a time: memory does not grow with either


@dataclass(frozen=True)
class ClassAttribution:
    """Heat maps for every class, with the expected logit and the gap of each (see Attribution)."""

    values: Float[Tensor, "n k c h w"]
    base: Float[Tensor, " k"]
    gap: Float[Tensor, "n k"]

    def of(self, classes: Labels) -> Attribution:
        """The attribution of one class per image."""
        rows = torch.arange(len(classes), device=classes.device)
        return Attribution(self.values[rows, classes], classes, self.base[classes], self.gap[rows, classes])


@dataclass(frozen=True, eq=False)
class DeepShap:
    """DeepLIFT's rescale rule per (image, background) pair, averaged over the backgrounds.

    An approximation of Shapley values (Lundberg and Lee 2017, arXiv 1705.07874; rescale rule: Shrikumar et al. 2017,
    arXiv 1704.02685) that always adds up: sum(values) = logit - mean logit of the backgrounds. The work is one forward
    pass per image and per background and one backward pass per pair and class. `chunk` is the number of pairs, times
    classes, in one backward batch.
    """

    name: ClassVar[str] = "deep-shap"

    background: Images
    chunk: int = 50

    def __post_init__(self) -> None:
        check_varied(self.name, self.background)
        if self.chunk < 1:
            raise BadInput(self.name, "chunk must be at least 1", self.chunk)

    def __call__(self, model: Classifier, images: Images, classes: Labels | None, rng: Rng) -> Attribution:
        """The attribution of `classes` (None: the predicted ones); nothing is drawn from `rng`.

        Raises BadInput for images, backgrounds or classes that do not fit the model, and for an operation without a
        rule, which is named.
        """
        with frozen(model):
            logits, expected = self._logits(model, images)
            chosen = chosen_classes(self.name, logits, classes)
            values = self._explain(model, images, torch.eye(logits.shape[1], device=model.device)[chosen][None])[:, 0]
        return judged(values, chosen, logits, expected).to(images.device)

    def all_classes(self, model: Classifier, images: Images) -> ClassAttribution:
        """The attribution of every class; forward values and ratios are shared among the classes."""
        with frozen(model):
            logits, expected = self._logits(model, images)
            seed = torch.eye(logits.shape[1], device=model.device)[:, None]
            values = self._explain(model, images, seed.expand(-1, len(images), -1))
        size = (logits[:, None] - expected).abs().mean(1)
        gap = additivity(values, logits - expected.mean(0), size)
        home = images.device
        return ClassAttribution(values.to(home), expected.mean(0).to(home), gap.to(home))

    def _logits(self, model: Classifier, images: Images) -> tuple[Tensor, Tensor]:
        """The model's own logits for images and backgrounds, so that the gap also judges the traced graph."""
        check_background(self.name, model, self.background)
        return logits_of(self.name, model, images, GROUP), logits_of(self.name, model, self.background, GROUP)

    def _explain(self, model: Classifier, images: Images, seed: Tensor) -> Tensor:
        """Mean over backgrounds of multiplier x difference; `seed` (k, n, classes) says which logits count."""
        graph = trace(model)
        keep = _kept(graph)
        images, background = images.to(model.device), self.background.to(model.device)
        values = images.new_zeros(len(images), len(seed), *images.shape[1:])
        with torch.no_grad():
            for others in torch.split(background, GROUP):
                b = graph.run(others, keep)
                for start in range(0, len(images), GROUP):
                    group = images[start : start + GROUP]
                    x = graph.run(group, keep)
                    for rows, columns in _chunks(len(group), len(others), max(1, self.chunk // len(seed))):
                        pairs = Pairs(graph, _sliced(x, rows, 1), _sliced(b, columns, 0))
                        at = slice(start + rows.start, start + rows.stop)
                        m = multipliers(pairs, seed[:, at, None, None])
                        difference = pairs.x[graph.image] - pairs.b[graph.image]
                        total = (m * difference).sum(2)[:, :, 0].transpose(0, 1)
                        values[at] += total
        return values / len(background)


def multipliers(pairs: Pairs, seed: Tensor) -> Tensor:
    """The multipliers of the image (k, i, p, 1, c, h, w), from those of the logits."""
    graph = pairs.graph
    waiting = {graph.logits: seed}
    for node in reversed(graph.steps):
        m = waiting.pop(node, None)
        if m is None:
            continue
        with naming(producer(node)):
            shares = RULES[producer(node).target].share(pairs, node, m)
        for source, share in shares:
            waiting[source] = waiting[source] + share if source in waiting else share
    return waiting[graph.image]


def _kept(graph: TracedGraph) -> set[fx.Node]:
    """The nodes whose values some rule reads; raises BadInput for an operation that has no rule."""
    keep = {graph.image}
    for node in graph.steps:
        step = producer(node)
        rule = RULES.get(step.target)
        if rule is None:
            raise BadInput(
                "deep-shap", "every operation needs a rule", f"'{step.target}'", "Replace it in the network."
            )
        if rule.output and node is not step and node.args[1]:
            raise BadInput("deep-shap", "positions of a maximum have no attribution", f"output 1 of '{step.target}'")
        if rule.inputs:
            keep.update(graph.active(step))
        if rule.output:
            keep.add(step)
    return keep


def _sliced(values: Values, rows: slice, axis: int) -> Values:
    """Some rows of every value, with an axis of one for the other side of the pairs."""

    def cut(value: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        if isinstance(value, (tuple, list)):
            return tuple(part[rows].unsqueeze(axis) for part in value)
        return value[rows].unsqueeze(axis)

    return {node: cut(value) for node, value in values.items()}


def _chunks(images: int, backgrounds: int, room: int) -> Iterator[tuple[slice, slice]]:
    """Rectangles of (images, backgrounds) with at most `room` pairs, of nearly equal size."""
    columns = -(-backgrounds // -(-backgrounds // room))
    rows = max(1, room // columns)
    for start in range(0, images, rows):
        for first in range(0, backgrounds, columns):
            yield slice(start, min(images, start + rows)), slice(first, min(backgrounds, first + columns))
