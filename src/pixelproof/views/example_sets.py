"""The sets of examples that a run holds: which attack made them, and the facts of every image; images stay on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pixelproof import specs
from pixelproof.results import CleanRecord, Result, catalogue
from pixelproof.run import Run, slug
from pixelproof.types import Goal

CLEAN = "clean"
CONTROLS = ("uniform-noise", "sign-noise")
SOURCES: Mapping[Result[Any], str] = MappingProxyType(
    {
        catalogue.ATTACKED: "attacks",
        catalogue.TWINS: "signatures",
        catalogue.SETS: "guards",
        catalogue.PIXEL_SET: "pixels",
    }
)
NORMS = ("l0", "l1", "l2", "linf")
SYMBOLS = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "L∞"}


@dataclass(frozen=True, eq=False)
class Stored:
    """Images of a result, read row by row from its file: `key` is the tensor's dotted path."""

    run: Run
    name: str
    key: str

    def __getitem__(self, row: int) -> Float[Tensor, "c h w"]:
        """One image in [0, 1]."""
        return self.run.tensor(self.name, self.key, slice(row, row + 1))[0]

    def part(self, start: int, stop: int) -> Float[Tensor, "n c h w"]:
        """Consecutive images."""
        return self.run.tensor(self.name, self.key, slice(start, stop))


@dataclass(frozen=True, eq=False)
class Shown:
    """One set of examples; every tensor has one row per example with whole images.

    For the clean images `attack` is None, `images` are the clean images themselves and nothing succeeded.
    """

    id: str
    source: str
    label: str
    attack: str | None
    spec: str
    norm: str | None
    eps: float | None
    seed: int | None
    attacked: int
    index: Int[Tensor, " n"]
    labels: Int[Tensor, " n"]
    clean_predicted: Int[Tensor, " n"]
    predicted: Int[Tensor, " n"]
    success: Bool[Tensor, " n"]
    success_8bit: Bool[Tensor, " n"]
    margin: Float[Tensor, " n"] | None
    distance: dict[str, Float[Tensor, " n"]]
    clean: tuple[tuple[Stored, int], ...]
    images: Stored | None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def family(self) -> str | None:
        """The attack's name without its settings."""
        return None if self.attack is None else self.attack.partition(":")[0]

    @property
    def control(self) -> bool:
        """Whether this is noise, to compare attacks with."""
        return self.family in CONTROLS

    def clean_image(self, row: int) -> Float[Tensor, "c h w"]:
        """The image before the attack."""
        stored, place = self.clean[row]
        return stored[place]

    def part(self, start: int, stop: int) -> Float[Tensor, "n c h w"]:
        """Consecutive examples' own images."""
        if self.images is not None:
            return self.images.part(start, stop)
        return torch.stack([self.clean_image(row) for row in range(start, stop)])

    def image(self, row: int) -> Float[Tensor, "c h w"]:
        """The example's own image: attacked, or clean in the set of clean images."""
        return self.clean_image(row) if self.images is None else self.images[row]

    def example(self, row: int) -> str:
        """The id of an example."""
        return f"{self.id}~{int(self.index[row])}"


def example_sets(run: Run, clean: CleanRecord) -> tuple[Shown, ...]:
    """Every set of examples of a run that kept whole images: the clean ones, then the attacks in the study's order."""
    order = {spec: place for place, spec in enumerate(run.spec["attacks"]["specs"])}
    kinds = [kind for kind in SOURCES if kind is not catalogue.PIXEL_SET or not _copied(run)]
    made = (_attacked(run, kind, name, clean) for kind in kinds for name in kind.names(run))
    found = [each for each in made if len(each)]
    sections = list(SOURCES.values())
    found.sort(key=lambda each: (sections.index(each.source), order.get(each.attack or "", len(order)), each.eps or 0))
    return (*_clean(found, clean), *found)


def _copied(run: Run) -> bool:
    """Whether the guards have their copy of the one-pixel twins, which their verdicts are about."""
    return catalogue.SETS.has(run, attack="pixels")


