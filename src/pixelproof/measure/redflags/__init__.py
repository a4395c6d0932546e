"""The table of red flags: every way in which a model can look robust without being so, and the test for it.

The report, the command line and the documents print these words. Carlini: Carlini et al. 2019, arXiv 1902.06705;
AutoAttack: Croce & Hein 2020, arXiv 2003.01690, and the checks of its code; IoAF: Pintor et al. 2022,
arXiv 2106.09947; Athalye: Athalye et al. 2018, arXiv 1802.00420; "ours": from measurements, see docs/audit.md.
"""

from pixelproof.measure.redflags.budget import not_monotone, unbounded
from pixelproof.measure.redflags.finding import Finding, RedFlag
from pixelproof.measure.redflags.follows import not_followed
from pixelproof.measure.redflags.passes import (
    company,
    noisy_surface,
    non_determinism,
    optimises,
    softmax_given,
    weak_dlr,
    zero_gradient,
)
from pixelproof.measure.redflags.planted import planted
from pixelproof.measure.redflags.queries import black_box
from pixelproof.measure.redflags.search import not_converged, silent_success, trained_on_the_attack
from pixelproof.measure.redflags.subject import AuditSubject, Claim, Effort, connected
from pixelproof.measure.redflags.versus import (
    noise_beats_gradient,
    one_step_beats_iterative,
    single_step,
    transfer_failure,
)

RED_FLAGS: tuple[RedFlag, ...] = (
    RedFlag(
        "non-determinism",
        "five passes over the same images in evaluation mode",
        "predictions differ, or logits lie > 1e-4 of the length of the longest apart",
        "AutoAttack",
        False,
        non_determinism,
    ),
    RedFlag(
        "softmax given",
        "are the outputs probabilities?",
        "all in [0, 1] and rows sum to 1, within 1e-5",
        "AutoAttack",
        True,
        softmax_given,
    ),
    RedFlag(
        "zero gradient",
        "gradient of the margin at the clean images; the cross-entropy's, which may underflow, is told apart",
        "exactly zero, or none, at any image",
        "AutoAttack, IoAF",
        True,
        zero_gradient,
    ),
    RedFlag(
        "black box beats white box",
        "images that the ensemble's Square, Square and HopSkipJump of 5000 queries on 20 standing images, or a "
        "transfer from the surrogate, break and no gradient attack does, even afterwards",
        "> 0.2 % of all images",
        "AutoAttack, Carlini",
        True,
        black_box,
    ),
    RedFlag(
        "one step beats iterative",
        "images that FGSM breaks and PGD-40 at the same eps does not",
        "significantly > 1 % of the images (exact binomial test, 5 %)",
        "Carlini; threshold ours",
        True,
        one_step_beats_iterative,
    ),
    RedFlag(
        "single step only",
        "accuracy under FGSM minus accuracy under PGD-40; does the reported attack take one step?",
        "gap > 20 pp, or one step",
        "Carlini; threshold ours",
        False,
        single_step,
    ),
    RedFlag(
        "budget not monotone",
        "PGD-20 from scratch at eps/4, eps/2, eps and 2 eps: accuracy must not rise",
        "a rise of > 2 standard errors (paired)",
        "Carlini; threshold ours",
        True,
        not_monotone,
    ),
    RedFlag(
        "unbounded attack fails",
        "PGD where any image is allowed, and where every image can become grey",
        "any image holds; accuracy above chance (lower end of the interval)",
        "Carlini, IoAF",
        True,
        unbounded,
    ),
    RedFlag(
        "not converged",
        "twice the steps from new starts on what stood",
        "> 0.5 % of all images more, and more than one image",
        "Carlini, IoAF",
        True,
        not_converged,
    ),
    RedFlag(
        "silent success",
        "iterates of the reported attack that fooled the model while the image it returned does not",
        "any image",
        "IoAF",
        False,
        silent_success,
    ),
    RedFlag(
        "noisy loss surface",
        "mean relative change of the margin under 100 uniform perturbations of ±4/255, capped at 1",
        "> 0.5",
        "IoAF; threshold ours",
        True,
        noisy_surface,
    ),
    RedFlag(
        "transfer failure",
        "images of PGD that fool the surrogate and not the model",
        "any image",
        "IoAF",
        False,
        transfer_failure,
    ),
    RedFlag(
        "optimisation in the forward pass",
        "does a forward pass call grad or backward?",
        "any call",
        "AutoAttack",
        True,
        optimises,
    ),
    RedFlag(
        "noise beats gradient",
        "uniform draws in the ball (10,000 each) on the standing images with the smallest margins",
        "any image",
        "Carlini",
        True,
        noise_beats_gradient,
    ),
    RedFlag(
        "weak DLR",
        "number of classes",
        "< 3 classes (DLR), < 4 (targeted DLR)",
        "AutoAttack",
        False,
        weak_dlr,
    ),
    RedFlag(
        "train and test attack identical",
        "the reported attack and the training's, however they are written",
        "same norm, eps, steps and starts",
        "Carlini",
        False,
        trained_on_the_attack,
    ),
    RedFlag(
        "planted images missed",
        "adversarial images are planted near 20 images by a new last layer; the ensemble must find them",
        "< 95 % found",
        "Zimmermann et al. 2022, arXiv 2206.13991",
        True,
        planted,
    ),
    RedFlag(
        "margin off its gradient",
        "on the line to the nearest image of another class: the margin's fall that the integral of its gradient does "
        "not account for, and the margin left at 99 % of the way to where the decision falls",
        "either > 50 %, at > 20 % of 50 images",
        "IoAF, Sundararajan et al. 2017, arXiv 1703.01365; thresholds ours",
        True,
        not_followed,
    ),
    RedFlag(
        "answers depend on the batch",
        "50 images alone and together",
        "predictions differ, or logits lie > 1e-3 of the length of the longest apart",
        "ours",
        True,
        company,
    ),
)

__all__ = ["RED_FLAGS", "AuditSubject", "Claim", "Effort", "Finding", "RedFlag", "connected"]
