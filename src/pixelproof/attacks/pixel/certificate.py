"""A proof that no one-pixel attack exists, or the attack.

For every pixel the colour cube is covered by boxes; a box is done when the lower bound of the margin over it
(`bounds.py`) is positive, else its centre is tried and it is halved. The proof is about the network in exact
arithmetic: the bounds carry their own float32 rounding (`relax.py`). So that it also speaks about float32 forward
passes, a box must be proven with a margin of 1e-3, far above the rounding of a forward pass (docs/pixel.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof.attacks.pixel.bounds import PROVEN, PixelBounds, unsupported
from pixelproof.attacks.pixel.engine import TOLERANCE, Executor, discrepancy, executor
from pixelproof.attacks.pixel.graph import capture
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.margins import check_attack, colour_grid, margins
from pixelproof.attacks.pixel.plan import draw
from pixelproof.attacks.pixel.search import changed
from pixelproof.errors import BadInput, RunError
from pixelproof.models import Classifier, evaluating
from pixelproof.types import Goal, Images, Labels, Mask, PerImage, Rate

BATCH = 96  # boxes bounded together
BLOCK = 32  # pixels between two saves
DEEPEST = 30  # halvings of the cube after which a pixel is left open
MOST_BOXES = 50_000  # boxes after which a pixel is left open
FORMAT = 1


@dataclass(frozen=True)
class Journal:
    """Where a long proof is kept and reported.

    `folder` gets one JSON file per image, replaced atomically after every 32 pixels; a proof with the same model, image
    and label goes on from there. `report(image, decided, pixels)` is called as often.
    """

    folder: Path | None = None
    report: Callable[[int, int, int], None] | None = None


@dataclass
class _Proof:
    """The state of one image's proof; what a journal file holds."""

    key: str
    verdict: str = "undecided"
    decided: list[int] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    position: int = -1
    colour: list[float] = field(default_factory=list)
    boxes: int = 0
    seconds: float = 0.0
    corner_margin: float = float("inf")


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
    """Attacks or proves every image that the model gets right, within `budget` CPU seconds per image.

    Raises BadInput for a budget that is not positive, a model that is stochastic or not on the CPU, and a network with
    a step that no bound is implemented for; RunError for a journal of another model or image.
    """
    who = "certify_one_pixel"
    check_attack(who, model, images, Goal(labels))
    if not budget > 0:
        raise BadInput(who, "the budget must be positive CPU seconds per image", budget, "Use 120, for example.")
    with evaluating(model), torch.no_grad():
        prover = _prover(who, model, images)
        proofs = [
            _certify(prover, number, image, int(label), budget, journal or Journal())
            for number, (image, label) in enumerate(zip(images, labels, strict=True))
        ]
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
    if model.device.type != "cpu":
        raise BadInput(who, "the model must be on the CPU", model.device, "Move it with model.cpu().")
    if model.card.stochastic or not torch.equal(model(images[:1]), model(images[:1])):
        raise BadInput(
            who, "the model must be deterministic", "a stochastic one", "A proof about one draw of it says nothing."
        )
    try:
        steps = capture(model, images[:1])
    except Exception as reason:  # the exporter raises many kinds
        raise BadInput(who, "the model's graph must be readable", f"{type(reason).__name__}: {reason}") from reason
    plan = draw(steps, images[:1], clip=True)
    missing = unsupported(plan)
    if missing:
        raise BadInput(who, "every step needs a bound", f"none for {', '.join(missing)}", "See docs/pixel.md.")
    engine = Incremental(plan, plan.summary())
    error = discrepancy(engine, model, images[0])
    if not error <= TOLERANCE:
        raise BadInput(who, "the captured graph must equal the model", f"a difference of {error:.1e}")
    return _Prover(model, model.digest(), executor(model, images[0]), engine)


