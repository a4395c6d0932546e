"""The stage behind all of paper 1's figures: the same images clean, attacked and noisy, and their signatures."""

from __future__ import annotations

import torch

from pixelproof import attacks, data, specs
from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset
from pixelproof.errors import RunError
from pixelproof.explain import Attribution, DeepShap
from pixelproof.measure import CleanRecord
from pixelproof.run import slug
from pixelproof.study.context import Context
from pixelproof.study.spec import SignatureSection
from pixelproof.types import Images

NOISE = "sign-noise"
CHUNK = 25  # images between two reports of progress


def signatures(context: Context) -> None:
    """Attack the study's images, and explain the predicted class of each clean and each attacked image."""
    section = context.study.signatures
    if section is None:
        return
    names = (*section.attacks, NOISE)
    for number, spec in enumerate(names):
        if not context.run.has(f"signatures/twins/{slug(spec)}"):
            _attack(context, section, spec, f"{number + 1} of {len(names)}")
    states = ("clean", *section.attacks)
    for number, state in enumerate(states):
        name = f"signatures/maps/{slug(state)}"
        if not context.run.has(name):
            images = twins(context, section.attacks[0]).clean if state == "clean" else twins(context, state).images
            context.run.save(name, _explain(context, images, (number, len(states))))


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
    context.run.save(f"signatures/twins/{slug(spec)}", found)


def _explain(context: Context, images: Images, which: tuple[int, int]) -> Attribution:
    explainer, generator = DeepShap(background(context)), torch.Generator()
    number, states = which
    parts = []
    for part in torch.split(images, CHUNK):
        parts.append(explainer(context.model, part, None, generator))
        done = number * len(images) + sum(len(each.classes) for each in parts)
        context.tell("signatures: explain", done, states * len(images))
    fields = ("values", "classes", "base", "gap")
    return Attribution(*(torch.cat([getattr(each, field) for each in parts]) for field in fields))


def subjects(context: Context, section: SignatureSection) -> Dataset:
    """The images that are attacked and explained: a stratified sample of the correctly classified ones."""
    clean = context.run.load("clean", CleanRecord)
    return context.test[clean.predicted == clean.labels].sample(section.n, context.study.seed)


def background(context: Context, draw: int = 0) -> Images:
    """The training images that signatures are relative to; another `draw` gives others."""
    section = context.study.signatures
    assert section is not None
    training = data.load(context.study.data.name, "train", context.root)
    return training.sample(section.background, context.study.seed + draw).images


def twins(context: Context, spec: str) -> AdversarialSet:
    """The attacked images of one attack, with their clean twins."""
    return context.run.load(f"signatures/twins/{slug(spec)}", AdversarialSet)


def maps(context: Context, state: str) -> Attribution:
    """The signatures of the clean images ("clean") or of an attack's."""
    return context.run.load(f"signatures/maps/{slug(state)}", Attribution)
