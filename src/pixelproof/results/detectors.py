"""What a study keeps about detectors: every score, and the figures of each detector against each attack."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from pixelproof.detect import Figures, GuardEvaluation
from pixelproof.types import Labels, Mask, PerImage, Rate


@dataclass(frozen=True, eq=False)
class Judgement:
    """One detector's verdicts on the images of one state; `index` is a position in the original test file.

    `fooled`: the image is not taken for its true class. An alarm at any false-alarm rate is `p_value` <= rate.
    """

    index: Int[Tensor, " n"]
    fooled: Mask
    score: PerImage
    p_value: PerImage
    recovered: Labels


@dataclass(frozen=True, eq=False)
class GuardRecord:
    """One detector on the half of the images that nothing was tuned on, against every attack with successes there.

    `name` is its spec, or "neighbours, LAYER" for the alarm rule of one layer with the k tuned on the study's focus.
    `fitted_on`: the attack it was fitted or tuned on, empty where it saw clean images only. `threshold` is at
    false-alarm rate `rate`, from `calibration` clean validation images. `judged` holds "clean" and every attack,
    `evaluations` every attack. `natural`: misclassified clean images in the place of attacked ones.
    """

    name: str
    fitted_on: str
    rate: float
    threshold: float
    calibration: int
    judged: dict[str, Judgement]
    evaluations: dict[str, GuardEvaluation]
    natural: Figures | None
    fit_seconds: float


@dataclass(frozen=True, eq=False)
class KnownRecord:
    """What attacks that know one detector reach on `n` images within `eps`: the worst case per image is `lost`.

    Per attack: images that fool the classifier, those that do so without an alarm at the guard's threshold, and the
    AUROC of the fooling ones against correctly classified clean images (None: nothing fooled). `quietest`: the same for
    every image's quietest success over all attacks. For single pixels (`norm` l0) there are no steps: every change that
    fools was shown to the guard.
    """

    name: str
    n: int
    norm: str
    eps: float
    steps: int
    rate: float
    attacks: tuple[str, ...]
    fooled: tuple[Rate, ...]
    evaded: tuple[Rate, ...]
    auroc: tuple[float | None, ...]
    lost: Rate
    quietest: Figures | None
