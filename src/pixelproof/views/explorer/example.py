"""One example: what the classifier says before and after, what every layer says, and what happened in one sentence."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from pixelproof import lp
from pixelproof.explain.penultimate import drift
from pixelproof.views import paths
from pixelproof.views.answer import Answer, Missing, Numbers
from pixelproof.views.example_sets import CLEAN, Shown
from pixelproof.views.explorer.attackability import surveyed
from pixelproof.views.explorer.attributions import attribution_of
from pixelproof.views.explorer.columns import DetectorVerdicts, verdicts
from pixelproof.views.explorer.decisions import Decision, decisions
from pixelproof.views.explorer.gallery import ExampleSet, example_set
from pixelproof.views.explorer.pictures import pixels
from pixelproof.views.explorer.scored import state_of
from pixelproof.views.open_run import OpenRun
from pixelproof.views.runs import layers


class Output(Answer):
    """What the classifier says of one image."""

    predicted: int = Field(description="Position of the class with the highest logit.")
    logits: tuple[float, ...] = Field(description="One per class.")
    probabilities: tuple[float, ...] = Field(description="Softmax of the logits, one per class.")


class ExampleDrift(Answer):
    """How far the adversarial image's activations are from the clean image's."""

    norm: float = Field(description="Length of the change relative to the clean activations' length.")
    cosine: float = Field(description="Cosine distance, 0 to 2.")


class Layer(Answer):
    """One layer of the classifier, in order; decisions are null for layers that were not judged."""

    name: str = Field(description="As registered in the network; 'composed' joins all judged layers.")
    kind: str = Field(description="As in LayerCard.")
    width: int = Field(description="Values per image.")
    drift: ExampleDrift | None = Field(
        description="Null for clean rows, for means of channels and for the composed layer."
    )
    clean: Decision | None = Field(description="Of the clean image.")
    adversarial: Decision | None = Field(description="Of the attacked image.")


class ExamplePage(Answer):
    """Everything about an example but the bulk: that is behind the links of the same name.

    GET .../clean.png, .../adversarial.png: 8-bit, native size. `pixels` (2, c, h, w): clean and adversarial, exact.
    A row of the clean images has no adversarial twin: `adversarial`, `distance` and every drift are null, and its
    arrays have one image instead of two.
    """

    id: str = Field(description="'{set id}~{index}'.")
    run: str = Field(description="Its name in the list of runs.")
    set: ExampleSet = Field(description="The set of examples that it belongs to.")
    index: int = Field(description="The clean image's place in the test file.")
    label: int = Field(description="True class.")
    success: bool = Field(description="The attack succeeded; false for clean rows.")
    success_8bit: bool = Field(description="It still does after rounding to 8 bits.")
    clean: Output = Field(description="The classifier's word on the clean image.")
    adversarial: Output | None = Field(description="The classifier's word on the attacked image.")
    distance: dict[str, float] | None = Field(description="Of the attacked image from the clean one, by norm.")
    changed: int | None = Field(description="Pixels that differ in any channel.")
    pixels: Numbers = Field(description="Both images, exact.")
    layers: tuple[Layer, ...] = Field(description="In the order they run, then the composed layer.")
    detectors: tuple[DetectorVerdicts, ...] = Field(description="Those that were asked about either image.")
    guard: Missing | None = Field(description="Why layers say nothing here, when they do not.")
    guard_note: str = Field(description="What the thresholds rest on: n, half, attack, rate. Empty without a guard.")
    held_out: bool | None = Field(description="Whether no threshold was tuned on this image; null without a guard.")
    sentence: str = Field(description="What happened, in one sentence.")
    attribution: Numbers | Missing = Field(description="Where the SHAP values are, or why there are none.")
    attackability: bool = Field(description="Whether the run holds this image's one-pixel map.")


def example(opened: OpenRun, name: str) -> ExamplePage:
    """Everything about an example but the bulk."""
    found, row = opened.find(name)
    images = pixels(opened, name)
    logits = opened.model.predict(images)
    attacked = found.attack is not None
    change = (images[1] - images[0]) if attacked else None
    return ExamplePage(
        id=name,
        run=opened.name,
        set=example_set(found),
        index=int(found.index[row]),
        label=int(found.labels[row]),
        success=bool(found.success[row]),
        success_8bit=bool(found.success_8bit[row]),
        clean=output(logits[0]),
        adversarial=output(logits[1]) if attacked else None,
        distance=None if change is None else {norm: float(size) for norm, size in _distances(images).items()},
        changed=None if change is None else int((change != 0).any(0).sum()),
        pixels=Numbers(href=paths.at(paths.PIXELS, run=opened.name, example=name), shape=tuple(images.shape)),
        layers=_layers(opened, found, row, images),
        detectors=verdicts(opened, found, row),
        guard=opened.lacks("neighbour_view"),
        guard_note=opened.neighbour_view.note if opened.has("neighbour_view") else "",
        held_out=_held_out(opened, int(found.index[row])),
        sentence=sentence(opened, found, row, logits),
        attribution=attribution_of(opened, name),
        attackability=surveyed(opened, int(found.index[row])) is not None,
    )


def output(logits: Tensor) -> Output:
    """Logits (k) with their softmax and the class of the highest."""
    return Output(
        predicted=int(logits.argmax()),
        logits=tuple(logits.tolist()),
        probabilities=tuple(torch.softmax(logits.double(), 0).tolist()),
    )


def sentence(opened: OpenRun, found: Shown, row: int, logits: Tensor) -> str:
    """What happened, from the numbers alone."""
    names = opened.clean.classes
    label, before = names[int(found.labels[row])], names[int(logits[0].argmax())]
    sure = [f"{100 * float(torch.softmax(each, 0).max()):.0f} %" for each in logits]
    taken = f"A '{label}' that the classifier takes for '{before}' ({sure[0]})"
    if found.attack is None:
        return f"{taken}. This is the clean image: nothing was changed."
    after = names[int(logits[1].argmax())]
    if not found.success[row]:
        return f"{taken}. {found.label} failed: the image it left is taken for '{after}' ({sure[1]})."
    rounded = "" if found.success_8bit[row] else " The success does not survive rounding to 8 bits."
    return f"{taken}. After {found.label} it is taken for '{after}' ({sure[1]}).{rounded}"


def _layers(opened: OpenRun, found: Shown, row: int, images: Tensor) -> tuple[Layer, ...]:
    """Every layer with its drift and, where it was judged, its decision on both images."""
    said = judged(opened, found, row, images)
    moved = {}
    if len(images) == 2:
        moves = drift(opened.model, images[:1], images[1:], layers=[n for n in opened.layers if "@" not in n])
        moved = {each.layer: ExampleDrift(norm=float(each.norm[0]), cosine=float(each.cosine[0])) for each in moves}
    return tuple(
        Layer(
            name=layer.name,
            kind=layer.kind,
            width=layer.width,
            drift=moved.get(layer.name),
            clean=said[0].get(layer.name),
            adversarial=said[1].get(layer.name),
        )
        for layer in layers(opened)
    )


def judged(opened: OpenRun, found: Shown, row: int, images: Tensor) -> list[dict[str, Decision]]:
    """The decisions on the clean image and on the attacked one: the run's own, or made now where it has none."""
    if not opened.has("neighbour_view"):
        return [{}, {}]
    index, label, said = int(found.index[row]), int(found.labels[row]), []
    for image, state in zip(images, (CLEAN, state_of(found)), strict=False):
        said.append(_stored(opened, state, index) or _now(opened, image, label))
    return [*said, {}][:2]


def _stored(opened: OpenRun, state: str | None, index: int) -> dict[str, Decision]:
    row = None if state is None else opened.neighbour_view.row(state, index)
    if state is None or row is None:
        return {}
    predicted = int(opened.neighbour_view.predicted[state][row])
    return decisions(opened.neighbour_view.states[state], row, predicted, opened.clean.classes)


def _now(opened: OpenRun, image: Tensor, label: int) -> dict[str, Decision]:
    seen = opened.neighbour_view.look(image[None], torch.tensor([label]))
    return decisions(opened.neighbour_view.verdicts(seen), 0, int(seen.predicted[0]), opened.clean.classes)


def _held_out(opened: OpenRun, index: int) -> bool | None:
    """Whether an image is in the half that nothing was tuned on; None where the run does not know."""
    if not opened.has("neighbour_view"):
        return None
    for state, record in opened.neighbour_view.states.items():
        row = opened.neighbour_view.row(state, index)
        if row is not None:
            return bool(record.validation[row])
    return None


def _distances(images: Tensor) -> dict[str, Tensor]:
    return {norm: values[0] for norm, values in lp.distances(images[:1], images[1:]).items()}
