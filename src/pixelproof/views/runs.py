"""The list of runs and the overview of one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field
from torch import nn

from pixelproof.results import catalogue
from pixelproof.results.catalogue import SectionName
from pixelproof.types import Rate
from pixelproof.views.answer import Answer, held
from pixelproof.views.commands.folder import CommandCard
from pixelproof.views.example_sets import Shown
from pixelproof.views.open_run import OpenRun
from pixelproof.views.overview import Overview, overview
from pixelproof.views.robustness import robustness
from pixelproof.views.training import TrainingHistory, training

# What a section of a study adds to a run, and how to get it.
PARTS: Mapping[SectionName, tuple[str, str]] = MappingProxyType(
    {
        "attacks": ("Robustness curves and attacked images.", "Add [attacks] with specs = [...] to the study."),
        "signatures": ("SHAP values, critical pixels, projections.", "Add [signatures] to the study."),
        "guards": ("What every layer's neighbours say of an image.", "Add [guards] to the study."),
        "defences": ("Hardened models beside the plain one.", "Add [defences] to the study."),
        "pixels": ("One-pixel attacks and attackability maps.", "Add [pixels] to the study."),
    }
)


class RunCard(Answer):
    """One run in the list; what an unfinished run does not know yet is null or empty."""

    id: str = Field(description="The name in its addresses.")
    name: str = Field(description="Of the study.")
    title: str = Field(description="Of the study.")
    about: str = Field(description="What the study asks, in its own words.")
    data: str = Field(description="Name of the data set.")
    net: str = Field(description="Name of the network.")
    defences: tuple[str, ...] = Field(description="Specs of the defences that its classifier was trained with.")
    seed: int = Field(description="That every random number was drawn with.")
    complete: bool = Field(description="False while the study still runs, or when it was interrupted.")
    finished: float | None = Field(description="Unix seconds; null when not complete.")
    digest: str = Field(description="Of the classifier's weights: equal digests are the same classifier.")
    clean_accuracy: Rate | None = Field(description="Of all clean test images.")
    examples: int = Field(description="Examples with whole images in the run: the rows of its gallery.")
    attacks: tuple[str, ...] = Field(description="Of [attacks], as the study names them.")
    start: str | None = Field(description="An adversarial example to begin with: it fools the classifier.")
    exported: tuple[str, ...] | None = Field(
        default=None, description="The examples whose pages an exported copy holds; null where all can be asked for."
    )


class DamagedRun(Answer):
    """A run that cannot be read, and why."""

    name: str = Field(description="Of its folder.")
    why: str = Field(description="In one sentence.")


class Home(Answer):
    """Where the explorer begins."""

    version: str = Field(description="Of pixelproof.")
    static: bool = Field(description="True in an exported copy: nothing but the files beside it can be asked for.")
    live: bool = Field(description="Whether the live page is switched on.")
    runs: tuple[RunCard, ...] = Field(description="In the order they were given.")
    commands: tuple[CommandCard, ...] = Field(description="Folders that single commands kept with --out.")
    damaged: tuple[DamagedRun, ...] = Field(description="Runs that are left out.")


class LayerCard(Answer):
    """A layer that can be looked at; `judged` where the run holds what it says about examples."""

    name: str = Field(description="As registered in the network; 'composed' joins all judged layers.")
    kind: str = Field(description="conv, dense, flatten, or composed (all judged layers together).")
    width: int = Field(description="Values per image.")
    judged: bool = Field(description="Whether the run holds what its neighbours say.")


class Part(Answer):
    """A part that a run may hold, and how to get it."""

    name: str = Field(description="The section of the study.")
    available: bool = Field(description="Whether the run holds anything of it.")
    about: str = Field(description="What it adds to a run.")
    add: str = Field(description="What to do to get it.")


class RunPage(Overview):
    """A run: what it is about, its list entry, layers, training, and which parts it holds."""

    card: RunCard = Field(description="The same run in the list.")
    shape: tuple[int, int, int] = Field(description="Channels, height, width of an image.")
    layers: tuple[LayerCard, ...] = Field(
        description="In the order they run, the composed layer last; empty without the classifier."
    )
    parts: tuple[Part, ...] = Field(description="One per section of a study that may be left out.")
    history: TrainingHistory | None = Field(description="Null where the run keeps none.")
    training_images: bool = Field(description="Whether the training images are on disk, for thumbnails.")


def card(opened: OpenRun) -> RunCard:
    """One line of the list of runs."""
    run = opened.run
    spec = run.spec
    clean = opened.clean if catalogue.CLEAN.has(run) else None
    sets = opened.sets if clean is not None else ()
    return RunCard(
        id=opened.name,
        name=spec["name"],
        title=spec["title"],
        about=spec["about"],
        data=spec["data"]["name"],
        net=spec["model"]["net"],
        defences=opened.model.card.defences if opened.has("model") else (),
        seed=spec["seed"],
        complete=run.complete,
        finished=run.facts.get("finished"),
        digest="" if clean is None else clean.digest,
        clean_accuracy=None if clean is None else Rate(int((clean.labels == clean.predicted).sum()), len(clean.labels)),
        examples=sum(len(each) for each in sets),
        attacks=tuple(spec["attacks"]["specs"]),
        start=start(opened) if sets and opened.has("model") else None,
    )


def page(opened: OpenRun) -> RunPage:
    """A run's overview: classifier, classes, layers, parts, training, settings and versions."""
    return RunPage(
        **dict(overview(opened)),
        card=card(opened),
        shape=opened.shape,
        layers=layers(opened) if opened.has("model") else (),
        parts=tuple(
            Part(name=name, available=_holds(opened, name), about=about, add=add)
            for name, (about, add) in PARTS.items()
        ),
        history=held(lambda: training(opened)),
        training_images=opened.has("training"),
    )


