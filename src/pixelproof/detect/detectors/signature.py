"""Detection from signatures: paper 1's classifier, and a stronger one that knows noise from attacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect.detectors.evidence import Evidence, PixelSignature
from pixelproof.detect.detectors.heads import Head, Scale, fit_line, fit_network
from pixelproof.detect.evaluation.noise import Noise, matched_noise
from pixelproof.detect.guards.guard import Part, divide
from pixelproof.detect.guards.scored import ScoreGuard, check_fit, guard
from pixelproof.detect.guards.settings import MOST, check_settings
from pixelproof.errors import BadInput
from pixelproof.models import Classifier, frozen
from pixelproof.types import Images, PerImage

Kind = Literal["statistics", "network"]
LEAST = 20  # successful adversarial images below which nothing worth having can be fitted
BATCH = 100
FITTED: tuple[Noise, ...] = ("sign", "shuffled")  # the kinds of noise that a fit sees


@dataclass(frozen=True, eq=False)
class SignatureScorer:
    """How much an image's signature looks like that of an attacked image: the logit of a fitted head."""

    signature: PixelSignature | Evidence
    head: Head

    def __call__(self, model: Classifier, images: Images) -> PerImage:
        """One score per image; differentiable, so that an attack can follow it."""
        return self.head(self.signature(model, images))


@dataclass(frozen=True)
class SignatureDetector:
    """A classifier of DeepSHAP signatures, fitted on clean and attacked images (paper 1, case study 4).

    `kind` "statistics": logistic regression on `Evidence`. "network": the paper's, a small network on the signature's
    pixels, trained for `epochs`. `noise`: clean images with noise of the attack's size (sign noise and the attack's own
    perturbation shuffled, both of its l2 norm after clipping) count as clean in the fit; without them both learn to
    see that something was changed, not that it was an attack. `background` images for DeepSHAP are taken from the
    clean images; `rate` is the false-alarm rate.
    """

    kind: Kind = "statistics"
    background: int = 10
    epochs: int = 10
    noise: bool = True
    rate: float = 0.05

    name: ClassVar[str] = "signature"
    parts: ClassVar[tuple[Part, ...]] = (
        SignatureScorer,
        Evidence,
        PixelSignature,
        Head,
        Scale,
    )

    def __post_init__(self) -> None:
        check_settings(self, {"background": (1, MOST), "epochs": (1, MOST)})

    def fit(
        self, model: Classifier, clean: Dataset, attacked: AdversarialSet | None, rng: torch.Generator
    ) -> ScoreGuard:
        """A guard whose threshold comes from a quarter of the clean images, which the fit did not see.

        Attacked images whose original is among those are left out. Raises BadInput for fewer than 20 successful
        adversarial images and for too few clean ones to calibrate.
        """
        check_fit(self.name, model, clean)
        if attacked is not None and attacked.data != clean.name:
            do = "Attack images of the set you fit on."
            raise BadInput(self.name, f"attacked images must come from {clean.name}", attacked.data, do)
        fitted, held = divide(clean, rng)
        use = None if attacked is None else attacked.success & ~torch.isin(attacked.index, held.index)
        n = 0 if use is None else int(use.sum())
        if attacked is None or use is None or n < LEAST:
            expected = f"needs at least {LEAST} successful adversarial images of images it may fit on"
            raise BadInput(self.name, expected, n, "Attack more images, or with a larger budget.")
        background = fitted.sample(self.background, int(torch.randint(2**31, (1,), generator=rng))).images
        signature = Evidence(background) if self.kind == "statistics" else PixelSignature(background)
        unharmed = [fitted.images]
        if self.noise:
            unharmed += [matched_noise(attacked.clean[use], attacked.images[use], rng, kind=kind) for kind in FITTED]
        clean_rows = torch.cat([rows_of(signature, model, images) for images in unharmed])
        attacked_rows = rows_of(signature, model, attacked.images[use])
        rows, wanted = torch.cat([clean_rows, attacked_rows]), torch.arange(len(clean_rows) + n) >= len(clean_rows)
        if self.kind == "statistics":
            head = fit_line(rows, wanted)
        else:
            head, _ = fit_network(rows, wanted, epochs=self.epochs, rng=rng)
        return guard(self, SignatureScorer(signature, head), model, held)


def rows_of(
    signature: PixelSignature | Evidence, model: Classifier, images: Images, batch: int = BATCH
) -> Float[Tensor, "n d"]:
    """The signature rows of any number of images, on the CPU."""
    with frozen(model), torch.no_grad():
        return torch.cat([signature(model, part.to(model.device)).cpu() for part in torch.split(images, batch)])
