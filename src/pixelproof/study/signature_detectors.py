"""The stages about detection: detectors on signatures with their controls, and the attack that knows the detector."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from pixelproof.data import Dataset, stratified
from pixelproof.detect import Calibration, ScoreGuard, adapt, figures, matched_noise
from pixelproof.detect.detectors.evidence import Evidence, PixelSignature
from pixelproof.detect.detectors.heads import HeadHistory, fit_line, fit_network
from pixelproof.detect.detectors.signature import FITTED, SignatureScorer, rows_of
from pixelproof.detect.evaluation.noise import KINDS
from pixelproof.detect.guards.guard import SameModel
from pixelproof.draws import rng_of
from pixelproof.measure import Candidate, Examination, Split
from pixelproof.measure.signature_detectors import CALIBRATE, CLEAN, FIT, JUDGE, Score, check_enough, fitting_rows, twin
from pixelproof.results import AdaptiveRecord, RowTable, catalogue
from pixelproof.study.context import Context
from pixelproof.study.signatures import background, twins
from pixelproof.study.spec import CALIBRATED, SignatureSection
from pixelproof.types import Images, Labels, Mask, Rate

EPOCHS = 10  # as in the paper
SHARES = (0.5, CALIBRATED)  # of the images, to fit and to calibrate; the rest judges
PORTION = 100
Fitted = tuple[Score, HeadHistory | None]


def line(rows: Tensor, wanted: Tensor, held: tuple[Tensor, Tensor]) -> Fitted:
    """Logistic regression."""
    return fit_line(rows, wanted), None


def network(rows: Tensor, wanted: Tensor, held: tuple[Tensor, Tensor]) -> Fitted:
    """The paper's kind of network; its seed is fixed, so that only the rows differ between detectors."""
    return fit_network(rows, wanted, epochs=EPOCHS, rng=rng_of(0), held=held)


def as_is(rows: Tensor, wanted: Tensor, held: tuple[Tensor, Tensor]) -> Fitted:
    """Nothing is fitted: the one number is the score."""
    return (lambda asked: asked[:, 0]), None


DETECTORS: Mapping[str, tuple[str, Candidate]] = MappingProxyType(
    {
        each.name: (space, each)
        for space, each in (
            ("signatures", Candidate("network on signatures, as in the paper", network)),
            ("signatures", Candidate("network on signatures, fitted with noise", network, FITTED)),
            ("evidence", Candidate("statistics of signatures", line, FITTED)),
            ("pixels", Candidate("control: network on raw pixels", network)),
            ("pixels", Candidate("control: network on raw pixels, fitted with noise", network, FITTED)),
            ("logits", Candidate("control: sorted logits", line, FITTED)),
            ("top row", Candidate("control: mean of the top pixel row", as_is, fitted=False)),
        )
    }
)
STRONG = "statistics of signatures"


def detect(context: Context, section: SignatureSection) -> None:
    """Every detector against every attack, on images it was not fitted on."""
    if all(catalogue.SIGNATURE_DETECTORS.has(context.run, name=name) for name in DETECTORS):
        return
    split = splitting(context, section)
    check_enough(split)
    examine = Examination(section.focus, section.rate, context.study.seed)
    for number, (name, (space, candidate)) in enumerate(DETECTORS.items()):
        if not catalogue.SIGNATURE_DETECTORS.has(context.run, name=name):
            record = examine(candidate, table(context, section, space), split)
            catalogue.SIGNATURE_DETECTORS.save(context.run, record, name=name)
        context.tell("detectors", number + 1, len(DETECTORS), name)


def splitting(context: Context, section: SignatureSection) -> Split:
    """Which of the study's images are fitted, calibrated and judged on."""
    found = {spec: twins(context, spec) for spec in section.attacks}
    return divided(
        found[section.focus].labels, {spec: each.success for spec, each in found.items()}, context.study.seed
    )


def divided(labels: Labels, success: dict[str, Mask], seed: int) -> Split:
    """Half of the images to fit, 15 % to calibrate, the rest to judge: by image, every class in its share."""
    n = len(labels)
    part = torch.full((n,), JUDGE)
    part[stratified(labels, round(SHARES[0] * n), seed)] = FIT
    rest = (part == JUDGE).nonzero()[:, 0]
    part[rest[stratified(labels[rest], round(SHARES[1] * n), seed)]] = CALIBRATE
    return Split(part, success)