def _holds(opened: OpenRun, section: SectionName) -> bool:
    """Whether the run holds anything that this section of the study made."""
    return any(result.names(opened.run) for result in catalogue.of_section(section))


def start(opened: OpenRun) -> str | None:
    """An adversarial example to begin with, by rule: the first success of the set the run looks at most closely.

    That is the guards' focus attack, else the signatures', else what the robustness page looks at first. A success that
    is still one as an 8-bit image goes before those that are not.
    """
    order = [_preferred(opened, "guards"), _preferred(opened, "signatures"), _focused(opened)]
    rest = [each for each in opened.sets if each.attack is not None and not each.control]
    found = [each for each in (*order, *rest) if each is not None]
    for lasting in (True, False):
        for each in found:
            hits = each.success & each.success_8bit if lasting else each.success
            if hits.any():
                return each.example(int(hits.nonzero()[0, 0]))
    return None


def layers(opened: OpenRun) -> tuple[LayerCard, ...]:
    """The classifier's layers in the order they run, with their width and whether their neighbours were judged."""
    modules = dict(opened.model.net.named_modules())
    return tuple(
        LayerCard(name=name, kind=kind(modules.get(name)), width=width, judged=name in opened.judged)
        for name, width in opened.widths.items()
    )


def kind(module: nn.Module | None) -> str:
    """What a layer is, in one word."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return "conv"
    if isinstance(module, nn.Linear):
        return "dense"
    return "composed" if module is None else type(module).__name__.lower()


def _preferred(opened: OpenRun, source: str) -> Shown | None:
    wanted = (opened.run.spec.get(source) or {}).get("focus")
    return next((each for each in opened.sets if each.source == source and each.attack == wanted), None)


def _focused(opened: OpenRun) -> Shown | None:
    found = held(lambda: robustness(opened))
    if found is None or found.focus is None:
        return None
    return next((each for each in opened.sets if each.id == found.focus.set), None)
