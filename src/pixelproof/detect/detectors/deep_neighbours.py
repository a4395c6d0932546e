"""Deep k-nearest neighbours: an image whose neighbours belong to another class than the predicted one is strange.

The alarm rule of Keppel et al. (explainable pixels), per layer and composed; beside it the credibility of Papernot &
McDaniel 2018 (arXiv 1803.04765). Only correctly classified training images are neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.guards.guard import Calibration, Neighbours, Part, SameModel, Verdict, divide
from pixelproof.detect.guards.scored import check_fit
from pixelproof.detect.guards.settings import MOST, check_settings, respelled, spelled
from pixelproof.detect.neighbours.duplicates import without_duplicates
from pixelproof.detect.neighbours.layers import default_layers
from pixelproof.detect.neighbours.metrics import Metric
from pixelproof.detect.neighbours.neighbourhood import HALF, Neighbourhood, neighbourhood, recovered, votes_of
from pixelproof.detect.neighbours.rules import Rule, RuleName, learn
from pixelproof.detect.neighbours.store import Engine, Store
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.specs import derived
from pixelproof.types import Images, Labels, Mask, PerImage, check_images


@dataclass(frozen=True, eq=False)
class Scoring:
    """How looked-up images are scored: k per layer, the rule, and the reference images' nonconformities, sorted."""

    k: tuple[int, ...]
    classes: int
    layers: int
    rule: Rule
    reference: PerImage

    def score(self, seen: Neighbourhood, strangers: Float[Tensor, "n spaces"]) -> PerImage:
        """The rule's score of looked-up images: higher is stranger."""
        if self.rule.name != "credibility":
            return self.rule.score(strangers)
        p_values = self.p_values(seen)
        return 1 - p_values.gather(1, seen.predicted[:, None])[:, 0]

    def p_values(self, seen: Neighbourhood) -> Float[Tensor, "n classes"]:
        """Conformal p-values per class: how many reference images had at least as many neighbours of other classes."""
        nonconformity = seen.nonconformity(self.layers, self.classes)
        n = len(self.reference)
        above = n - torch.searchsorted(self.reference, nonconformity.contiguous(), right=False)
        return (above + 1) / (n + 1)


@dataclass(frozen=True, eq=False)
class NeighbourGuard:
    """A store, the rule that turns its answers into one score, and the calibration; it keeps the evidence."""

    store: Store
    scoring: Scoring
    per_layer: tuple[Calibration, ...]  # one per layer and one for the composed layer
    calibration: Calibration  # of the rule's score
    model: SameModel = field(repr=False)
    spec: str = ""

    def __call__(self, model: Classifier, images: Images) -> Verdict:
        """The verdict with the neighbours of every layer; recovered is the class most composed neighbours belong to.

        It is -1 where that is the predicted class. Refuses another model than the one that was fitted.
        """
        self.model.check("neighbours", model)
        check_images("neighbours", images)
        seen = neighbourhood(self.store, self.scoring.k, model, images)
        strangers = seen.strangers()
        evidence = tuple(self._evidence(seen, strangers, position) for position in range(len(self.store.spaces)))
        verdict = self.calibration.judge(self.scoring.score(seen, strangers), evidence[-1].recovered, evidence)
        if self.scoring.rule.thresholds is not None:
            return replace(verdict, threshold=0.0, alarm=verdict.score > 0)
        return verdict

    @property
    def mute(self) -> bool:
        """Whether no image can be alarmed: with few neighbours too many clean images have strangers only.

        A threshold from clean images counts ties against an alarm, so it then lies at the highest score there is.
        """
        scoring = self.scoring
        if scoring.rule.name == "logistic":  # its weights may be negative, so more strangers may mean a lower score
            return False
        if scoring.rule.name == "credibility":
            above = (scoring.reference >= sum(scoring.k[: scoring.layers])).sum()
            highest = 1 - (above + 1) / (len(scoring.reference) + 1)
        else:
            highest = scoring.rule.score(torch.tensor([scoring.k]) + HALF)
        return float(highest) <= (self.calibration.limits[1] if scoring.rule.thresholds is None else 0.0)

    def credibility(self, model: Classifier, images: Images) -> Credibility:
        """Conformal p-values per class from the reference images."""
        self.model.check("neighbours", model)
        p_values = self.scoring.p_values(neighbourhood(self.store, self.scoring.k, model, images))
        top = p_values.topk(2)
        return Credibility(p_values, p_values.argmax(1), top.values[:, 0], 1 - top.values[:, 1])

    def calibrated(self, model: Classifier, clean: Dataset, *, rate: float | None = None) -> NeighbourGuard:
        """The same guard with its thresholds set on other clean images, which the model was not trained on."""
        self.model.check("neighbours", model)
        rate = rate or self.calibration.rate
        seen = neighbourhood(self.store, self.scoring.k, model, clean.images)
        strangers = seen.strangers()
        per_layer = tuple(Calibration(column, rate) for column in strangers.unbind(1))
        return replace(
            self,
            spec=respelled(self.spec, "rate", rate),
            per_layer=per_layer,
            calibration=Calibration(self.scoring.score(seen, strangers), rate),
        )

    def add(self, model: Classifier, data: Dataset) -> None:
        """Put further training images into the store; calibrate again when they are many."""
        self.model.check("neighbours", model)
        self.store.add(model, data)

    def _evidence(self, seen: Neighbourhood, strangers: Tensor, position: int) -> Neighbours:
        labels, distance = seen.labels[position], seen.distance[position]
        votes = votes_of(labels, self.scoring.classes)
        return Neighbours(
            layer=self.store.spaces[position],
            index=self.store.origin[seen.ids[position]],
            distance=distance,
            labels=labels,
            votes=votes,
            alarm=self._layer_alarm(strangers[:, position], position),
            recovered=recovered(labels, distance, seen.predicted, self.scoring.classes),
        )

    def _layer_alarm(self, strangers: PerImage, position: int) -> Mask:
        if self.scoring.rule.thresholds is not None:
            return strangers >= self.scoring.rule.thresholds[position] + 1
        return self.per_layer[position].judge(strangers).alarm


