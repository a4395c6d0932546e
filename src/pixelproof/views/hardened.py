"""The rows of [defences]: what each hardened model holds and costs, beside the plain one, and what its audit says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from pixelproof.measure.significance import nested, paired
from pixelproof.results import HardenedRecord, catalogue
from pixelproof.run import Run
from pixelproof.scores import Scores, confusion
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, Estimate
from pixelproof.views.overview import Macro
from pixelproof.views.training import TrainingHistory

ON = "on:"
COMPARED = ("clean", "pgd", "auto")  # the attacks under which a row is compared with the plain model


class Spread(Answer):
    """The mean over training seeds with the lowest and highest; of one seed its 95 % interval over images."""

    value: float = Field(description="Mean over seeds.")
    low: float = Field(description="Lowest seed, or lower end of the interval.")
    high: float = Field(description="Highest seed, or upper end of the interval.")
    seeds: int = Field(description="Training seeds.")


class Held(Answer):
    """Robust accuracy, of all images of the same sample, under one attack; `eps` is 0 where nothing attacked."""

    name: str = Field(description="Its name in tables: the attack, after 'on:' with the mask on, another eps after @.")
    attack: str = Field(description="Its name; 'clean' where nothing attacked.")
    eps: float = Field(description="The budget.")
    mask_on: bool = Field(description="Whether the defence's mask was also on while judging.")
    accuracy: Spread = Field(description="Share of the row's n images that are classified correctly.")


class Versus(Answer):
    """Hardened minus plain model on the same images under one attack, with its 95 % bootstrap interval."""

    attack: str = Field(description="Its name in tables.")
    n: int = Field(description="Images.")
    seeds: int = Field(description="Training seeds that are compared.")
    difference: Estimate = Field(description="Of accuracies.")


class RowAudit(Answer):
    """What the audit of a row's model said, on n images."""

    mask_on: bool = Field(description="Whether the defence's mask was on at test.")
    verdict: str = Field(description="In one sentence.")
    believable: bool = Field(description="Whether no red flag blocks the bound.")
    raised: tuple[str, ...] = Field(description="Red flags that were raised.")
    n: int = Field(description="Images that were audited.")


class ClaimedRow(Answer):
    """What the paper says of a row: accuracies in training, at test and under attack, and the added training time."""

    training: float | None = Field(description="Accuracy on training images; null where the paper has none.")
    clean: float | None = Field(description="Accuracy on clean test images.")
    robust: float | None = Field(description="Accuracy under the paper's attack.")
    time: float | None = Field(description="Added training time, as the paper prints it.")


class HardenedRow(Answer):
    """One network trained with one row of [defences], the seeds put together; the attacks judge n test images."""

    net: str = Field(description="The network.")
    row: str = Field(description="The row of [defences].")
    defences: tuple[str, ...] = Field(description="Specs, in the order they are applied; empty for the plain row.")
    seeds: int = Field(description="Training seeds.")
    n: int = Field(description="Test images that the attacks judge.")
    eps: float = Field(description="The budget of the attacks, unless they say another.")
    training: Spread = Field(description="Accuracy on the (masked) training images in the epoch that was kept.")
    clean: Spread = Field(description="Accuracy on all clean test images.")
    cpu_seconds: float = Field(description="CPU seconds of training, the mean over seeds.")
    cost: float = Field(description="CPU seconds of training relative to the plain row.")
    parameters: int = Field(description="Numbers that training sets.")
    size_bytes: int = Field(description="Of the weights.")
    seconds_per_image: float = Field(description="CPU seconds of predicting one image, the fastest seed.")
    features: int = Field(description="Features of an image that the model looks at.")
    paper: ClaimedRow = Field(description="What the paper says of the row.")
    audited: bool = Field(description="Whether the study audits its rows.")
    plain: bool = Field(description="Whether this is the network's undefended row.")
    held: tuple[Held, ...] = Field(description="Accuracy under every attack that judged it.")
    against: tuple[Versus, ...] = Field(description="Beside the plain row of the same network.")
    certified: Spread | None = Field(description="Share of the n images proven at eps; null where nothing can be.")
    audits: tuple[RowAudit, ...] = Field(description="Without the defence's mask and with it; none where not audited.")
    macro: Macro = Field(description="Of the first seed, on all clean test images.")
    confusion: tuple[tuple[int, ...], ...] = Field(description="The same images: true classes down, predicted across.")
    history: TrainingHistory = Field(description="Of the first seed.")

    def under(self, name: str) -> Spread | None:
        """Accuracy under an attack by its name in tables; None where the row was not judged so."""
        return next((each.accuracy for each in self.held if each.name == name), None)

    def accuracy(self, *names: str) -> float:
        """Accuracy under the first of these names that the row was judged under."""
        return next(found.value for name in names if (found := self.under(name)) is not None)

    @property
    def robust(self) -> float:
        """Accuracy under the ensemble, the mask off at test."""
        return self.accuracy("auto")

    @property
    def correct(self) -> Rate:
        """Clean test images that the first seed gets right."""
        return Rate(sum(line[k] for k, line in enumerate(self.confusion)), sum(map(sum, self.confusion)))

    @property
    def audit(self) -> RowAudit | None:
        """What the audit said, the mask off at test."""
        return next((said for said in self.audits if not said.mask_on), None)

    @property
    def audit_on(self) -> RowAudit | None:
        """What the audit said with the row's mask on at test."""
        return next((said for said in self.audits if said.mask_on), None)

    @property
    def shown(self) -> bool | None:
        """Whether the audit, the mask off, lets the robust accuracy stand; None in a study that audits nothing.

        A row that its study should have audited but has not is not shown: what is missing must not speak for it.
        """
        if self.audit is None:
            return False if self.audited else None
        return self.audit.believable


