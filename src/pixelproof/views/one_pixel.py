"""One pixel: how often it suffices, from which class to which, where, what is proven, and whether repair notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from pixelproof.results import catalogue
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.overview import rate


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


def one_pixel(run: Run) -> dict[str, Any] | None:
    """Attack rates over all images, per class and per target, and the attackability map; None without the stage."""
    if not catalogue.SURVEY.has(run):
        return None
    record, quick = catalogue.SURVEY.load(run), catalogue.SCREENED.load(run)
    classes = catalogue.CLEAN.load(run).classes
    fallen = record.attacked
    vulnerable = record.vulnerable.flatten(1).sum(1)[fallen]
    twins = catalogue.PIXEL_SET.load(run)
    return {
        "n": len(record),
        "seed": run.spec["seed"],
        "executor": record.note,
        "untargeted": rate(record.untargeted),
        "targeted": rate(record.targeted),
        "quick": {"n": len(quick), "untargeted": rate(quick.untargeted), "targeted": rate(quick.targeted)},
        "seconds": float(record.seconds.mean()),
        "quick_seconds": float(quick.seconds.mean()),
        "median_vulnerable": int(vulnerable.median()) if len(vulnerable) else None,
        "pixels": record.vulnerable[0].numel(),
        "classes": [
            {
                "class": name,
                "from": rate(Rate(int(fallen[record.labels == k].sum()), int((record.labels == k).sum()))),
                "to": rate(Rate(int(record.targets[:, k].sum()), int((record.labels != k).sum()))),
            }
            for k, name in enumerate(classes)
        ],
        "pairs": [
            [int(record.targets[record.labels == source, target].sum()) for target in range(len(classes))]
            for source in range(len(classes))
        ],
        "map": record.vulnerable.float().mean(0).tolist(),
        "tuning": len(twins.half("tuning")),
        "validation": len(twins.half("validation")),
    }


def certificate(run: Run) -> dict[str, Any] | None:
    """Attacked and certified accuracy side by side, and what the proofs cost; None where none were made."""
    if not catalogue.CERTIFICATE.has(run):
        return None
    record = catalogue.CERTIFICATE.load(run)
    proof, seconds = record.certificate, record.certificate.seconds
    spent = seconds[~proof.attacked & ~proof.wrong]
    return {
        "n": len(record.labels),
        "budget": record.budget,
        "attacked": int(proof.attacked.sum()),
        "certified": int(proof.certified.sum()),
        "undecided": int(proof.undecided.sum()),
        "robust_accuracy": rate(proof.robust_accuracy),
        "certified_accuracy": rate(proof.certified_accuracy),
        "mean_seconds": float(seconds.mean()),
        "quartiles": [float(spent.quantile(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] if len(spent) else None,
        "open_pixels": int(proof.open.sum()),
        "boxes": int(proof.boxes.sum()),
    }


def repairs(run: Run) -> dict[str, Any] | None:
    """How repair does on the validation half, and against attacks that know it; None where it was not tried."""
    if not catalogue.REPAIR.has(run):
        return None
    record = catalogue.REPAIR.load(run)
    return {
        "caught": rate(record.caught),
        "false_alarms": rate(record.false_alarms),
        "false_on_twins": rate(record.false_on_twins),
        "located": rate(record.located),
        "restored": rate(record.restored),
        "auroc": record.auroc,
        "seconds": record.seconds,
        "adaptive": [
            {"pixels": pixels, "fooled": rate(fooled), "unseen": rate(unseen)}
            for pixels, fooled, unseen in zip(record.pixels, record.fooled, record.unseen, strict=True)
        ],
    }


def pixel_examples(run: Run, limit: int) -> list[PixelExample]:
    """The first images of the validation half, in file order, with the pixels at which they were vulnerable."""
    if not catalogue.PIXEL_SET.has(run):
        return []
    twins, record = catalogue.PIXEL_SET.load(run).half("validation"), catalogue.SCREENED.load(run)
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
