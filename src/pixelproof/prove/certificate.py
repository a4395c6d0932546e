"""A proof that no one-pixel attack exists, or the attack.

For every pixel the colour cube is covered by boxes; a box is done when the lower bound of the margin over it
(`bounds.py`) is positive, else its centre is tried and it is halved. The proof is about the network in exact
arithmetic: the bounds carry their own float32 rounding (`relax.py`). So that it also speaks about float32 forward
passes, a box must be proven with a margin of 1e-3, far above the rounding of a forward pass (docs/pixel.md).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.attacks.pixel.engine import Executor, executor, followed, planned
from pixelproof.attacks.pixel.found import changed
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.margins import check_attack, colour_grid, margins
from pixelproof.attacks.pixel.words import Unreadable, listed
from pixelproof.errors import BadInput, CertificateRefused
from pixelproof.models import Classifier
from pixelproof.prove.bounds import PixelBounds
from pixelproof.prove.cover import Cover
from pixelproof.prove.journal import Journal, Proof, identity, kept, resumed
from pixelproof.prove.subject import unsupported
from pixelproof.types import Goal, Images, Labels, Mask, PerImage, Rate

BLOCK = 32  # pixels between two saves


@dataclass(frozen=True, eq=False)
class OnePixelCertificate:
    """Per image: `attacked` (with a witness), `certified`, neither (undecided), or `wrong` from the start.

    `position` and `colour` are the witness (-1 where there is none); `open` are the pixels without a verdict, all of an
    undecided image's that the budget did not reach. `corner_margin` is the smallest margin that a corner colour gave.
    """

    wrong: Mask
    attacked: Mask
    certified: Mask
    position: Int[Tensor, " n"]
    colour: Float[Tensor, "n ch"]
    open: Bool[Tensor, "n h w"]
    boxes: Int[Tensor, " n"]
    seconds: PerImage
    corner_margin: PerImage

    @property
    def undecided(self) -> Mask:
        """Images that are classified correctly, not attacked and not proven."""
        return ~(self.wrong | self.attacked | self.certified)

    @property
    def robust_accuracy(self) -> Rate:
        """The share of images that are right and not attacked: an upper bound of the true one-pixel accuracy."""
        return Rate(int((~(self.wrong | self.attacked)).sum()), len(self.wrong))

    @property
    def certified_accuracy(self) -> Rate:
        """The share of images that are right and proven: a lower bound of the true one-pixel accuracy."""
        return Rate(int(self.certified.sum()), len(self.wrong))


def certify_one_pixel(
    model: Classifier, images: Images, labels: Labels, *, budget: float, journal: Journal | None = None
) -> OnePixelCertificate:
    """Attacks every image that the model gets right, then proves the others, within `budget` CPU seconds per image.

    Proofs begin with the image whose margin under corner colours is the widest; no result depends on the order.

    Raises BadInput for a budget that is not positive and a model that is stochastic or not on the CPU;
    CertificateRefused, a BadInput that names the operation, for a network with one that has no bound; RunError for a
    journal of another model or image.
    """
    who = "certify_one_pixel"
    check_attack(who, model, images, Goal(labels))
    if not budget > 0:
        raise BadInput(who, "the budget must be positive CPU seconds per image", budget, "Use 120, for example.")
    with torch.no_grad():
        prover = _prover(who, model, images)
        journal = journal or Journal()
        cases = [
            _attack(prover, _Case(number, image, int(label)), journal)
            for number, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
        # The wider the margin that corner colours leave, the shorter the proof: most images are decided early.
        undecided = [case for case in cases if case.proof.verdict == "undecided"]
        for place, case in enumerate(sorted(undecided, key=lambda case: -case.proof.corner_margin)):
            _prove(prover, case, budget, journal, len(cases) - len(undecided) + place)
        if journal.report is not None:
            journal.report(len(cases), 0, images[0, 0].numel())
    proofs = [case.proof for case in cases]
    verdicts = [proof.verdict for proof in proofs]
    shape = images.shape[2:]
    left = torch.ones(len(images), shape[0] * shape[1], dtype=torch.bool)
    for row, proof in enumerate(proofs):
        left[row, proof.decided] = False
        left[row] &= proof.verdict == "undecided"
    return OnePixelCertificate(
        torch.tensor([verdict == "wrong" for verdict in verdicts]),
        torch.tensor([verdict == "attacked" for verdict in verdicts]),
        torch.tensor([verdict == "certified" for verdict in verdicts]),
        torch.tensor([proof.position for proof in proofs]),
        torch.tensor([proof.colour or [-1.0] * images.shape[1] for proof in proofs]),
        left.view(-1, *shape),
        torch.tensor([proof.boxes for proof in proofs]),
        torch.tensor([proof.seconds for proof in proofs]),
        torch.tensor([proof.corner_margin for proof in proofs]),
    )


@dataclass(frozen=True, eq=False)
class _Prover:
    model: Classifier
    digest: str
    search: Executor
    engine: Incremental


def _prover(who: str, model: Classifier, images: Images) -> _Prover:
    """The model's engines, or why there can be no certificate."""
    if model.training:
        raise BadInput(who, "the model must be in evaluation mode", "training mode (dropout is on)", "Call eval().")
    if model.device.type != "cpu":
        raise BadInput(who, "the model must be on the CPU", model.device, "Move it with model.cpu().")
    if model.card.stochastic or not torch.equal(model(images[:1]), model(images[:1])):
        raise BadInput(
            who, "the model must be deterministic", "a stochastic one", "A proof about one draw of it says nothing."
        )
    instead = "Attack it with one-pixel, which needs no bounds; docs/pixel.md says what has them."
    try:
        plan = planned(model, images[0], clip=True)
        missing = unsupported(plan)
        if missing:
            raise CertificateRefused(who, "every operation needs a bound", f"none for {listed(missing)}", instead)
        engine = followed(plan, model, images[0])
    except Unreadable as reason:
        expected = "must be able to follow the model's graph"
        raise CertificateRefused(who, expected, f"one that {reason}", instead) from reason
    return _Prover(model, model.digest(), executor(model, images[0]), engine)