def table(context: Context, section: SignatureSection, space: str) -> RowTable:
    """Rows of every state of the images in one space; those that take long are kept in the run."""
    kept = catalogue.ROWS.find(context.run, space=space)
    if kept is not None:
        return kept
    states = states_of(context, section)
    rows, done = {}, 0
    total = sum(len(images) for images in states.values())
    for state, images in states.items():
        parts = []
        for part in torch.split(images, PORTION):
            parts.append(_rows(context, part, space))
            done += len(part)
            context.tell(f"detectors: {space}", done, total)
        rows[state] = torch.cat(parts)
    found = RowTable(rows)
    if space in ("signatures", "evidence"):
        catalogue.ROWS.save(context.run, found, space=space)
    return found


def states_of(context: Context, section: SignatureSection) -> dict[str, Images]:
    """The same images clean, attacked, and with every kind of noise, each as large as the attack on that image."""
    found = {spec: twins(context, spec) for spec in section.attacks}
    states = {CLEAN: found[section.focus].clean, **{spec: each.images for spec, each in found.items()}}
    generator = rng_of(context.study.seed)
    for spec, each in found.items():
        for kind in KINDS:
            states[twin(kind, spec)] = matched_noise(each.clean, each.images, generator, kind=kind)
    return states


def _rows(context: Context, images: Images, space: str) -> Tensor:
    if space == "signatures":
        return rows_of(PixelSignature(background(context)), context.model, images)
    if space == "evidence":
        return rows_of(Evidence(background(context)), context.model, images)
    if space == "logits":
        return context.model.predict(images).sort(dim=1, descending=True).values
    return images.flatten(1) if space == "pixels" else images[:, :, 0].mean((1, 2))[:, None]


def adaptive(context: Context, section: SignatureSection) -> AdaptiveRecord:
    """Attacks that fool the classifier and lower the strong detector's score at once, its weight swept."""
    split = splitting(context, section)
    rows = table(context, section, "evidence")
    guard = strong_guard(context, section, split, rows)
    judged = (split.part == JUDGE).nonzero()[:, 0][: section.adaptive]
    found = twins(context, section.focus)
    images = Dataset(context.test.name, found.clean[judged], found.labels[judged], context.test.classes)
    context.tell("adaptive attack", 0, 1, f"{len(images)} images, {section.steps} steps, every weight")
    result = adapt(
        guard,
        context.model,
        images,
        eps=section.eps,
        steps=section.steps,
        weights=section.weights,
        seed=context.study.seed,
    )
    quiet = guard(context.model, found.clean[split.part == JUDGE]).score
    unaware = guard(context.model, found.images[judged])
    pairs = [
        (found.success[judged], unaware),
        *((s.success, v) for s, v in zip(result.sets, result.verdicts, strict=True)),
    ]
    record = AdaptiveRecord(
        detector=STRONG,
        n=len(images),
        eps=section.eps,
        steps=section.steps,
        rate=section.rate,
        attacks=(f"{section.focus}, knowing nothing", *result.attacks),
        fooled=tuple(Rate(int(hit.sum()), len(hit)) for hit, _ in pairs),
        evaded=tuple(Rate(int((hit & ~verdict.alarm).sum()), len(hit)) for hit, verdict in pairs),
        auroc=tuple(
            float(figures(quiet, verdict.score[hit], resamples=0).auroc) if hit.any() else None
            for hit, verdict in pairs
        ),
        lost=result.lost,
    )
    context.tell("adaptive attack", 1, 1)
    return record


def strong_guard(context: Context, section: SignatureSection, split: Split, rows: RowTable) -> ScoreGuard:
    """The statistics detector fitted on the focus attack, with its threshold from the calibration images."""
    fitted, attacked = fitting_rows(rows, split, section.focus, FITTED)
    head = fit_line(fitted, attacked)
    calibration = Calibration(head(rows.rows[CLEAN][split.rows(CALIBRATE)]), section.rate)
    scorer = SignatureScorer(Evidence(background(context)), head)
    return ScoreGuard("signature", scorer, calibration, SameModel(context.model))
