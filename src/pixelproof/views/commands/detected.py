"""What `detect` found: the guard, its verdicts on pictures, and what it is worth on test images."""

from __future__ import annotations

from pydantic import Field

from pixelproof.detect import Neighbours, Verdict
from pixelproof.detect.building import TunedLayer
from pixelproof.measure.flags import chance
from pixelproof.results import KnownRecord
from pixelproof.results.detection import AttackedTest, DetectionRecord, PictureVerdicts
from pixelproof.types import Rate
from pixelproof.views.answer import Answer


class PictureEvidence(Answer):
    """What the neighbours in one layer say of a picture."""

    layer: str = Field(description="The layer, or 'composed'.")
    alarm: bool = Field(description="Whether this layer alarms.")
    votes: dict[str, int] = Field(description="Neighbours by class.")
    recovered: str | None = Field(description="The class that the neighbours name; null where they name none.")
    neighbours: tuple[int, ...] = Field(description="Positions of training images in the original file.")
    distances: tuple[float, ...] = Field(description="To those, ascending.")


class PictureRow(Answer):
    """The verdict on one picture."""

    image: str = Field(description="Its file, or its place in the .npz.")
    predicted: str = Field(description="The model's class.")
    score: float = Field(description="Higher is stranger.")
    threshold: float = Field(description="Of the score.")
    p_value: float = Field(description="Share of clean calibration images at least as strange.")
    alarm: bool = Field(description="Whether the guard alarms.")
    recovered: str | None = Field(description="The class that the guard names; null where it names none.")
    layers: tuple[PictureEvidence, ...] = Field(description="Layer by layer, where the guard has neighbours.")


class GuardedAttack(Answer):
    """The guard against one attack; figures are null where the attack fooled no image."""

    attack: str = Field(description="As a spec.")
    fooled: int = Field(description="Images that it fooled.")
    attacked: int = Field(description="Images that it was given.")
    auroc: float | None = Field(description="Of fooling against clean images.")
    auroc_interval: tuple[float, float] | None = Field(description="95 % interval.")
    alarms: Rate | None = Field(description="Fooling images that are alarmed.")
    recovered: Rate | None = Field(
        description="Those whose recovered class is right; null for a guard that names none."
    )
    remark: str | None = Field(description="What a reader must know about the figures.")
    second_class: Rate | None = Field(description="Those whose second highest logit is right.")
    milliseconds_per_image: float | None = Field(description="What the guard takes.")


class KnowingAttacks(Answer):
    """What attacks that know the guard reach."""

    eps: float = Field(description="In linf.")
    steps: int = Field(description="Of each attack.")
    attacks: tuple[str, ...] = Field(description="Their names.")
    evaded: Rate = Field(description="Images that one of them turns without an alarm.")


class DetectionAnswer(Answer):
    """A guard of a model, and what it said."""

    detector: str = Field(description="As it was asked for.")
    tune: str | None = Field(description="The attack that k was tuned on.")
    rate: float = Field(description="The share of clean images that may be alarmed.")
    fit: int = Field(description="Training images at most.")
    seed: int = Field(description="Of fit, samples and attacks.")
    attack: str | None = Field(description="What a detector that learns from attacked images was fitted on.")
    model: str = Field(description="Its digest.")
    network: str = Field(description="The model's name.")
    data: str = Field(description="The data set.")
    new: bool = Field(description="Whether the guard was made now.")
    tuned: tuple[TunedLayer, ...] = Field(description="One row per layer; empty without tuning.")
    settings: str = Field(description="The detector with every setting that ran.")
    folder: str | None = Field(description="Where the guard is kept; null where nowhere.")
    mute: bool = Field(description="Whether no image can ever be alarmed.")
    images: tuple[PictureRow, ...] | None = Field(description="Null where no pictures were given.")
    test_images: int | None = Field(description="Null where no test images were judged, as the three below.")
    clean_accuracy: Rate | None = Field(description="Of all clean test images; null where none were judged.")
    false_alarms: Rate | None = Field(description="Of all clean test images.")
    natural_error_alarms: Rate | None = Field(description="Of the misclassified ones.")
    attacks: tuple[GuardedAttack, ...] | None = Field(
        description="Against each attack, null where no test images were judged."
    )
    known: KnowingAttacks | None = Field(description="Null without --adaptive.")
    warnings: tuple[str, ...] = Field(description="What makes every figure doubtful.")


