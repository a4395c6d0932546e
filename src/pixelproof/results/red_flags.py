"""The table of red flags: every way in which a model can look robust without being so, and the test for it.

The report, the command line and the documents print these words. Carlini: Carlini et al. 2019, arXiv 1902.06705;
AutoAttack: Croce & Hein 2020, arXiv 2003.01690, and the checks of its code; IoAF: Pintor et al. 2022,
arXiv 2106.09947; Athalye: Athalye et al. 2018, arXiv 1802.00420; "ours": from measurements, see docs/audit.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RedFlag:
    """One way in which robustness can be a look-alike: what is tested, from which value on it is raised, after whom.

    A flag that `blocks`, once raised, leaves the bound unbelievable: the model is "not shown robust". The others say
    what to keep in mind, or that the audit has already acted on it.
    """

    name: str
    test: str
    threshold: str
    source: str
    blocks: bool


RED_FLAGS: tuple[RedFlag, ...] = (
    RedFlag(
        "non-determinism",
        "five passes over the same images in evaluation mode",
        "predictions differ, or logits lie > 1e-4 of the length of the longest apart",
        "AutoAttack",
        False,
    ),
    RedFlag(
        "softmax given",
        "are the outputs probabilities?",
        "all in [0, 1] and rows sum to 1, within 1e-5",
        "AutoAttack",
        True,
    ),
    RedFlag(
        "zero gradient",
        "gradient of the margin at the clean images; the cross-entropy's, which may underflow, is told apart",
        "exactly zero, or none, at any image",
        "AutoAttack, IoAF",
        True,
    ),
    RedFlag(
        "black box beats white box",
        "images that the ensemble's Square, Square and HopSkipJump of 5000 queries on 20 standing images, or a "
        "transfer from the surrogate, break and no gradient attack does, even afterwards",
        "> 0.2 % of all images",
        "AutoAttack, Carlini",
        True,
    ),
    RedFlag(
        "one step beats iterative",
        "images that FGSM breaks and PGD-40 at the same eps does not",
        "significantly > 1 % of the images (exact binomial test, 5 %)",
        "Carlini; threshold ours",
        True,
    ),
    RedFlag(
        "single step only",
        "accuracy under FGSM minus accuracy under PGD-40; does the reported attack take one step?",
        "gap > 20 pp, or one step",
        "Carlini; threshold ours",
        False,
    ),
    RedFlag(
        "budget not monotone",
        "PGD-20 from scratch at eps/4, eps/2, eps and 2 eps: accuracy must not rise",
        "a rise of > 2 standard errors (paired)",
        "Carlini; threshold ours",
        True,
    ),
    RedFlag(
        "unbounded attack fails",
        "PGD where any image is allowed, and where every image can become grey",
        "any image holds; accuracy above chance (lower end of the interval)",
        "Carlini, IoAF",
        True,
    ),
    RedFlag(
        "not converged",
        "twice the steps from new starts on what stood",
        "> 0.5 % of all images more, and more than one image",
        "Carlini, IoAF",
        True,
    ),
    RedFlag(
        "silent success",
        "iterates of the reported attack that fooled the model while the image it returned does not",
        "any image",
        "IoAF",
        False,
    ),
    RedFlag(
        "noisy loss surface",
        "mean relative change of the margin under 100 uniform perturbations of ±4/255, capped at 1",
        "> 0.5",
        "IoAF; threshold ours",
        True,
    ),
    RedFlag(
        "transfer failure",
        "images of PGD that fool the surrogate and not the model",
        "any image",
        "IoAF",
        False,
    ),
    RedFlag(
        "optimisation in the forward pass",
        "does a forward pass call grad or backward?",
        "any call",
        "AutoAttack",
        True,
    ),
    RedFlag(
        "noise beats gradient",
        "uniform draws in the ball (10,000 each) on the standing images with the smallest margins",
        "any image",
        "Carlini",
        True,
    ),
    RedFlag(
        "weak DLR",
        "number of classes",
        "< 3 classes (DLR), < 4 (targeted DLR)",
        "AutoAttack",
        False,
    ),
    RedFlag(
        "train and test attack identical",
        "the reported attack and the training's, however they are written",
        "same norm, eps, steps and starts",
        "Carlini",
        False,
    ),
    RedFlag(
        "planted images missed",
        "adversarial images are planted near 20 images by a new last layer; the ensemble must find them",
        "< 95 % found",
        "Zimmermann et al. 2022, arXiv 2206.13991",
        True,
    ),
    RedFlag(
        "margin off its gradient",
        "on the line to the nearest image of another class: the margin's fall that the integral of its gradient does "
        "not account for, and the margin left at 99 % of the way to where the decision falls",
        "either > 50 %, at > 20 % of 50 images",
        "IoAF, Sundararajan et al. 2017, arXiv 1703.01365; thresholds ours",
        True,
    ),
    RedFlag(
        "answers depend on the batch",
        "50 images alone and together",
        "predictions differ, or logits lie > 1e-3 of the length of the longest apart",
        "ours",
        True,
    ),
)