def _attacked(run: Run, kind: Result[Any], name: str, clean: CleanRecord) -> Shown:
    """One result as a set: attack records keep images of some rows, the other results of all."""
    source = SOURCES[kind]
    prefix = "found." if source == "pixels" else ""
    plain = run.plain(name)["found"] if source == "pixels" else run.plain(name)
    keys = run.keys(name)

    def tensor(key: str) -> Tensor:
        return run.tensor(name, prefix + key)

    index, labels = tensor("index"), tensor("labels")
    shown = tensor("shown") if source == "attacks" else torch.arange(len(index))
    if source == "attacks":
        predicted, margin = tensor("predicted"), tensor("margin") if "margin" in keys else None
    else:
        logits = tensor("logits")
        predicted, margin = logits.argmax(1), Goal(labels).margin(logits)
    before = Stored(run, name, f"{prefix}clean")
    attack = plain["label"] if source == "attacks" else _named(run, source, name)
    return Shown(
        id=name.replace("/", "~"),
        source=source,
        label=_label(attack, plain["norm"], plain["eps"]),
        attack=attack,
        spec=plain["spec"] if source == "attacks" else plain["attack"],
        norm=plain["norm"],
        eps=plain["eps"],
        seed=plain["seed"],
        attacked=len(index),
        index=index[shown],
        labels=labels[shown],
        clean_predicted=_looked_up(clean, index[shown], labels[shown]),
        predicted=predicted[shown],
        success=tensor("success")[shown],
        success_8bit=tensor("success_8bit")[shown],
        margin=None if margin is None else margin[shown],
        distance={norm: tensor(f"distance.{norm}")[shown] for norm in NORMS if f"{prefix}distance.{norm}" in keys},
        clean=tuple((before, row) for row in range(len(shown))),
        images=Stored(run, name, f"{prefix}images"),
    )


def _clean(found: list[Shown], clean: CleanRecord) -> tuple[Shown, ...]:
    """The clean images of all sets, each once, in file order; nothing where there is no set."""
    where: dict[int, tuple[Shown, int]] = {}
    for each in found:
        for row, index in enumerate(each.index.tolist()):
            where.setdefault(index, (each, row))
    if not where:
        return ()
    chosen = [(index, *where[index]) for index in sorted(where)]
    index = torch.tensor([one[0] for one in chosen])
    labels = torch.tensor([int(each.labels[row]) for _, each, row in chosen])
    predicted = torch.tensor([int(each.clean_predicted[row]) for _, each, row in chosen])
    none = torch.zeros(len(chosen), dtype=torch.bool)
    return (
        Shown(
            id=CLEAN,
            source=CLEAN,
            label="clean images",
            attack=None,
            spec="",
            norm=None,
            eps=None,
            seed=None,
            attacked=0,
            index=index,
            labels=labels,
            clean_predicted=predicted,
            predicted=predicted,
            success=none,
            success_8bit=none,
            margin=None,
            distance={},
            clean=tuple(each.clean[row] for _, each, row in chosen),
            images=None,
        ),
    )


def _named(run: Run, source: str, name: str) -> str:
    """The attack of a result as the study's section names it, found by the result's file name."""
    if source == "pixels":
        return "one-pixel"
    given = (run.spec.get(source) or {}).get("attacks", ())
    last = name.rpartition("/")[2]
    return next((spec for spec in given if slug(spec) == last), last)


def _label(attack: str, norm: str, eps: float | None) -> str:
    if eps is None:
        return f"{attack} (smallest {SYMBOLS.get(norm, norm)})"
    if attack in ("one-pixel", "pixels"):
        return "one changed pixel"
    return f"{attack} at {SYMBOLS.get(norm, norm)} {specs.budget(eps)}"


def _looked_up(clean: CleanRecord, index: Tensor, labels: Tensor) -> Tensor:
    """The classes predicted for the clean images; their labels where the run does not know them."""
    known = dict(zip(clean.index.tolist(), clean.predicted.tolist(), strict=True))
    pairs = zip(index.tolist(), labels.tolist(), strict=True)
    return torch.tensor([known.get(place, label) for place, label in pairs], dtype=torch.long)
