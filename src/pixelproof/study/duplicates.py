"""The stage about near-duplicates: which training images are almost the same, and what leaving them out changes."""

from __future__ import annotations

from torch import Tensor

from pixelproof.detect import Store, difference, figures, near_duplicates
from pixelproof.detect.neighbours.neighbourhood import neighbourhood
from pixelproof.results import DuplicateRecord, catalogue
from pixelproof.results.neighbours import CLEAN
from pixelproof.study.context import Context
from pixelproof.study.guard_section import GuardSection
from pixelproof.study.guarding import built, held, images_of, neighbours, stored, training


def duplicates(context: Context, section: GuardSection) -> DuplicateRecord:
    """List near-duplicates among the indexed images, and judge the focus attack with and without them."""
    limit = section.duplicates
    assert limit is not None  # the stage is asked for only with a limit
    whole = training(context)
    context.tell("near-duplicates", 0, 3, f"{len(whole)} images")
    found = near_duplicates(whole, limit)
    context.tell("near-duplicates", 1, 3, f"{len(found.pairs)} pairs")
    tuned = catalogue.TUNED.load(context.run, attack=section.focus)
    scores = [
        _scores(context, section, store, tuned.best)
        for store in (built(context, whole, "near-duplicates: activations"), stored(context))
    ]
    context.tell("near-duplicates", 2, 3)
    layers = tuned.tuning.layers
    pairs = [[(clean[:, at], strange[:, at]) for clean, strange in scores] for at in range(len(layers))]
    seed = context.study.seed
    record = DuplicateRecord(
        limit=limit,
        images=len(whole),
        first=whole.index[found.pairs[:, 0]],
        second=whole.index[found.pairs[:, 1]],
        distance=found.distance,
        same=found.same,
        left_out=whole.index[found.redundant],
        attack=section.focus,
        layers=layers,
        k=tuned.best,
        with_them=tuple(figures(*one, seed=seed, resamples=0).auroc.value for one, _ in pairs),
        without=tuple(figures(*other, seed=seed, resamples=0).auroc.value for _, other in pairs),
        change=tuple(difference(other, one, seed=seed) for one, other in pairs),
    )
    context.tell("near-duplicates", 3, 3)
    return record


def _scores(context: Context, section: GuardSection, store: Store, k: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Every layer's score of correct clean images and of the focus attack's successes, on the judging half."""
    found = []
    for state in (CLEAN, section.focus):
        kept = neighbours(context, state)
        rows = held(context, kept.index) & (~kept.wrong if state == CLEAN else kept.wrong)
        found.append(neighbourhood(store, k, context.model, images_of(context, state).images[rows]).strangers())
    return found[0], found[1]
