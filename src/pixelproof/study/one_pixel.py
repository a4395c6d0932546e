"""The stages about one-pixel attacks (paper 3): who falls to which pixel and class, and the data set of twins."""

from __future__ import annotations

import torch

from pixelproof.attacks.mount import Outcome, Prepared
from pixelproof.attacks.pixel import OnePixel
from pixelproof.data import Dataset, stratified
from pixelproof.draws import Draws
from pixelproof.errors import BadInput, CertificateRefused, RunError
from pixelproof.prove import Journal, certify_one_pixel
from pixelproof.results import CertificateRecord, PixelSet, PixelSurvey, catalogue
from pixelproof.results.catalogue import Result
from pixelproof.study.context import Context
from pixelproof.study.spec import PixelSection
from pixelproof.types import Goal, Labels

BLOCK = 200  # images between two results that are kept
COMPLETE = OnePixel(sweep="always")
RANKED = OnePixel(sweep="never")


def survey(context: Context, section: PixelSection) -> None:
    """Every pixel of some of the study's images in every corner colour: rates and attackability maps."""
    images = subjects(context, section).sample(section.maps, context.study.seed)
    _search(context, COMPLETE, images, catalogue.SURVEY, catalogue.SURVEY_BLOCK)


def screen(context: Context, section: PixelSection) -> None:
    """The pixels that the gradient points at, of all the study's images: cheap, and it finds nearly all that fall."""
    _search(context, RANKED, subjects(context, section), catalogue.SCREENED, catalogue.SCREENED_BLOCK)


def _search(
    context: Context, attack: OnePixel, images: Dataset, whole: Result[PixelSurvey], block: Result[PixelSurvey]
) -> None:
    """One search of many images, kept block by block; the blocks go once the whole is there, also after a kill."""
    run, place = context.run, context.model.device
    if whole.has(run):
        _tidy(context, block)
        return
    stage = "one pixel: every pixel" if attack is COMPLETE else "one pixel: the likeliest pixels"
    starts = [f"{start:05d}" for start in range(0, len(images), BLOCK)]
    for start in starts:
        if block.has(run, start=start):
            continue
        part = images[int(start) : int(start) + BLOCK]

        def tell(done: int, _: int, start: str = start) -> None:
            context.tell(stage, int(start) + done, len(images))

        found = attack.search(context.model, part.images.to(place), Goal(part.labels.to(place)), progress=tell)
        block.save(run, PixelSurvey.of(found, part), start=start)
    whole.save(run, PixelSurvey.joined([block.load(run, start=start) for start in starts]))
    _tidy(context, block)


def _tidy(context: Context, block: Result[PixelSurvey]) -> None:
    for name in block.names(context.run):
        context.run.path(name).unlink(missing_ok=True)


def subjects(context: Context, section: PixelSection) -> Dataset:
    """The images that are searched: a stratified sample of the correctly classified test images."""
    clean = catalogue.CLEAN.load(context.run)
    return context.test[clean.predicted == clean.labels].sample(section.n, context.study.seed)


def pixel_set(context: Context, section: PixelSection) -> PixelSet:
    """The data set of paper 3: every attacked image with its twin for one target, in a tuning and a validation half."""
    record = catalogue.SCREENED.load(context.run)
    attacked = record.attacked.nonzero()[:, 0]
    if 2 * (len(attacked) // 2) < section.validation:
        expected = f"needs {section.validation // 2} attacked images in each half"
        got = f"{len(attacked)} of {len(record)} fell to one pixel"
        raise BadInput("one pixel", expected, got, "Raise n, or lower validation, in the study's [pixels].")
    data, fallen = subjects(context, section)[attacked], record.rows(attacked)
    targets = drawn(fallen, context.study.seed)
    field = Prepared.of(context.model, data, targets, None)
    if not torch.equal(field.data.index, fallen.index):
        do = "Run the study again in another folder; was this one begun on another device?"
        raise RunError(str(context.run.folder), "expected the classifier to be right about the same images", do=do)
    counts = fallen.candidates
    outcome = Outcome(
        fallen.images(data.images, targets),
        torch.full_like(counts, -1),
        counts,
        torch.zeros_like(counts),
        float(fallen.seconds.sum()),
    )
    found = field.judge(outcome, RANKED, context.study.seed)
    rows = torch.arange(len(found))
    half = torch.zeros(len(found), dtype=torch.bool)
    half[stratified(found.labels, len(found) // 2, context.study.seed)] = True
    made = PixelSet(found, fallen.position[rows, targets], fallen.colour[rows, targets], half)
    return made.only(found.success)


def drawn(record: PixelSurvey, seed: int) -> Labels:
    """For every image one of the classes it can be changed to, drawn by a stream that belongs to the image."""
    chance = Draws.keyed(seed, record.index).uniform(record.targets.shape[1])
    return chance.masked_fill(~record.targets, -1.0).argmax(1)


def certify(context: Context, section: PixelSection) -> CertificateRecord | None:
    """The first correctly classified test images, each attacked or proven; resumed pixel by pixel.

    A network with an operation that no proof can go through gets no certificate, and the study goes on: what was
    computed before is worth a report.
    """
    clean = catalogue.CLEAN.load(context.run)
    rows = (clean.predicted == clean.labels).nonzero()[: section.certify, 0]
    images = context.test[rows]

    def tell(finished: int, done: int, pixels: int) -> None:
        note = f"{finished} of {len(images)} images finished"
        context.tell("certificate", finished * pixels + done, len(images) * pixels, note)

    journal = Journal(catalogue.proofs(context.run), tell)
    try:
        proof = certify_one_pixel(context.model, images.images, images.labels, budget=section.budget, journal=journal)
    except CertificateRefused as reason:
        context.tell("certificate", 1, 1, str(reason))
        return None
    return CertificateRecord(images.index, images.labels, proof, int(rows[-1]) + 1, section.budget)
