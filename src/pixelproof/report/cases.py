"""The four cases of the alarm rule: counted, and shown with the training images that spoke for or against them."""

from __future__ import annotations

from collections.abc import Sequence

from pixelproof import views
from pixelproof.report.page import Block, Picture, PictureGallery, Prose, Shot, Table, cells, interval
from pixelproof.report.pictures import photo
from pixelproof.run import Run
from pixelproof.types import Rate
from pixelproof.views.neighbour_rows import CaseCounts

IN_WORDS = {
    "true positive": "attacked and alarmed",
    "false negative": "attacked, missed",
    "true negative": "clean, quiet",
    "false positive": "clean, false alarm",
}


def cases(rows: Sequence[CaseCounts], name: str, subject: str) -> Table:
    """How many images of each layer fall into each case; `subject` says of which attack and rule."""
    sizes = [rate.n for rate in _counted(rows[0])]
    heads = zip(IN_WORDS.items(), sizes, strict=True)
    return Table(
        name=name,
        caption=f"The four cases, {subject}",
        columns=("layer", *(f"{words} ({case}), of {n}" for (case, words), n in heads)),
        bodies=(tuple(cells(row.layer, *map(_count, _counted(row)), head=1) for row in rows),),
        compact=True,
        note="Judging half; each case among the images of its kind, with its 95 % interval.",
    )


def _counted(row: CaseCounts) -> tuple[Rate, ...]:
    """In the order of `IN_WORDS`."""
    return row.true_positive, row.false_negative, row.true_negative, row.false_positive


def _count(rate: Rate) -> str:
    return f"{rate.hits}: {interval(rate)}"


def galleries(run: Run) -> list[Block]:
    """A few images of each case, and of those on which the layers disagree, with their nearest training images."""
    shown = views.case_images(run)
    found: list[Block] = []
    for case in dict.fromkeys(one.case for one in shown):
        shots = tuple(_shot(one) for one in shown if one.case == case)
        title = f"{case.capitalize()}: {IN_WORDS.get(case, 'attacked, some layers alarm and others do not')}"
        found.append(PictureGallery(f"case-{case.replace(' ', '-')}", title, shots, ""))
    if found:
        most = max(len(one.neighbours) for one in shown)
        said = (
            f"The first images of each case in file order, judged by the composed layer: the image, then its {most} "
            "nearest correctly classified training images, nearest first."
        )
        return [Prose(said), *found]
    return found


def _shot(one: views.CaseImage) -> Shot:
    what = f"test image {one.index}"
    pictures = [Picture(photo(one.image), f"{what}, a {one.label} taken for {one.predicted}")]
    pictures += [
        Picture(photo(picture), f"neighbour {place + 1} of {what}, a {label}")
        for place, (picture, label) in enumerate(one.neighbours)
    ]
    named = f"; neighbours say {one.named}" if one.named else ""
    layers = ", ".join(one.alarms) or "none"
    return Shot(
        tuple(pictures),
        what,
        f"{one.label} → {one.predicted}",
        f"#{one.index} · {one.strangers} of {one.k} neighbours of other classes{named} · alarms: {layers}",
        one.case.endswith("positive"),
        "alarm" if one.case.endswith("positive") else "layers disagree" if "layers" in one.case else "quiet",
    )