@dataclass(frozen=True, eq=False)
class _Case:
    """One image: the state of its proof, and its pixels, those first where a corner colour came nearest."""

    number: int
    image: Tensor
    label: int
    proof: Proof = field(default_factory=lambda: Proof(""))
    ranked: tuple[int, ...] = ()


def _spent() -> float:
    """CPU seconds of the process; in any other thread than the main one of that thread alone."""
    alone = threading.current_thread() is threading.main_thread()
    return time.process_time() if alone else time.thread_time()


def _attack(prover: _Prover, case: _Case, journal: Journal) -> _Case:
    """Every pixel in every corner colour, unless there is a verdict already."""
    began = _spent()
    image, label = case.image, case.label
    proof = resumed(identity(prover.digest, prover.engine.plan.steps, image, label), case.number, journal)
    if proof.verdict != "undecided":
        return replace(case, proof=proof)
    if int(prover.model(image[None]).argmax()) != label:
        proof.verdict = "wrong"
        return replace(case, proof=kept(proof, case.number, journal))
    corners = colour_grid(len(image), 2)
    everywhere = torch.arange(image[0].numel())
    value = margins(
        prover.search.focus(image).logits(everywhere, corners.expand(len(everywhere), -1, -1)), label, False
    )
    proof.corner_margin = float(value.min())
    best = int(value.argmin())
    _fooled(prover, image, label, best // len(corners), corners[best % len(corners)], proof)
    proof.seconds += _spent() - began
    return replace(case, proof=kept(proof, case.number, journal), ranked=tuple(value.amin(1).argsort().tolist()))


def _prove(prover: _Prover, case: _Case, budget: float, journal: Journal, finished: int) -> None:
    """Cover the colours of every pixel by proven boxes, as far as the budget goes; `finished` images went before."""
    began, proof, pixels = _spent(), case.proof, case.image[0].numel()
    before = proof.seconds
    bounds = PixelBounds(prover.engine, case.image, case.label)
    cover = Cover(len(case.image), case.image.shape[2])
    decided = set(proof.decided)
    proof.open = []
    for count, position in enumerate((each for each in case.ranked if each not in decided), 1):
        outcome = cover.prove(bounds, position, lambda: before + _spent() - began >= budget)
        proof.boxes += outcome.boxes
        witness = outcome.witness
        if witness is not None and _fooled(prover, case.image, case.label, position, witness, proof):
            break
        (proof.decided if outcome.proven else proof.open).append(position)
        proof.seconds = before + _spent() - began
        if count % BLOCK == 0:
            kept(proof, case.number, journal)
            if journal.report is not None:
                journal.report(finished, len(proof.decided), pixels)
        if proof.seconds >= budget:
            break
    if len(proof.decided) == pixels:
        proof.verdict = "certified"
    proof.seconds = before + _spent() - began
    kept(proof, case.number, journal)


def _fooled(prover: _Prover, image: Tensor, label: int, position: int, colour: Tensor, proof: Proof) -> bool:
    """Whether the model's own forward pass confirms a witness, which is then noted."""
    if int(prover.model(changed(image, position, colour)[None]).argmax()) == label:
        return False
    proof.verdict, proof.position, proof.colour = "attacked", position, colour.tolist()
    return True
