"""Evaluation: what an ensemble left standing, with the facts about each image and about each part; and the curve."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pixelproof.attacks.auto.ensemble import Ledger
from pixelproof.attacks.mount import BUDGET_TOLERANCE
from pixelproof.attacks.stochastic import JUDGE_DRAWS
from pixelproof.types import Images, Labels, Mask, Norm, PerImage, Rate

RANDOMISED = "randomised: two passes over the same images differ; success is judged as a rate over draws"


@dataclass(frozen=True)
class EvaluationPart:
    """One stage: what it was, how many images it attacked and broke, and the seconds it took."""

    label: str
    spec: str
    attacked: int
    broke: int
    seconds: float


@dataclass(frozen=True)
class Bound:
    """Where the upper bound stood after so many seconds."""

    seconds: float
    standing: int
    part: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The robust accuracy that is left: an upper bound, as every evaluation gives; rows are the images attacked.

    Attacked are the images the model classifies correctly; `offered` counts all. `broken_by` is the number of the
    part that broke an image and `first_break` the number of the forward pass, over all parts, that first saw it
    broken; -1 where it stands. `distance` is that of the stored image in `norm`. `passes` counts forward and backward
    passes per image, (n, 2). With `targets`, broken means taken for the target. `rate` is the share of passes in
    which each image fools the model: 0 or 1, except for a random model, whose images count as broken when the draws
    that found them and the fresh ones behind `rate` agree that they usually fool. `ended` says why the evaluation
    stopped. `digests` are those of the model and of the data set, so that nothing is taken for another's. `notes` are
    sentences on how attacks went where they did not go as usual: logits rescaled, a loss that the margin replaced.
    """

    attack: str
    data: str
    model: str
    norm: Norm
    eps: float
    seed: int
    offered: int
    index: Tensor
    labels: Labels
    targets: Labels | None
    images: Images
    success: Mask
    success_8bit: Mask
    rate: PerImage
    distance: PerImage
    broken_by: Tensor
    first_break: Tensor
    passes: Tensor
    parts: tuple[EvaluationPart, ...]
    bounds: tuple[Bound, ...]
    flags: tuple[str, ...]
    ended: str
    seconds: float
    digests: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.success)

    def __repr__(self) -> str:
        return f"Evaluation({self.attack} on {self.data}: robust accuracy <= {self.robust_accuracy}, {self.ended})"

    @property
    def robust_accuracy(self) -> Rate:
        """The share of all images offered that the model classifies correctly and that no attack broke."""
        return Rate(int((~self.success).sum()), self.offered)

    @property
    def left_standing(self) -> Rate:
        """The share of the correctly classified images that no attack broke, as some papers count."""
        return Rate(int((~self.success).sum()), len(self))

    @property
    def clean_accuracy(self) -> Rate:
        """The share of all images offered that the model classifies correctly."""
        return Rate(len(self), self.offered)

    @property
    def expected_robust_accuracy(self) -> float:
        """As robust_accuracy, each image counted by how often it holds: for random models."""
        return float((1 - self.rate).sum()) / self.offered

    @property
    def undecided(self) -> int:
        """How many images of a random model have a rate whose 95 % interval over the draws holds one half."""
        if not self.random:
            return 0
        ends = [Rate(round(rate * JUDGE_DRAWS), JUDGE_DRAWS).interval for rate in self.rate.tolist()]
        return sum(low <= 0.5 <= high for low, high in ends)

    @property
    def random(self) -> bool:
        """Whether the model answers differently each time, so that success is a rate over draws."""
        return RANDOMISED in self.flags

    def breaker(self, row: int) -> str | None:
        """The part that broke an image, None where it stands."""
        number = int(self.broken_by[row])
        return None if number < 0 else self.parts[number].label

    def after(self, seconds: float) -> Rate:
        """The bound that was known after so many seconds."""
        known = [bound.standing for bound in self.bounds if bound.seconds <= seconds]
        return Rate(known[-1] if known else len(self), self.offered)


@dataclass(frozen=True, eq=False)
class Saved:
    """An unfinished evaluation: what was asked, and enough to go on as if it had never stopped.

    `model` and `data` are digests: of everything that decides the model's answers, and of pixels, labels and positions.
    """

    model: str
    data: str
    attack: str
    seed: int
    targets: Labels | None
    index: Tensor
    stage: int
    position: int
    rows: Tensor
    ledger: Ledger
    broken_by: Tensor
    first_break: Tensor
    passes: Tensor
    parts: tuple[EvaluationPart, ...]
    bounds: tuple[Bound, ...]
    seconds: float
    begun: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RobustnessCurve:
    """Robust accuracy at each budget, from each image's smallest known breaking distance; it never rises with eps.

    `distance` has one row per correctly classified image (infinite where nothing broke it) and `offered` counts all.
    `searched` says for how many of the rows there was time; the others count as standing unless they are known to
    break, so every point stays an upper bound. `seed` and `digests`, of the model and of the data set, say whose it is.
    """

    norm: Norm
    eps: tuple[float, ...]
    index: Tensor
    distance: PerImage
    searched: int
    offered: int
    seed: int = 0
    digests: tuple[str, str] = ("", "")

    @property
    def robust_accuracy(self) -> tuple[Rate, ...]:
        """The share of all images offered that hold at each budget."""
        reach = [budget * (1 + BUDGET_TOLERANCE) + BUDGET_TOLERANCE for budget in self.eps]  # as attacks are held to it
        return tuple(Rate(int((self.distance > most).sum()), self.offered) for most in reach)
