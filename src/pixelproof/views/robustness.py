"""What every attack left standing at every budget: in curves, taken together, and where its examples are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field

from pixelproof.results import AttackRecord, CleanRecord
from pixelproof.scores import median
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Lacking, Missing, or_missing
from pixelproof.views.attack_records import family, is_control, records
from pixelproof.views.audits import Audited, audits
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import overview


class RobustnessRow(Answer):
    """One attack at one budget. Medians are over the broken images, null when there are none."""

    attack: str = Field(description="As the study names it.")
    family: str = Field(description="The attack's name without its settings.")
    control: bool = Field(description="Whether this is noise, to compare attacks with.")
    spec: str = Field(description="The attack with the settings that ran.")
    norm: str = Field(description="Of the budget, or of the distance that is made small.")
    eps: float | None = Field(description="Null for attacks that look for the smallest change.")
    seed: int = Field(description="That its random numbers were drawn with.")
    n: int = Field(description="Attacked images: those classified correctly before.")
    misclassified: int = Field(description="Those of them that the attack broke.")
    misclassified_8bit: int = Field(description="Those that stay broken when saved with 8 bits per value.")
    robust_accuracy: Rate = Field(description="Of all images judged, those right and not broken: an upper bound.")
    left_standing: Rate = Field(description="Of the attacked images, those not broken: an upper bound.")
    median_first_break: float | None = Field(description="Forward pass; null when it never looked or shares its cost.")
    median_distance: dict[str, float | None] = Field(description="By norm.")
    forwards_per_image: float = Field(description="Forward passes, mean over the attacked images.")
    backwards_per_image: float = Field(description="Backward passes, mean over the attacked images.")
    seconds: float = Field(description="That the attack took on all images.")
    shared_cost: bool = Field(description="Whether passes and seconds are those of one search over several budgets.")
    per_class: tuple[Rate, ...] = Field(description="Robust accuracy of every class, in the order of the classes.")
    set: str | None = Field(description="Id of the set with its examples; null when none were kept.")
    notes: tuple[str, ...] = Field(description="How the attack went where it did not go as usual.")


class Curve(Answer):
    """Robust accuracy over eps for one attack; points in ascending order."""

    attack: str = Field(description="As the study names it.")
    family: str = Field(description="The attack's name without its settings.")
    control: bool = Field(description="Whether this is noise, to compare attacks with.")
    norm: str = Field(description="Of the budgets.")
    seed: int = Field(description="That its random numbers were drawn with.")
    points: tuple[RobustnessRow, ...] = Field(description="One per budget, ascending.")


class WorstCase(Answer):
    """All attacks of one norm and budget, controls aside: the strongest, and what none of them broke."""

    norm: str = Field(description="Of the budget.")
    eps: float = Field(description="The budget in that norm.")
    n: int = Field(description="Attacked images: those classified correctly before.")
    strongest: str = Field(description="The attack that broke most; of equals the one named first.")
    robust_accuracy: Rate = Field(description="What the strongest leaves, of all images judged.")
    together: Rate = Field(description="Robust accuracy under all: of all images judged, those right that none broke.")
    left_standing: Rate = Field(description="As `together`, but of the attacked images.")
    attacks: tuple[str, ...] = Field(description="Those that are put together.")


class Sampled(Answer):
    """What an attack of [signatures] or [guards] left standing of the images that it was run on."""

    source: str = Field(description="The section of the study: signatures or guards.")
    attack: str = Field(description="As the study names it.")
    label: str = Field(description="Attack and budget, for the reader.")
    norm: str = Field(description="Of the budget.")
    eps: float | None = Field(description="The budget; null for attacks that look for the smallest change.")
    seed: int = Field(description="That its random numbers were drawn with.")
    left_standing: Rate = Field(description="Of the attacked images, which were all classified correctly before.")
    set: str = Field(description="Id of the set with its examples.")


class Unpaired(Answer):
    """A norm and budget at which FGSM ran and PGD did not: an FGSM number alone says little."""

    norm: str = Field(description="Of the budget.")
    eps: float | None = Field(description="The budget in that norm.")


class Robustness(Answer):
    """Curves with intervals: upper bounds, every one of them."""

    available: Literal[True] = True
    clean_accuracy: Rate = Field(description="Of all clean test images.")
    curves: tuple[Curve, ...] = Field(description="In the study's order.")
    together: tuple[WorstCase, ...] = Field(description="One per norm and budget.")
    sampled: tuple[Sampled, ...] = Field(description="Attacks of other sections, on their own samples of images.")
    unpaired: tuple[Unpaired, ...] = Field(description="Where FGSM ran and PGD did not.")
    focus: RobustnessRow | None = Field(description="The attack and budget to look at first, chosen by rule.")
    audit: tuple[Audited, ...] | Missing = Field(description="Audits of this classifier that lie in the run.")

    @property
    def rows(self) -> tuple[RobustnessRow, ...]:
        """Every attack at every budget."""
        return tuple(row for curve in self.curves for row in curve.points)

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks, as the study names them."""
        return tuple(curve.attack for curve in self.curves)


def robustness(opened: OpenRun) -> Robustness:
    """Curves by attack, all attacks together, and what to look at first; Lacking where nothing was attacked."""
    return opened.kept(_robustness)


