"""What hardening did to a model, seen at once: a first look before and after."""

from __future__ import annotations

from pixelproof import prove
from pixelproof.data import Dataset
from pixelproof.defend.harden import Hardened
from pixelproof.measure.first_look import first_look
from pixelproof.models import Classifier
from pixelproof.results.defended import DefendedRecord


def before_and_after(
    model: Classifier, hardened: Hardened, test: Dataset, eps: float, *, bounded: bool, seed: int
) -> DefendedRecord:
    """A first look at a model and at what hardening made of it; where `bounded`, also what interval bounds prove."""
    made = hardened.model
    return DefendedRecord(
        network=made.card.name,
        defences=made.card.defences,
        parent=made.card.parent,
        cpu_seconds=hardened.cpu_seconds,
        stochastic=made.card.stochastic,
        training=hardened.training,
        stopped=hardened.stopped,
        data=test.name,
        classes=test.classes,
        n=len(test),
        eps=eps,
        seed=seed,
        certified=prove.certified(made, test, eps) if bounded and prove.has_bounds(made) else None,
        before=first_look(model, test, eps, seed=seed),
        after=first_look(made, test, eps, seed=seed),
    )
