"""The stage behind all of paper 1's figures: the same images clean, attacked and noisy, and their signatures."""

from __future__ import annotations

import torch

from pixelproof import attacks, data, specs
from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.detect import matched_noise
from pixelproof.draws import rng_of
from pixelproof.errors import RunError
from pixelproof.explain import Attribution, DeepShap
from pixelproof.results import catalogue
from pixelproof.study.context import Context
from pixelproof.study.spec import SignatureSection
from pixelproof.types import Images, Labels

NOISE = "sign-noise"
TRUE, TRUE_NOISE = "attacked, true class", "noise, true class"
CHUNK = 25  # images between two reports of progress


def signatures(context: Context, section: SignatureSection) -> None:
    """Attack the study's images, and explain the predicted class of each clean and each attacked image."""
    deep = going_on(section)
    attacked = (*section.attacks, *((deep,) if deep and deep not in section.attacks else ()))
    names = (*attacked, NOISE)
    for number, spec in enumerate(names):
        if not catalogue.TWINS.has(context.run, attack=spec):
            _attack(context, section, spec, f"{number + 1} of {len(names)}")
    states = ("clean", *attacked, TRUE, TRUE_NOISE)
    for number, state in enumerate(states):
        if not catalogue.MAPS.has(context.run, state=state):
            images, classes = _state(context, section, state)
            found = _explain(context, images, classes, which=(number, len(states)))
            catalogue.MAPS.save(context.run, found, state=state)


def _state(context: Context, section: SignatureSection, state: str) -> tuple[Images, Labels | None]:
    """The images of a state, and the classes that are explained (None: the predicted ones)."""
    found = twins(context, section.focus if state in ("clean", TRUE, TRUE_NOISE) else state)
    if state == "clean":
        return found.clean, None
    if state == TRUE_NOISE:
        generator = rng_of(context.study.seed)
        return matched_noise(found.clean, found.images, generator), found.labels
    return found.images, found.labels if state == TRUE else None


def going_on(section: SignatureSection) -> str | None:
    """The focus attack without early stop; None when it has no such setting."""
    kind = attacks.ATTACKS[section.focus.partition(":")[0]]
    if all(setting.name != "early_stop" for setting in specs.settings(kind)):
        return None
    if "early_stop" in specs.given(section.focus, attacks.ATTACKS, "attack"):
        return section.focus
    return f"{section.focus}{',' if ':' in section.focus else ':'}early_stop=false"


def _attack(context: Context, section: SignatureSection, spec: str, which: str) -> None:
    chosen = specs.parse(spec, attacks.ATTACKS, "attack", {"eps": section.eps})
    wanted = subjects(context, section)
    found = attacks.mount(
        chosen,
        context.model,
        wanted,
        seed=context.study.seed,
        progress=lambda done, total: context.tell(f"signatures: attack {spec} ({which})", done, total),
    )
    if not torch.equal(found.index, wanted.index):  # splits by image rely on the same rows under every attack
        raise RunError(
            str(context.run.folder),
            f"expected the same {len(wanted)} images to be classified correctly as before",
            f"{len(found)} of them",
            "Run the study again in another folder; was this one begun on another device?",
        )
    catalogue.TWINS.save(context.run, found, attack=spec)


def _explain(context: Context, images: Images, classes: Labels | None, *, which: tuple[int, int]) -> Attribution:
    explainer, generator = DeepShap(background(context)), torch.Generator()
    number, states = which
    parts: list[Attribution] = []
    for rows in torch.split(torch.arange(len(images)), CHUNK):
        parts.append(explainer(context.model, images[rows], None if classes is None else classes[rows], generator))
        done = number * len(images) + sum(len(each.classes) for each in parts)
        context.tell("signatures: explain", done, states * len(images))
    fields = ("values", "classes", "base", "gap")
    return Attribution(*(torch.cat([getattr(each, field) for each in parts]) for field in fields))


def subjects(context: Context, section: SignatureSection) -> Dataset:
    """The images that are attacked and explained: a stratified sample of the correctly classified ones."""
    clean = catalogue.CLEAN.load(context.run)
    return context.test[clean.predicted == clean.labels].sample(section.n, context.study.seed)


def background(context: Context, draw: int = 0) -> Images:
    """The training images that signatures are relative to; another `draw` gives others."""
    section = context.study.signatures
    assert section is not None
    training = data.load(context.study.data.name, "train", context.root)
    return training.sample(section.background, context.study.seed + draw).images


def twins(context: Context, spec: str) -> AdversarialSet:
    """The attacked images of one attack, with their clean twins."""
    return catalogue.TWINS.load(context.run, attack=spec)


def maps(context: Context, state: str) -> Attribution:
    """The signatures of the clean images ("clean") or of an attack's."""
    return catalogue.MAPS.load(context.run, state=state)