def detected(record: DetectionRecord, *, new: bool, folder: str | None) -> DetectionAnswer:
    """What `detect` found as an answer; `new`: the guard was not in the folder before."""
    asked, tested, pictures = record.asked, record.tested, record.pictures
    clean = None if tested is None else Rate(tested.n - tested.clean.on_wrong.n, tested.n)
    return DetectionAnswer(
        detector=asked.detector,
        tune=asked.tune,
        rate=asked.rate,
        fit=asked.fit,
        seed=asked.seed,
        attack=asked.attack,
        model=record.model,
        network=record.network,
        data=record.data,
        new=new,
        tuned=record.tuned,
        settings=record.settings,
        folder=folder,
        mute=record.mute,
        images=None if pictures is None else _pictures(pictures, record.classes),
        test_images=None if tested is None else tested.n,
        clean_accuracy=clean,
        false_alarms=None if tested is None else tested.clean.false_alarms,
        natural_error_alarms=None if tested is None else tested.clean.on_wrong,
        attacks=None if tested is None else tuple(_against(spec, one) for spec, one in tested.attacks.items()),
        known=None if record.known is None else _knowing(record.known),
        warnings=tuple(filter(None, [] if clean is None else [chance(clean, len(record.classes))])),
    )


def _pictures(found: PictureVerdicts, classes: tuple[str, ...]) -> tuple[PictureRow, ...]:
    verdict = found.verdict
    return tuple(
        PictureRow(
            image=name,
            predicted=classes[int(found.predicted[row])],
            score=float(verdict.score[row]),
            threshold=verdict.threshold,
            p_value=float(verdict.p_value[row]),
            alarm=bool(verdict.alarm[row]),
            recovered=_class(verdict, row, classes),
            layers=tuple(_evidence(layer, row, classes) for layer in verdict.evidence),
        )
        for row, name in enumerate(found.names)
    )


def _class(found: Verdict | Neighbours, row: int, classes: tuple[str, ...]) -> str | None:
    return None if found.recovered[row] < 0 else classes[int(found.recovered[row])]


def _evidence(layer: Neighbours, row: int, classes: tuple[str, ...]) -> PictureEvidence:
    return PictureEvidence(
        layer=layer.layer,
        alarm=bool(layer.alarm[row]),
        votes={classes[label]: count for label, count in enumerate(layer.votes[row].tolist()) if count},
        recovered=_class(layer, row, classes),
        neighbours=tuple(layer.index[row].tolist()),
        distances=tuple(round(value, 6) for value in layer.distance[row].tolist()),
    )


def _against(spec: str, one: AttackedTest) -> GuardedAttack:
    found = one.found
    auroc = None if found is None else found.figures.auroc
    return GuardedAttack(
        attack=spec,
        fooled=one.fooled,
        attacked=one.attacked,
        auroc=None if auroc is None else auroc.value,
        auroc_interval=None if auroc is None else (auroc.low, auroc.high),
        alarms=None if found is None else found.alarms,
        recovered=None if found is None else found.recovered,
        remark=None if found is None else found.remark,
        second_class=None if found is None else found.second,
        milliseconds_per_image=None if found is None else round(1000 * found.seconds_per_image, 3),
    )


def _knowing(known: KnownRecord) -> KnowingAttacks:
    return KnowingAttacks(eps=known.eps, steps=known.steps, attacks=known.attacks, evaded=known.lost)