def hardened_rows(run: Run) -> list[HardenedRow]:
    """One row per network and row of the study, in its order; the first row of each network is the plain one."""
    groups: dict[tuple[str, str], list[HardenedRecord]] = {}
    for record in catalogue.HARDENED.all(run):
        groups.setdefault((record.net, record.row), []).append(record)
    if not groups:
        return []
    section = run.spec["defences"]
    asked = {row["name"]: row for row in section["rows"]}
    order = list(asked)
    plain: dict[str, str] = {}
    rows = []
    for net, name in sorted(groups, key=lambda key: (section["nets"].index(key[0]), order.index(key[1]))):
        records, baseline = groups[net, name], groups[net, order[0]]
        first, is_plain = records[0], plain.setdefault(net, name) == name
        matrix = confusion(first.labels, first.predicted, 1 + int(max(first.labels.max(), first.predicted.max())))
        certified = [each.certified for each in records if each.certified is not None]
        rows.append(
            HardenedRow(
                net=net,
                row=name,
                defences=first.defences,
                seeds=len(records),
                n=len(first.rows),
                eps=first.eps,
                training=_over([_training(record) for record in records], None),
                clean=_over([_accuracy(record) for record in records], len(first.labels)),
                cpu_seconds=sum(record.cpu_seconds for record in records) / len(records),
                cost=_cost(records, baseline),
                parameters=first.parameters,
                size_bytes=first.size_bytes,
                seconds_per_image=min(record.seconds_per_image for record in records),
                features=first.features,
                paper=ClaimedRow(**asked[name]["paper"]),
                audited=bool(section.get("audit")),
                plain=is_plain,
                held=tuple(_held(records, section.get("also", ()))),
                against=() if is_plain else tuple(_against(groups[net, plain[net]], records)),
                certified=_over(certified, len(first.rows)) if certified else None,
                audits=tuple(_audits(run, net, name)),
                macro=Macro(**Scores.of(matrix).macro),
                confusion=tuple(map(tuple, matrix.tolist())),
                history=TrainingHistory.of(first.history),
            )
        )
    return rows


def _held(records: Sequence[HardenedRecord], also: Sequence[float]) -> Iterator[Held]:
    """Accuracy by attack; a budget of `also` stands, shortened, after an @ in the record's names, "on:" before them."""
    first, given = records[0], {f"{eps:g}": eps for eps in also}
    for name in first.held:
        attack, _, size = name.removeprefix(ON).partition("@")
        yield Held(
            name=name,
            attack=attack,
            eps=0.0 if attack == "clean" else given.get(size, float(size or first.eps)),
            mask_on=name.startswith(ON),
            accuracy=_over([float(record.held[name].mean()) for record in records], len(first.rows)),
        )


def _against(plain: Sequence[HardenedRecord], records: Sequence[HardenedRecord]) -> Iterator[Versus]:
    """The difference to the plain model on the same images, seeds and attack."""
    sides = [{record.seed: record for record in side} for side in (plain, records)]
    seeds = sorted(set(sides[0]) & set(sides[1]))
    for attack in COMPARED if seeds else ():
        difference = _difference(sides, seeds, attack)
        yield Versus(attack=attack, n=len(records[0].rows), seeds=len(seeds), difference=difference)


def _difference(sides: list[dict[int, HardenedRecord]], seeds: list[int], attack: str) -> Estimate:
    """Images are resampled in pairs and, where there are several, seeds within each side."""
    first, second = (np.stack([side[seed].held[attack].numpy() > 0.5 for seed in seeds]) for side in sides)
    if len(seeds) > 1:
        found = nested(first, second, seed=0)
    else:
        found = paired(int((first & ~second).sum()), int((second & ~first).sum()), first.shape[1], seed=0)
    return Estimate(found.value, found.low, found.high)


def _audits(run: Run, net: str, row: str) -> Iterator[RowAudit]:
    """What was said without the mask and, where the study tries it, with the mask on."""
    for on in (False, True):
        said = catalogue.audits(on).find(run, net=net, row=row)
        if said is not None:
            word, raised = said.verdict, said.raised
            yield RowAudit(mask_on=on, verdict=word, believable=said.believable, raised=raised, n=said.n)


def _over(values: Sequence[float], n: int | None) -> Spread:
    """Mean, lowest and highest over seeds; with one seed its interval over `n` images."""
    mean = sum(values) / len(values)
    low, high = min(values), max(values)
    if len(values) == 1 and n is not None:
        low, high = Rate(round(mean * n), n).interval
    return Spread(value=mean, low=low, high=high, seeds=len(values))


def _training(record: HardenedRecord) -> float:
    return float(record.history.training[record.history.kept, 1])


def _accuracy(record: HardenedRecord) -> float:
    return float((record.labels == record.predicted).float().mean())


def _cost(records: Sequence[HardenedRecord], baseline: Sequence[HardenedRecord]) -> float:
    """CPU seconds relative to the baseline of the same seeds."""
    plain = {record.seed: record.cpu_seconds for record in baseline}
    shared = [record for record in records if plain.get(record.seed)]
    return sum(record.cpu_seconds / plain[record.seed] for record in shared) / max(1, len(shared))
