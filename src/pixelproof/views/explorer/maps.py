"""Maps: two coordinates per image, stored by the study or PCA of a layer made at the first request."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from pixelproof.data import stratified
from pixelproof.detect.neighbours.layers import MEAN, activations
from pixelproof.errors import UnknownName
from pixelproof.explain import PROJECTIONS
from pixelproof.results import ProjectionRecord, catalogue
from pixelproof.run import slug
from pixelproof.views import paths
from pixelproof.views.answer import Answer, Lacking, Missing, Numbers
from pixelproof.views.example_sets import Shown
from pixelproof.views.open_run import OpenRun
from pixelproof.views.runs import LayerCard, layers

MOST = 6000  # attacked images on a map made here; more are a stratified sample, and the map says so
FITTED = 1000  # clean images that directions are fitted on: their number decides how long that takes
WIDE = 4096  # a convolution with more values than this is shown by the means of its channels
PIXELS = "images"


class MapCard(Answer):
    """A projection that can be shown."""

    id: str = Field(description="The place in its address.")
    space: str = Field(description="What is projected: images or a layer.")
    method: str = Field(description="pca or umap.")
    stored: bool = Field(description="Whether the study made it; else it is made when it is asked for.")
    n: int = Field(description="Points.")


class Maps(Answer):
    """The projections of a run."""

    maps: tuple[MapCard, ...] = Field(description="Stored ones first, then PCA of the pixels and of every layer.")
    umap: Missing | None = Field(description="How to get UMAP, when no stored projection used it.")


class Projection(Answer):
    """Two coordinates per image. Point i is clean where `twin[i]` is null, else it was made from point `twin[i]`."""

    available: Literal[True] = True
    id: str = Field(description="As in Maps.")
    space: str = Field(description="What is projected: images or a layer.")
    method: str = Field(description="pca or umap.")
    n: int = Field(description="Points.")
    of: int = Field(description="Examples there are; fewer are shown when a stratified sample was taken.")
    explained: tuple[float, float] | None = Field(description="Shares of the variance (PCA).")
    fitted: int = Field(description="Clean images that the directions were fitted on.")
    set: tuple[int, ...] = Field(description="Positions in the gallery's sets.")
    index: tuple[int, ...] = Field(description="The clean image's place in the test file.")
    label: tuple[int, ...] = Field(description="True class.")
    predicted: tuple[int, ...] = Field(description="Class the classifier gives to the point's image.")
    success: tuple[bool, ...] = Field(description="The attack succeeded; false for clean points.")
    twin: tuple[int | None, ...] = Field(description="The clean point it was made from; null for clean points.")
    points: Numbers = Field(description="(n, 2)")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A map: which example each point is (set and row of the catalogue; -1 of a clean point), and where it lies."""

    space: str
    method: str
    stored: bool
    sets: Int[Tensor, " n"]
    rows: Int[Tensor, " n"]
    twin: Int[Tensor, " n"]
    points: Float[Tensor, "n 2"]
    explained: tuple[float, float] | None
    fitted: int
    of: int


def maps(opened: OpenRun) -> Maps:
    """The maps of a run: stored ones first, then PCA of the pixels and of every layer."""
    stored = {name: opened.run.load(name, ProjectionRecord) for name in catalogue.PROJECTIONS.names(opened.run)}
    n = sum(min(len(each), MOST) for each in opened.sets[:1]) + len(_chosen(opened))
    found = [
        MapCard(
            id=f"stored~{name.rpartition('/')[2]}",
            space=record.space,
            method=record.method,
            stored=True,
            n=len(record.clean) + sum(int(mask.sum()) for mask in record.fooled.values()),
        )
        for name, record in stored.items()
    ]
    if opened.sets:
        spaces = [PIXELS, *(_pooled(layer) for layer in layers(opened) if layer.kind != "composed")]
        found += [MapCard(id=f"pca~{slug(s)}", space=s, method="pca", stored=False, n=n) for s in spaces]
    has_umap = any(record.method == "umap" for record in stored.values())
    return Maps(maps=tuple(found), umap=None if has_umap else _no_umap())


def one(opened: OpenRun, name: str) -> Projection:
    """One map: which example each point is."""
    found = drawn(opened, name)
    sets = opened.sets
    pairs = list(zip(found.sets.tolist(), found.rows.tolist(), strict=True))
    return Projection(
        id=name,
        space=found.space,
        method=found.method,
        n=len(pairs),
        of=found.of,
        explained=found.explained,
        fitted=found.fitted,
        set=tuple(found.sets.tolist()),
        index=tuple(int(sets[place].index[row]) for place, row in pairs),
        label=tuple(int(sets[place].labels[row]) for place, row in pairs),
        predicted=tuple(int(sets[place].predicted[row]) for place, row in pairs),
        success=tuple(bool(sets[place].success[row]) for place, row in pairs),
        twin=tuple(None if twin < 0 else twin for twin in found.twin.tolist()),
        points=Numbers(href=paths.at(paths.POINTS, run=opened.name, map=name), shape=(len(pairs), 2)),
    )


