"""The stage that keeps a few images of each case, with the training images that speak for or against them."""

from __future__ import annotations

import torch
from torch import Tensor

from pixelproof.results import CaseRecord, NeighbourRecord, VerdictRecord, catalogue
from pixelproof.results.neighbours import CLEAN
from pixelproof.study.context import Context
from pixelproof.study.guard_section import GuardSection
from pixelproof.study.guarding import images_of, neighbours
from pixelproof.study.training import load
from pixelproof.types import Mask

SHOWN, NEAREST = 3, 5
CASES = {
    "true positive": (True, True),
    "false negative": (True, False),
    "true negative": (False, False),
    "false positive": (False, True),
}
DISAGREE = "layers disagree"


def cases(context: Context, section: GuardSection) -> CaseRecord:
    """The first images, in file order, of each of the four cases, and of those on which the layers disagree."""
    attack = section.focus
    records = {state: neighbours(context, state) for state in (CLEAN, attack)}
    said = {state: catalogue.VERDICTS.load(context.run, state=state) for state in (CLEAN, attack)}
    chosen = [
        (case, attack if attacked else CLEAN, row)
        for case, (attacked, alarm) in CASES.items()
        for row in _first(records, said, attack if attacked else CLEAN, alarm=alarm)
    ]
    chosen += [(DISAGREE, attack, row) for row in _first(records, said, attack, alarm=None)]
    context.tell("examples of each case", 0, 1, f"{len(chosen)} images")
    record = _record(context, attack, chosen, records, said)
    context.tell("examples of each case", 1, 1)
    return record


def _first(
    records: dict[str, NeighbourRecord], said: dict[str, VerdictRecord], state: str, *, alarm: bool | None
) -> list[int]:
    """Rows of attacked images that fell or of correct clean ones; `alarm` None: those on which layers disagree."""
    record, verdict = records[state], said[state]
    kept: Mask = verdict.validation & (~verdict.fooled if state == CLEAN else verdict.fooled)
    layers = verdict.alarm[:, :-1]
    kept = kept & (layers.any(1) & ~layers.all(1) if alarm is None else verdict.alarm[:, -1] == alarm)
    rows = kept.nonzero()[:, 0]
    return rows[record.index[rows].argsort()][:SHOWN].tolist()


def _record(
    context: Context,
    attack: str,
    chosen: list[tuple[str, str, int]],
    records: dict[str, NeighbourRecord],
    said: dict[str, VerdictRecord],
) -> CaseRecord:
    images = {state: images_of(context, state).images for state in records}
    training = load(context, "train")
    place = {int(index): row for row, index in enumerate(training.index)}

    def gathered(name: str, source: dict[str, NeighbourRecord] | dict[str, VerdictRecord]) -> Tensor:
        return torch.stack([getattr(source[state], name)[row] for _, state, row in chosen])

    near = gathered("neighbours", records)[:, -1, :NEAREST]
    rows = torch.tensor([place[int(index)] for index in near.flatten()])
    return CaseRecord(
        attack=attack,
        layers=said[CLEAN].layers,
        k=said[CLEAN].k[-1],
        case=tuple(case for case, _, _ in chosen),
        attacked=torch.tensor([state != CLEAN for _, state, _ in chosen]),
        index=gathered("index", records),
        labels=gathered("labels", records),
        predicted=gathered("predicted", records),
        recovered=gathered("recovered", said)[:, -1],
        strangers=gathered("strangers", said)[:, -1],
        alarm=gathered("alarm", said),
        images=torch.stack([images[state][row] for _, state, row in chosen]),
        neighbours=near,
        neighbour_labels=gathered("neighbour_labels", records)[:, -1, :NEAREST],
        pictures=training[rows].images.view(*near.shape, *training.shape),
    )
