"""One pixel: how often it suffices, from which class to which, where, what is proven, and whether repair notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from pixelproof.results import PixelSurvey, catalogue
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Lacking
from pixelproof.views.open_run import OpenRun


class OnePixelClass(Answer):
    """What one pixel does to the images of one class, and how many others it turns into that class."""

    name: str = Field(description="Of the class.")
    fallen: Rate = Field(description="Images of it for which some pixel reaches another class.")
    reached: Rate = Field(description="Images of other classes for which some pixel reaches it.")


class QuickSearch(Answer):
    """The search of the pixels that the gradient points at, on more images: a miss proves nothing."""

    n: int = Field(description="Images that were searched.")
    untargeted: Rate = Field(description="Images that fall to some class.")
    targeted: Rate = Field(description="Pairs of an image and a wrong class that are reached.")
    seconds: float = Field(description="CPU seconds per image.")


class OnePixelProofs(Answer):
    """Attacks and proofs of the first test images, and what they cost."""

    n: int = Field(description="The correctly classified of them: they are attacked, and proven where none falls.")
    offered: int = Field(description="Test images looked at, in file order.")
    budget: float = Field(description="CPU seconds that a proof of one image may take.")
    attacked: int = Field(description="Images for which a pixel was found.")
    certified: int = Field(description="Images proven safe from every pixel in every colour.")
    undecided: int = Field(description="Images on which the budget ran out.")
    robust_accuracy: Rate = Field(description="Of all images looked at, those right and not attacked: an upper bound.")
    left_standing: Rate = Field(description="Of the correctly classified, those not attacked: an upper bound.")
    certified_accuracy: Rate = Field(description="Of all images looked at, those right and proven: a lower bound.")
    proven: Rate = Field(description="Of the correctly classified, those proven: a lower bound.")
    mean_seconds: float = Field(description="CPU seconds per image.")
    quartiles: tuple[float, ...] | None = Field(
        description="Least, quartiles and most of the images that were not attacked; null where all were."
    )
    open_pixels: int = Field(description="Pixels without a verdict, over all images.")
    boxes: int = Field(description="Boxes of colours that were bounded.")


class AdaptiveRepair(Answer):
    """An attack that knows the detector by repair and changes so many pixels."""

    pixels: int = Field(description="That the attack may change.")
    fooled: Rate = Field(description="Images that fool the classifier, seen or unseen.")
    unseen: Rate = Field(description="Images that fool the classifier without an alarm.")


class RepairFindings(Answer):
    """Detection by repair on the validation half of the one-pixel twins, and against attacks that know it."""

    caught: Rate = Field(description="Twins that are alarmed.")
    false_alarms: Rate = Field(description="Correctly classified test images that are alarmed.")
    false_on_twins: Rate = Field(description="The twins' clean images that are alarmed.")
    located: Rate = Field(description="Twins whose changed pixel is found.")
    restored: Rate = Field(description="Twins whose true label comes back.")
    auroc: float = Field(description="Of twins against correctly classified test images.")
    seconds: float = Field(description="CPU seconds per image.")
    adaptive: tuple[AdaptiveRepair, ...] = Field(description="One per number of pixels.")


class OnePixelFindings(Answer):
    """Every pixel in every corner colour of correctly classified images, and what else was made of it."""

    available: Literal[True] = True
    n: int = Field(description="Images.")
    seed: int = Field(description="That random numbers were drawn with.")
    executor: str = Field(description="How the candidates were judged.")
    untargeted: Rate = Field(description="Images that fall to some class.")
    targeted: Rate = Field(description="Pairs of an image and a wrong class that are reached.")
    seconds: float = Field(description="CPU seconds per image.")
    quick: QuickSearch = Field(description="What a faster search finds.")
    median_vulnerable: int | None = Field(description="Pixels, of the images that fall; null where none does.")
    pixels: int = Field(description="Of one image.")
    classes: tuple[OnePixelClass, ...] = Field(description="In the order of the classes.")
    pairs: tuple[tuple[int, ...], ...] = Field(description="Images of a class (row) that reach another (column).")
    map: tuple[tuple[float, ...], ...] = Field(description="Share of the images that are vulnerable at each pixel.")
    tuning: int = Field(description="Twins in the half that detectors are tuned on.")
    validation: int = Field(description="Twins in the half that judges them.")
    proofs: OnePixelProofs | None = Field(description="null where the study asked for none.")
    repair: RepairFindings | None = Field(description="null where it was not tried.")


@dataclass(frozen=True, eq=False)
class PixelExample:
    """One image and its one-pixel twin, the changed pixel (row, column), and where else the image was vulnerable."""

    index: int
    label: str
    target: str
    clean: Tensor
    image: Tensor
    place: tuple[int, int]
    vulnerable: Bool[Tensor, "h w"]


def one_pixel(opened: OpenRun) -> OnePixelFindings:
    """Attack rates over all images, per class and per target, the attackability map, proofs and repair.

    Lacking where the study has no [pixels].
    """
    run = opened.run
    record = catalogue.SURVEY.find(run)
    if record is None:
        raise Lacking("one-pixel attacks", "This run's images were not searched.", "Add [pixels] to the study.")
    quick, twins, classes = catalogue.SCREENED.load(run), catalogue.PIXEL_SET.load(run), opened.clean.classes
    vulnerable = record.vulnerable.flatten(1).sum(1)[record.attacked]
    return OnePixelFindings(
        n=len(record),
        seed=run.spec["seed"],
        executor=record.note,
        untargeted=record.untargeted,
        targeted=record.targeted,
        seconds=float(record.seconds.mean()),
        quick=QuickSearch(
            n=len(quick),
            untargeted=quick.untargeted,
            targeted=quick.targeted,
            seconds=float(quick.seconds.mean()),
        ),
        median_vulnerable=int(vulnerable.median()) if len(vulnerable) else None,
        pixels=record.vulnerable[0].numel(),
        classes=tuple(_of_class(record, k, name) for k, name in enumerate(classes)),
        pairs=tuple(
            tuple(int(record.targets[record.labels == source, target].sum()) for target in range(len(classes)))
            for source in range(len(classes))
        ),
        map=tuple(map(tuple, record.vulnerable.float().mean(0).tolist())),
        tuning=len(twins.half("tuning")),
        validation=len(twins.half("validation")),
        proofs=_proofs(run),
        repair=_repair(run),
    )


def _of_class(record: PixelSurvey, k: int, name: str) -> OnePixelClass:
    own = record.labels == k
    return OnePixelClass(
        name=name,
        fallen=Rate(int(record.attacked[own].sum()), int(own.sum())),
        reached=Rate(int(record.targets[:, k].sum()), int((~own).sum())),
    )


def _proofs(run: Run) -> OnePixelProofs | None:
    record = catalogue.CERTIFICATE.find(run)
    if record is None:
        return None
    proof, seconds = record.certificate, record.certificate.seconds
    spent = seconds[~proof.attacked & ~proof.wrong]
    return OnePixelProofs(
        n=len(record.labels),
        offered=record.offered,
        budget=record.budget,
        attacked=int(proof.attacked.sum()),
        certified=int(proof.certified.sum()),
        undecided=int(proof.undecided.sum()),
        robust_accuracy=record.robust_accuracy,
        left_standing=record.left_standing,
        certified_accuracy=record.certified_accuracy,
        proven=record.proven,
        mean_seconds=float(seconds.mean()),
        quartiles=tuple(float(spent.quantile(q)) for q in (0.0, 0.25, 0.5, 0.75, 1.0)) if len(spent) else None,
        open_pixels=int(proof.open.sum()),
        boxes=int(proof.boxes.sum()),
    )


def _repair(run: Run) -> RepairFindings | None:
    record = catalogue.REPAIR.find(run)
    if record is None:
        return None
    return RepairFindings(
        caught=record.caught,
        false_alarms=record.false_alarms,
        false_on_twins=record.false_on_twins,
        located=record.located,
        restored=record.restored,
        auroc=record.auroc,
        seconds=record.seconds,
        adaptive=tuple(
            AdaptiveRepair(pixels=pixels, fooled=fooled, unseen=unseen)
            for pixels, fooled, unseen in zip(record.pixels, record.fooled, record.unseen, strict=True)
        ),
    )


def pixel_examples(run: Run, limit: int) -> list[PixelExample]:
    """The first images of the validation half, in file order, with the pixels at which they were vulnerable."""
    found = catalogue.PIXEL_SET.find(run)
    if found is None:
        return []
    twins, record = found.half("validation"), catalogue.SCREENED.load(run)
    classes = catalogue.CLEAN.load(run).classes
    places = {index: row for row, index in enumerate(record.index.tolist())}
    width = twins.found.clean.shape[3]
    return [
        PixelExample(
            index=int(twins.found.index[row]),
            label=classes[int(twins.found.labels[row])],
            target=classes[int(twins.found.goal.labels[row])],
            clean=twins.found.clean[row],
            image=twins.found.images[row],
            place=(int(twins.position[row]) // width, int(twins.position[row]) % width),
            vulnerable=record.vulnerable[places[int(twins.found.index[row])]],
        )
        for row in twins.found.index.argsort()[:limit].tolist()
    ]