@dataclass(frozen=True)
class DeepNeighbours:
    """Neighbours among the training images' activations, per layer and in all layers together (the composed layer).

    - `k`: how many, for all layers or one number per layer and one for the composed layer.
    - `layers`: the dense layers (and the flattened convolutional output before them) unless named; "conv2@mean" pools.
    - `threshold`: the alarm rule of the paper: a layer alarms when more than this many neighbours belong to a class
      that was not predicted; one number, or one per layer and composed. None: calibrated on clean images at `rate`.
    - `rule`: which layers decide. "composed": the composed layer; "any", "majority", "weighted": the single layers;
      "logistic": a logistic regression on all, which needs adversarial images; "credibility": Papernot & McDaniel's.
    - `duplicates`: leave out training images this close (root mean square per value) to another one of the set.
    """

    k: int | tuple[int, ...] = 75
    layers: tuple[str, ...] | None = field(
        default=None, metadata=derived("the dense layers and the convolutional output before them")
    )
    metric: Metric = "euclidean"
    threshold: int | tuple[int, ...] | None = field(
        default=None, metadata=derived("calibrated on clean images at rate")
    )
    rule: RuleName = "composed"
    rate: float = 0.05
    duplicates: float | None = field(default=None, metadata=derived("none are left out"))
    engine: Engine = "exact"

    name: ClassVar[str] = "neighbours"
    parts: ClassVar[tuple[Part, ...]] = (
        NeighbourGuard,
        Scoring,
        Rule,
    )

    def __post_init__(self) -> None:
        check_settings(self, {"k": (1, MOST), "threshold": (0, MOST), "duplicates": (0.0, 1.0)})
        if self.threshold is not None and self.rule not in ("composed", "any", "majority"):
            raise BadInput(self.name, f"rule '{self.rule}' has no threshold per layer", self.threshold, "Leave it out.")

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> NeighbourGuard:
        """The guard: three quarters of `clean` are indexed, an eighth is the reference, an eighth sets the threshold.

        `attacked` is used by "logistic" (which needs it) and "weighted" only, and only where the attack succeeded.
        """
        check_fit(self.name, model, clean)
        indexed, held = divide(clean, rng)
        layers = self.layers or default_layers(model, rows=len(indexed))
        _check_k(self.k, len(indexed))
        if self.duplicates is not None:
            indexed = without_duplicates(indexed, self.duplicates)
        store = Store.build(model, indexed, layers, metric=self.metric, engine=self.engine)
        return self.on(store, model, divide(held, rng, share=0.5), attacked)

    def on(
        self, store: Store, model: Classifier, held: tuple[Dataset, Dataset], attacked: AdversarialSet | None = None
    ) -> NeighbourGuard:
        """The guard on a finished store, which decides layers, metric and engine.

        `held`: clean images that are not in the store, for reference and to set the threshold.
        """
        layers, (reference, calibration) = len(store.layers), held
        spread = tuple(_spread(self.name, "k", self.k, layers + 1))
        _check_k(spread, len(store))
        thresholds = None
        if self.threshold is not None:
            thresholds = tuple(_spread(self.name, "threshold", self.threshold, layers + 1))
        looked = neighbourhood(store, spread, model, reference.images)
        fooled = None
        if attacked is not None and attacked.success.any():
            fooled = neighbourhood(store, spread, model, attacked.images[attacked.success])
        true = looked.nonconformity(layers, len(reference.classes))[torch.arange(len(reference)), reference.labels]
        rule = learn(self.rule, looked.strangers(), None if fooled is None else fooled.strangers(), thresholds, spread)
        fresh = neighbourhood(store, spread, model, calibration.images)
        columns = fresh.strangers()
        base = Scoring(spread, len(reference.classes), layers, rule, true.sort().values)
        per_layer = tuple(Calibration(column, self.rate) for column in columns.unbind(1))
        own = Calibration(base.score(fresh, columns), self.rate)
        used = replace(self, layers=store.layers, k=spread, threshold=thresholds)
        return NeighbourGuard(store, base, per_layer, own, SameModel(model), spelled(used))


@dataclass(frozen=True, eq=False)
class Credibility:
    """Papernot & McDaniel's conformal prediction: p-values (n, classes), the class with the highest, and how sure.

    `credibility` is the highest p-value (how well the training images support the class), `confidence` one minus the
    second highest.
    """

    p_values: Float[Tensor, "n classes"]
    predicted: Labels
    credibility: PerImage
    confidence: PerImage


def _check_k(k: int | tuple[int, ...], rows: int) -> None:
    """Refuse more neighbours than there can be: with the images at hand before the work, with the store after it."""
    if (most := max((k,) if isinstance(k, int) else k)) > rows:
        expected = f"k must be at most {rows}, the correctly classified training images"
        raise BadInput("neighbours", expected, most, "Lower k, or give more images.")


def _spread(who: str, key: str, value: int | tuple[int, ...], spaces: int) -> tuple[int, ...]:
    """One value per layer and one for the composed layer."""
    if isinstance(value, int):
        return (value,) * spaces
    if len(value) != spaces:
        raise BadInput(who, f"{key} needs one number per layer and one for the composed layer ({spaces})", len(value))
    return value