def _robustness(opened: OpenRun) -> Robustness:
    found = list(records(opened.run))
    rows, sampled = list(_rows(opened, found)), tuple(_sampled(opened))
    if not rows and not sampled:
        raise Lacking("robustness", "This run attacked nothing.", "Add [attacks] with specs = [...] to the study.")
    return Robustness(
        clean_accuracy=overview(opened).clean_accuracy,
        curves=tuple(_curves(rows)),
        together=tuple(_worst_cases(found)),
        sampled=sampled,
        unpaired=tuple(_unpaired(rows)),
        focus=_focus(rows),
        audit=or_missing(lambda: audits(opened)),
    )


def _rows(opened: OpenRun, found: list[AttackRecord]) -> Iterator[RobustnessRow]:
    kept = {(each.attack, each.eps): each.id for each in opened.sets if each.source == "attacks"}
    for record in found:
        broken = int(record.success.sum())
        seen = record.first_break[record.success & (record.first_break >= 0)]
        yield RobustnessRow(
            attack=record.label,
            family=family(record.label),
            control=is_control(record.label),
            spec=record.spec,
            norm=record.norm,
            eps=record.eps,
            seed=record.seed,
            n=len(record),
            misclassified=broken,
            misclassified_8bit=int(record.success_8bit.sum()),
            robust_accuracy=Rate(len(record) - broken, record.offered),
            left_standing=Rate(len(record) - broken, len(record)),
            median_first_break=None if record.shared_cost else median(seen),
            median_distance={norm: median(values[record.success]) for norm, values in record.distance.items()},
            forwards_per_image=float(record.forwards.double().mean()),
            backwards_per_image=float(record.backwards.double().mean()),
            seconds=record.seconds,
            shared_cost=record.shared_cost,
            per_class=_classes(record, opened.clean),
            set=kept.get((record.label, record.eps)),
            notes=record.notes,
        )


def _classes(record: AttackRecord, clean: CleanRecord) -> tuple[Rate, ...]:
    """Of every class all test images count, as the attacks were offered them all."""
    classes = len(clean.classes)
    n = torch.bincount(clean.labels, minlength=classes).tolist()
    standing = torch.bincount(record.labels[~record.success], minlength=classes).tolist()
    return tuple(Rate(hits, of) for hits, of in zip(standing, n, strict=True))


def _curves(rows: list[RobustnessRow]) -> Iterator[Curve]:
    for name in dict.fromkeys(row.attack for row in rows):
        own = tuple(row for row in rows if row.attack == name)
        first = own[0]
        yield Curve(
            attack=name, family=first.family, control=first.control, norm=first.norm, seed=first.seed, points=own
        )


def _worst_cases(found: list[AttackRecord]) -> Iterator[WorstCase]:
    cells: dict[tuple[str, float], list[AttackRecord]] = {}
    for record in found:
        if record.eps is not None and not is_control(record.label):
            cells.setdefault((record.norm, record.eps), []).append(record)
    for (norm, eps), group in sorted(cells.items()):
        strongest = max(group, key=lambda record: int(record.success.sum()))
        broken = torch.stack([record.success for record in group]).any(0)
        standing = int((~broken).sum())
        yield WorstCase(
            norm=norm,
            eps=eps,
            n=len(strongest),
            strongest=strongest.label,
            robust_accuracy=Rate(int((~strongest.success).sum()), strongest.offered),
            together=Rate(standing, strongest.offered),
            left_standing=Rate(standing, len(strongest)),
            attacks=tuple(record.label for record in group),
        )


def _sampled(opened: OpenRun) -> Iterator[Sampled]:
    """What the attacks of the other sections left standing of the images that they were run on."""
    for each in opened.sets:
        if each.source not in ("signatures", "guards") or each.attacked != len(each):
            continue
        if each.attack is None or each.attack == "pixels":  # chosen for its successes, it says nothing of a rate
            continue
        yield Sampled(
            source=each.source,
            attack=each.attack,
            label=each.label,
            norm=each.norm or "",
            eps=each.eps,
            seed=each.seed or 0,
            left_standing=Rate(int((~each.success).sum()), len(each)),
            set=each.id,
        )


def _unpaired(rows: list[RobustnessRow]) -> Iterator[Unpaired]:
    ran = {(row.family, row.norm, row.eps) for row in rows}
    alone = [(norm, eps) for name, norm, eps in ran if name == "fgsm" and ("pgd", norm, eps) not in ran]
    for norm, eps in sorted(alone, key=lambda cell: (cell[0], cell[1] or 0.0)):
        yield Unpaired(norm=norm, eps=eps)


def _focus(rows: list[RobustnessRow]) -> RobustnessRow | None:
    """The row to look at closely, chosen by rule, never by what looks good; None without budgets.

    The attack that broke most images over all its budgets (controls only when there is nothing else), at the budget
    that leaves closest to half of the attacked images, so that successes and failures are both there. Ties: first,
    smallest.
    """
    with_budget = [row for row in rows if row.eps is not None]
    wanted = [row for row in with_budget if not row.control] or with_budget
    if not wanted:
        return None
    totals: dict[str, int] = {}
    for row in wanted:
        totals[row.attack] = totals.get(row.attack, 0) + row.misclassified
    attack = max(totals, key=lambda label: totals[label])
    own = [row for row in wanted if row.attack == attack]
    return min(own, key=lambda row: (abs(float(row.left_standing) - 0.5), row.eps or 0.0))