def _certify(prover: _Prover, number: int, image: Tensor, label: int, budget: float, journal: Journal) -> _Proof:
    began = time.process_time()
    proof = _resumed(prover, number, image, label, journal)
    pixels = image[0].numel()
    if proof.verdict != "undecided":
        return proof
    before = proof.seconds
    if int(prover.model(image[None]).argmax()) != label:
        proof.verdict = "wrong"
        return _kept(proof, number, journal)
    corners = colour_grid(len(image), 2)
    everywhere = torch.arange(pixels)
    value = margins(prover.search.focus(image).logits(everywhere, corners.expand(pixels, -1, -1)), label, False)
    proof.corner_margin = float(value.min())
    best = int(value.argmin())
    if _fooled(prover, image, label, best // len(corners), corners[best % len(corners)], proof):
        proof.seconds = before + time.process_time() - began
        return _kept(proof, number, journal)
    bounds = PixelBounds(prover.engine, image, label)
    cover = Cover(len(image))
    decided = set(proof.decided)
    todo = [position for position in value.amin(1).argsort().tolist() if position not in decided]
    proof.open = []
    for count, position in enumerate(todo, 1):
        outcome = cover.prove(bounds, position)
        proof.boxes += outcome.boxes
        if outcome.witness is not None and _fooled(prover, image, label, position, outcome.witness, proof):
            break
        (proof.decided if outcome.proven else proof.open).append(position)
        proof.seconds = before + time.process_time() - began
        if count % BLOCK == 0:
            _kept(proof, number, journal)
            if journal.report is not None:
                journal.report(number, len(proof.decided), pixels)
        if proof.seconds >= budget:
            break
    if len(proof.decided) == pixels:
        proof.verdict = "certified"
    proof.seconds = before + time.process_time() - began
    return _kept(proof, number, journal)


def _fooled(prover: _Prover, image: Tensor, label: int, position: int, colour: Tensor, proof: _Proof) -> bool:
    """Whether the model's own forward pass confirms a witness, which is then noted."""
    if int(prover.model(changed(image, position, colour)[None]).argmax()) == label:
        return False
    proof.verdict, proof.position, proof.colour = "attacked", position, colour.tolist()
    return True


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one pixel: proven or not, boxes bounded, and the centre of a box that is misclassified, if any."""

    proven: bool
    boxes: int
    witness: Tensor | None = None


class Cover:
    """Covers the colour cube with boxes, starting as finely as the pixels before needed."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.start = 0

    def prove(self, bounds: PixelBounds, position: int) -> Outcome:
        """Halves boxes until all are proven, one is refuted, or there are too many."""
        spot = bounds.at(position)
        low, high = self._grid(self.start)
        boxes = 0
        shares: list[float] = []
        for _ in range(DEEPEST - self.start):
            parts = [spot.lower(low[at : at + BATCH], high[at : at + BATCH]) for at in range(0, len(low), BATCH)]
            boxes += len(low)
            failed = torch.cat([bound for bound, _ in parts]) <= PROVEN
            axis = torch.cat([side for _, side in parts])[failed]
            shares.append(1 - float(failed.float().mean()))
            low, high = low[failed], high[failed]
            if not len(low):
                self._learn(shares)
                return Outcome(True, boxes)
            middle = (low + high) / 2
            values = spot.exact(middle)
            if bool((values <= 0).any()):
                return Outcome(False, boxes, middle[values.argmin()])
            if boxes + 2 * len(low) > MOST_BOXES:
                break
            cut = torch.nn.functional.one_hot(axis, self.channels).bool()
            low, high = (
                torch.cat([low, torch.where(cut, middle, low)]),
                torch.cat([torch.where(cut, middle, high), high]),
            )
        return Outcome(False, boxes)

    def _learn(self, shares: list[float]) -> None:
        """Start finer when hardly a box passed at first, coarser when most did."""
        if shares[0] < 0.3 and len(shares) > 1:
            self.start += 1
        elif shares[0] > 0.6 and self.start:
            self.start -= 1

    def _grid(self, halvings: int) -> tuple[Tensor, Tensor]:
        """The cube halved so many times, along one axis after the other; neighbours stay together."""
        low, high = torch.zeros(1, self.channels), torch.ones(1, self.channels)
        for halving in range(halvings):
            cut = torch.arange(self.channels) == halving % self.channels
            middle = (low + high) / 2
            low = torch.stack([low, torch.where(cut, middle, low)], 1).flatten(0, 1)
            high = torch.stack([torch.where(cut, middle, high), high], 1).flatten(0, 1)
        return low, high


def _key(prover: _Prover, image: Tensor, label: int) -> str:
    pixels = hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()[:16]
    return f"{FORMAT}-{prover.digest}-{pixels}-{label}-{PROVEN:g}"


def _path(folder: Path, number: int) -> Path:
    return folder / f"image-{number:05d}.json"


def _resumed(prover: _Prover, number: int, image: Tensor, label: int, journal: Journal) -> _Proof:
    """The proof so far, from the journal if there is one."""
    key = _key(prover, image, label)
    path = None if journal.folder is None else _path(Path(journal.folder), number)
    if path is None or not path.exists():
        return _Proof(key)
    try:
        proof = _Proof(**json.loads(path.read_text()))
    except (ValueError, TypeError) as reason:
        raise RunError("certify_one_pixel", f"{path} must hold a proof", reason, "Delete the file.") from reason
    if proof.key != key:
        raise RunError(
            "certify_one_pixel", f"{path} must belong to this model and image", proof.key, "Use another folder."
        )
    return proof


def _kept(proof: _Proof, number: int, journal: Journal) -> _Proof:
    """The proof, after saving it atomically."""
    if journal.folder is not None:
        path = _path(Path(journal.folder), number)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(proof)))
        os.replace(fresh, path)
    return proof
