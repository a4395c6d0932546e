"""The four cases of the alarm rule: counted, and shown with the training images that spoke for or against them."""

from __future__ import annotations

from typing import Any

from pixelproof import views
from pixelproof.report.page import Block, Gallery, Picture, Prose, Shot, Table, bounds, cells, percent
from pixelproof.report.pictures import photo
from pixelproof.run import Run

IN_WORDS = {
    "true positive": "attacked and alarmed",
    "false negative": "attacked, missed",
    "true negative": "clean, quiet",
    "false positive": "clean, false alarm",
}


def cases(rows: list[dict[str, Any]], attack: str, name: str) -> Table:
    """How many images of each layer fall into each case."""
    body = tuple(
        cells(
            row["layer"],
            *(f"{row[case]['hits']}: {percent(row[case]['value'])} {bounds(row[case])}" for case in IN_WORDS),
            head=1,
        )
        for row in rows
    )
    return Table(
        name=name,
        caption=f"The four cases, {attack}",
        columns=("layer", *(f"{words} ({case}), of {rows[0][case]['n']}" for case, words in IN_WORDS.items())),
        bodies=(body,),
        compact=True,
        note="Judging half; each case among the images of its kind, with its 95 % interval.",
    )


def galleries(run: Run) -> list[Block]:
    """A few images of each case, and of those on which the layers disagree, with their nearest training images."""
    shown = views.witnesses(run)
    found: list[Block] = []
    for case in dict.fromkeys(witness.case for witness in shown):
        shots = tuple(_shot(witness) for witness in shown if witness.case == case)
        title = f"{case.capitalize()}: {IN_WORDS.get(case, 'attacked, some layers alarm and others do not')}"
        found.append(Gallery(f"case-{case.replace(' ', '-')}", title, shots, ""))
    if found:
        most = max(len(witness.neighbours) for witness in shown)
        said = (
            f"The first images of each case in file order, judged by the composed layer: the image, then its {most} "
            "nearest correctly classified training images, nearest first."
        )
        return [Prose(said), *found]
    return found


def _shot(witness: views.Witness) -> Shot:
    what = f"test image {witness.index}"
    pictures = [Picture(photo(witness.image), f"{what}, a {witness.label} taken for {witness.predicted}")]
    pictures += [
        Picture(photo(picture), f"neighbour {place + 1} of {what}, a {label}")
        for place, (picture, label) in enumerate(witness.neighbours)
    ]
    named = f"; neighbours say {witness.named}" if witness.named else ""
    layers = ", ".join(witness.alarms) or "none"
    return Shot(
        tuple(pictures),
        what,
        f"{witness.label} → {witness.predicted}",
        f"#{witness.index} · {witness.strangers} of {witness.k} neighbours of other classes{named} · alarms: {layers}",
        witness.case.endswith("positive"),
        "alarm" if witness.case.endswith("positive") else "layers disagree" if "layers" in witness.case else "quiet",
    )