def points(opened: OpenRun, name: str) -> Float[Tensor, "n 2"]:
    """The coordinates of a map."""
    return drawn(opened, name).points


def drawn(opened: OpenRun, name: str) -> Drawn:
    """A map, made once; UnknownName for one that this run cannot have."""
    made = opened.kept(_made)
    if name not in made:
        spaces = {each.id: each.space for each in maps(opened).maps}
        if name not in spaces:
            raise UnknownName("explore", "map", name[:80], list(spaces))
        method, _, rest = name.partition("~")
        space = spaces[name]
        made[name] = _stored(opened, rest) if method == "stored" else _pca(opened, space)
    return made[name]


def _made(_opened: OpenRun) -> dict[str, Drawn]:
    return {}


def _pca(opened: OpenRun, space: str) -> Drawn:
    """PCA fitted on the clean images; attacked ones are placed among them."""
    clean = opened.sets[0]
    chosen = _chosen(opened)
    images = [clean.part(0, len(clean))]
    for place, each in enumerate(opened.sets):
        wanted = [row for chosen_set, row in chosen if chosen_set == place]
        if wanted:
            images.append(each.part(min(wanted), max(wanted) + 1)[torch.tensor(wanted) - min(wanted)])
    rows = [_rows(opened, part, space) for part in images]
    few = stratified(clean.labels, min(FITTED, len(clean)), opened.run.spec["seed"])
    place = PROJECTIONS["pca"]().fit(rows[0][few])
    coordinates = torch.cat([place(part) for part in rows])
    spread = rows[0][few].var(0).sum().clamp_min(1e-12)
    share = (coordinates[few].var(0) / spread).clamp(0, 1).tolist()
    where = {index: row for row, index in enumerate(clean.index.tolist())}
    twins = [where[int(opened.sets[place].index[row])] for place, row in chosen]
    return Drawn(
        space=space,
        method="pca",
        stored=False,
        sets=torch.tensor([0] * len(clean) + [place for place, _ in chosen]),
        rows=torch.tensor([*range(len(clean)), *(row for _, row in chosen)]),
        twin=torch.tensor([-1] * len(clean) + twins),
        points=coordinates,
        explained=(share[0], share[1]),
        fitted=len(few),
        of=sum(len(each) for each in opened.sets),
    )


def _chosen(opened: OpenRun) -> list[tuple[int, int]]:
    """Set and row of the attacked images on a map: all, or as many of every set and class as their share allows."""
    attacked = [(place, row) for place, each in enumerate(opened.sets) if each.attack for row in range(len(each))]
    if len(attacked) <= MOST:
        return attacked
    classes = len(opened.clean.classes)
    labels = [classes * place + each.labels for place, each in enumerate(opened.sets) if each.attack]
    kept = stratified(torch.cat(labels), MOST, opened.run.spec["seed"]).tolist()
    return [attacked[row] for row in kept]


def _rows(opened: OpenRun, images: Tensor, space: str) -> Float[Tensor, "n d"]:
    return images.flatten(1) if space == PIXELS else activations(opened.model, images, (space,))[0][space]


def _stored(opened: OpenRun, name: str) -> Drawn:
    """A map of the study: the clean images of [signatures], and what each attack fooled the classifier with."""
    record = catalogue.PROJECTIONS.load(opened.run, space=name)
    own = {each.attack: place for place, each in enumerate(opened.sets) if each.source == "signatures"}
    first: Shown = opened.sets[next(iter(own.values()))]
    where = {index: row for row, index in enumerate(opened.sets[0].index.tolist())}
    rows = [where[index] for index in first.index.tolist()]
    sets, twin, parts = [0] * len(first), [-1] * len(first), [record.clean]
    for spec, coordinates in record.attacked.items():
        fooled = record.fooled[spec].nonzero()[:, 0].tolist()
        sets += [own[spec]] * len(fooled)
        rows += fooled
        twin += fooled
        parts.append(coordinates[fooled])
    return Drawn(
        space=record.space,
        method=record.method,
        stored=True,
        sets=torch.tensor(sets),
        rows=torch.tensor(rows),
        twin=torch.tensor(twin),
        points=torch.cat(parts),
        explained=None,
        fitted=len(first),
        of=sum(len(each) for each in opened.sets),
    )


def _pooled(layer: LayerCard) -> str:
    return f"{layer.name}{MEAN}" if layer.kind == "conv" and layer.width > WIDE else layer.name


def _no_umap() -> Missing:
    extra = "" if importlib.util.find_spec("umap") else ", and install the extra: pip install 'pixelproof[umap]'"
    return Lacking("umap", "No UMAP is in this run.", f"Set projection to umap in [signatures]{extra}.").answer()
