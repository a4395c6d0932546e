"""What a detector is: `fit` looks at clean images and returns a Guard; the Guard gives a Verdict on any images.

A threshold comes from clean images only, at a stated false-alarm rate, before any attack is seen: tuned per attack it
would mean nothing (Carlini on DEEPSEC, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset, stratified
from pixelproof.data.dataset import fingerprints
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Images, Labels, Mask, PerImage

Part: TypeAlias = Callable[..., Any]  # a class or function that a guard is made of
NONE = -1  # the recovered class of an image for which there is none


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The evidence of one layer: the nearest training images of each image, nearest first, and what they vote.

    `index` is a neighbour's position in its original file, `votes` counts the neighbours of each class, `alarm` and
    `recovered` are what this layer alone would say.
    """

    layer: str
    index: Int[Tensor, "n k"]
    distance: Float[Tensor, "n k"]
    labels: Int[Tensor, "n k"]
    votes: Int[Tensor, "n classes"]
    alarm: Mask
    recovered: Labels


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a guard says about each image; tensors have one row per image, on the CPU.

    An image is alarmed when its `score` (higher = stranger) is above `threshold`. `recovered` is the class the guard
    takes for the true one, -1 where it has none to offer. `p_value` is conformal: among clean images it is at most p
    in at most a share p of the cases. `evidence` holds the neighbours per layer, `located` the pixel that was changed
    (row * width + column, -1 for none), for guards that have them. `recovers`: whether the guard names classes at all.
    """

    score: PerImage
    threshold: float
    alarm: Mask
    recovered: Labels
    p_value: PerImage
    evidence: tuple[Neighbours, ...] = ()
    located: Int[Tensor, " n"] | None = None
    recovers: bool = True

    def __len__(self) -> int:
        return len(self.score)


@runtime_checkable
class Guard(Protocol):
    """A fitted detector. It belongs to the model it was fitted on and refuses another."""

    def __call__(self, model: Classifier, images: Images) -> Verdict:
        """The verdict on images in [0, 1]."""
        ...


@runtime_checkable
class Detector(Protocol):
    """A frozen dataclass of settings. `fit` returns another type, so an unfitted guard cannot be written."""

    name: ClassVar[str]

    def fit(self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator) -> Guard:
        """The guard of `model`; most detectors need no adversarial images and ignore `attacked`."""
        ...


class Listed(Detector, Protocol):
    """A detector of pixelproof's own table: it says what its guards are made of, so that they can be kept on disk."""

    parts: ClassVar[tuple[Part, ...]]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of clean images that were used for nothing else, and the false-alarm rate the user accepts.

    The p-value of a score s is (#{calibration >= s} + 1) / (n + 1) (Vovk et al. 2005): ties count against an alarm and
    no score is left out. An alarm is a p-value of at most `rate`. `two_sided` also alarms for scores that are too low,
    at half the rate on each side: attacks that imitate the features of another class come suspiciously close to it.

    Raises BadInput for scores that are not finite and when n is too small for any p-value to reach the rate.
    """

    scores: PerImage
    rate: float
    two_sided: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise BadInput("calibration", "the false-alarm rate must lie in (0, 1)", self.rate)
        if not torch.isfinite(self.scores).all():
            bad = int((~torch.isfinite(self.scores)).sum())
            raise BadInput("calibration", "scores must be finite", f"{bad} of {len(self.scores)} NaN or infinite")
        if len(self.scores) < self.needed(self.rate, two_sided=self.two_sided):
            sides = "two-sided " if self.two_sided else ""
            raise BadInput(
                "calibration",
                f"a {sides}false-alarm rate of {self.rate:g} needs at least "
                f"{self.needed(self.rate, two_sided=self.two_sided)} calibration images",
                len(self.scores),
                "Give more clean images or accept more false alarms.",
            )
        object.__setattr__(self, "scores", self.scores.detach().double().cpu().sort().values)

    @staticmethod
    def needed(rate: float, *, two_sided: bool = False) -> int:
        """The fewest calibration images with which a false-alarm rate can be promised."""
        return math.ceil(1 / (rate / 2 if two_sided else rate) - 1e-9) - 1

    @property
    def limits(self) -> tuple[float, float]:
        """Scores below the first or above the second are alarmed; the first is -inf unless two-sided."""
        n = len(self.scores)
        beyond = math.floor((self.rate / 2 if self.two_sided else self.rate) * (n + 1) + 1e-9)
        return (float(self.scores[beyond - 1]) if self.two_sided else -math.inf), float(self.scores[n - beyond])

    def p_value(self, scores: PerImage) -> PerImage:
        """The conformal p-value of each score, in (0, 1]."""
        n, scores = len(self.scores), scores.detach().double().cpu()
        above = (n - torch.searchsorted(self.scores, scores, right=False) + 1) / (n + 1)
        if not self.two_sided:
            return above.float()
        below = (torch.searchsorted(self.scores, scores, right=True) + 1) / (n + 1)
        return (2 * torch.minimum(above, below)).clamp(max=1).float()

    def fold(self, scores: PerImage) -> PerImage:
        """Scores as a verdict has them: two-sided ones are 0 at the calibration's median and 1 at either limit."""
        if not self.two_sided:
            return scores
        (low, high), centre = self.limits, float(self.scores.median())
        above, below = max(high - centre, 1e-12), max(centre - low, 1e-12)
        return torch.maximum((scores - centre) / above, (centre - scores) / below)

    def judge(
        self, scores: PerImage, recovered: Labels | None = None, evidence: tuple[Neighbours, ...] = ()
    ) -> Verdict:
        """The verdict on scores. Two-sided ones are folded: 0 at the calibration's median, 1 at either limit.

        Raises BadInput for a score that is not finite: an image that breaks a detector must not pass as clean.
        """
        if not torch.isfinite(scores).all():
            raise BadInput("guard", "scores must be finite", "NaN or infinity", "Check the images and the weights.")
        low, high = self.limits
        exact = scores.detach().double().cpu()
        alarm = (exact > high) | (exact < low)
        folded, threshold = (self.fold(exact), 1.0) if self.two_sided else (exact, high)
        none = torch.full((len(exact),), NONE)
        return Verdict(
            score=folded.float(),
            threshold=threshold,
            alarm=alarm,
            recovered=none if recovered is None else recovered,
            p_value=self.p_value(exact),
            evidence=evidence,
            recovers=recovered is not None,
        )


@runtime_checkable
class Recalibrated(Guard, Protocol):
    """A guard whose threshold comes from a calibration and can be set again.

    `spec` is its detector with every setting as it was used, also those that the fit chose ("" where nobody said).
    """

    @property
    def spec(self) -> str:
        """The detector's spec."""
        ...

    @property
    def calibration(self) -> Calibration:
        """The clean scores behind the threshold."""
        ...

    def calibrated(self, model: Classifier, clean: Dataset, *, rate: float | None = None) -> Guard:
        """The same guard with its threshold set on other clean images."""
        ...


def divide(clean: Dataset, rng: torch.Generator, *, share: float = 0.25) -> tuple[Dataset, Dataset]:
    """`clean` in two parts, to fit and to calibrate: drawn by image, every class in its share.

    The second holds `share` of the images; one that occurs more than once goes to the first with all its copies.
    Raises BadInput when nothing would be left for one of them.
    """
    raw = clean.pixels.contiguous().view(torch.uint8) if clean.pixels.is_floating_point() else clean.pixels
    prints = fingerprints(raw)
    seen: dict[bytes, int] = {}
    for mark in prints:
        seen[mark] = seen.get(mark, 0) + 1
    single = torch.tensor([seen[mark] == 1 for mark in prints]).nonzero()[:, 0]
    wanted = min(round(share * len(clean)), len(single))
    if not 0 < wanted < len(clean):
        got = f"{len(clean)}, of which {len(single)} occur only once"
        raise BadInput("detect", "clean images must be enough to fit and to calibrate", got, "Give more images.")
    seed = int(torch.randint(2**31, (1,), generator=rng))
    held = torch.zeros(len(clean), dtype=torch.bool)
    held[single[stratified(clean.labels[single], wanted, seed)]] = True
    return clean[~held], clean[held]


class SameModel:
    """Remembers the model a guard was fitted on and refuses any other.

    The digest is read again only when the object or a tensor of it has changed, for hashing all weights at every call
    would cost more than some detectors do.
    """

    def __init__(self, model: Classifier) -> None:
        self.digest = model.digest()
        self._seen = self._stamp(model)

    def check(self, who: str, model: Classifier) -> None:
        """Raise BadInput unless `model` has the weights of the model that was fitted."""
        stamp = self._stamp(model)
        if stamp == self._seen:
            return
        if (digest := model.digest()) != self.digest:
            expected = f"must be used on the model it was fitted on ({self.digest})"
            raise BadInput(who, expected, f"a model with digest {digest}", "Fit it again on this model.")
        self._seen = stamp

    @staticmethod
    def _stamp(model: Classifier) -> tuple[object, ...]:
        """The model object (kept, so its identity is not reused) and the version counter of each of its tensors."""
        tensors = (*model.parameters(), *model.buffers())
        return (model, *((tensor.data_ptr(), tensor._version) for tensor in tensors))


def check_finite(who: str, layer: str, values: Tensor) -> Tensor:
    """`values`, refused when an activation is NaN or infinite."""
    if not torch.isfinite(values).all():
        bad = int((~torch.isfinite(values)).any(1).sum())
        raise BadInput(
            who, f"activations of layer '{layer}' must be finite", f"NaN or infinity for {bad} images", "Check the net."
        )
    return values
