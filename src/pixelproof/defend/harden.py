"""harden: several defences, one training, one hardened classifier that knows where it comes from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from pixelproof import specs
from pixelproof.data import Dataset, stratified
from pixelproof.defend.defence import Defence, Role, Setting, TrainingDefence, TrainingPart
from pixelproof.draws import rng_of, subseed
from pixelproof.errors import BadInput
from pixelproof.models import NETS, Classifier, History, Preprocessor, Recipe, Training, duplicate, suited, train
from pixelproof.models.nets import build, is_own
from pixelproof.models.preprocessors import BitDepth, Committee, Features, Masked, Median
from pixelproof.models.saving import check_savable
from pixelproof.models.train import Progress

HELD_OUT = 1000  # validation images taken from the training set where none are given; at most a tenth of it

MASKS = (Masked.name, Features.name)  # the masks among what stands before a network

Start = Literal["auto", "fresh", "given"]


@dataclass(frozen=True, eq=False)
class Hardened:
    """A hardened classifier, the history of each network trained for it, the CPU seconds it took, and its training.

    `training` are the settings that were used, chosen or given; None where nothing was trained.
    """

    model: Classifier
    histories: tuple[History, ...]
    cpu_seconds: float
    training: Training | None = None

    @property
    def stopped(self) -> str:
        """Why a training ended early, if one did."""
        return "; ".join(history.stopped for history in self.histories if history.stopped)


def _trains(defence: Defence) -> bool:
    """Whether a defence is one of training, or stands before the network while it is trained."""
    before = isinstance(defence, BitDepth | Median) and defence.when == "both"
    return before or isinstance(defence, TrainingDefence)


@dataclass(frozen=True)
class Hardening:
    """Defences to be combined, in order, and how the network is trained (None: settings that suit it).

    Ingredients of training act in the order given; what stands before the network sees the image in the order given,
    but squeezers with `when` "both" come last: they stand there while the network is trained, the rest afterwards.
    `start` "fresh" trains the same architecture from new weights (networks of pixelproof's own), "given" goes on from
    the model's weights, "auto" is fresh where it can be. Members of an ensemble differ in their seed.
    """

    defences: tuple[Defence, ...]
    training: Training | None = None
    start: Start = "auto"

    def __post_init__(self) -> None:
        for defence in self.defences:
            specs.check_single(defence)
        check_together(self.defences)

    @property
    def trains(self) -> bool:
        """Whether anything is trained: a preprocessor alone leaves the weights as they are."""
        return any(_trains(defence) for defence in self.defences)

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The hardened classifier; the training's seed is drawn from `rng`."""
        return self.conduct(model, data, seed=int(torch.randint(2**31, (), generator=rng))).model

    def conduct(
        self,
        model: Classifier,
        data: Dataset,
        *,
        validation: Dataset | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Hardened:
        """Train once with all ingredients, then put the rest before the network. `model` stays as it is.

        Raises BadInput for data of another shape, a network that cannot be trained, and settings that do not fit it.
        """
        started = time.process_time()
        check_behind(self.defences, model)
        learning = [defence for defence in self.defences if isinstance(defence, TrainingDefence)]
        preprocessors = [defence for defence in self.defences if not isinstance(defence, TrainingDefence)]
        present = [item for item in preprocessors if isinstance(item, BitDepth | Median) and item.when == "both"]
        settings: Training | None = None
        histories: list[History] = []
        hardened = model
        if self.trains:
            check_savable(model)
            data, validation = _held_out(data, validation, seed)
            settings = replace(self.training or suited(model.card.name, len(data)), seed=seed)
            members = next((item.members for item in learning if isinstance(item, EnsembleTraining)), 1)
            trained = []
            for member in range(members):
                apart = replace(settings, seed=subseed(settings.seed, member, parts=1))
                made, history = self._train(model, (present, learning), data, validation, apart, progress)
                trained.append(made)
                histories.append(history)
            hardened = trained[0] if members == 1 else Committee(members).of(trained)
        rng = rng_of(seed)
        for preprocessor in reversed([item for item in preprocessors if item not in present]):
            hardened = preprocessor(hardened, data, rng)
        spent = time.process_time() - started
        base = () if self._fresh(model) and self.trains else model.card.defences
        written = tuple(specs.write(defence) for defence in self.defences)
        card = replace(
            hardened.card,
            defences=(*base, *written),
            parent=model.digest(),
            cost=spent + (model.card.cost or 0.0 if base else 0.0),
        )
        if hardened is model:
            hardened = duplicate(model)
        return Hardened(hardened.carrying(**vars(card)), tuple(histories), spent, settings)

    def _fresh(self, model: Classifier) -> bool:
        card = model.card
        own = not card.preprocessors and is_own(model.net, card.name, card.input_shape, len(card.classes))
        if self.start == "fresh" and not own:
            expected = f"only {', '.join(NETS)} can be built anew"
            raise BadInput("harden", expected, f"'{model.card.name}'", "Use start=given.")
        return own and self.start != "given"

    def _train(
        self,
        model: Classifier,
        defences: tuple[Sequence[Preprocessor], Sequence[TrainingDefence]],
        data: Dataset,
        validation: Dataset,
        settings: Training,
        progress: Progress | None,
    ) -> tuple[Classifier, History]:
        """One network trained behind some preprocessors, with the ingredients of some defences."""
        present, learning = defences
        fresh = self._fresh(model)
        if fresh:
            net = build(model.card.name, model.card.input_shape, len(model.card.classes), settings.seed)
            mean, std = model.normalisation
            card = replace(model.card, defences=(), stochastic=False)
            begun = Classifier(net, card, mean=mean, std=std).to(model.device)
        else:
            begun = duplicate(model)
        if not any(parameter.requires_grad for parameter in begun.parameters()):
            raise BadInput("harden", "needs a network with weights to train", model.card.name)
        for preprocessor in reversed(present):
            begun = preprocessor.around(begun)
        setting = Setting(begun, data, validation, settings, fresh)
        parts = [defence.prepare(setting) for defence in learning]
        recipe = sum((part.recipe for part in parts), Recipe())
        for defence, part in zip(learning, parts, strict=True):
            if "adversary" in defence.roles and part.recipe.judge is not None:
                recipe = replace(recipe, judge=part.recipe.judge, collapse=part.recipe.collapse)
        history = train(begun, data, validation, settings, recipe=recipe, progress=progress)
        finished = begun
        for part in reversed(parts):
            finished = part.finish(finished)
        return finished, history


@dataclass(frozen=True)
class EnsembleTraining:
    """`members` networks from different seeds, their probabilities averaged; each is hardened by the other defences.

    Members that are trained alike share most of their adversarial images (Tramèr et al. 2018, arXiv 1705.07204), so
    this is a small gain at `members` times the cost.
    """

    members: int = 3

    name: ClassVar[str] = "ensemble"
    roles: ClassVar[tuple[Role, ...]] = ()

    def __post_init__(self) -> None:
        Committee(self.members)

    def prepare(self, setting: Setting) -> TrainingPart:
        """Nothing is added to a step."""
        return TrainingPart()

    def __call__(self, model: Classifier, data: Dataset, rng: torch.Generator) -> Classifier:
        """The committee of newly trained members."""
        return Hardening((self,))(model, data, rng)


def check_together(defences: Sequence[Defence]) -> None:
    """Refuse defences that contradict each other."""
    if not defences:
        raise BadInput("harden", "at least one defence is needed", "none", "See 'pixelproof list'.")
    names = [defence.name for defence in defences]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadInput("harden", "expected each defence once", f"'{twice[0]}' {names.count(twice[0])} times")
    reasons = {
        "adversary": "each trains against an adversary of its own",
        "objective": "each sets the loss",
        "mask": "each decides which features are seen",
    }
    for role, reason in reasons.items():
        sharing = [item.name for item in defences if isinstance(item, TrainingDefence) and role in item.roles]
        sharing += [item.name for item in defences if role == "mask" and item.name in MASKS]
        if len(sharing) > 1:
            raise BadInput("harden", f"{' and '.join(sharing)} contradict each other ({reason})", do="Choose one.")
    if {"ibp", "learned-mask"} <= set(names):
        reason = "interval bounds do not see the mask"
        raise BadInput("harden", f"ibp and learned-mask contradict each other ({reason})", do="Choose one.")


def check_behind(defences: Sequence[Defence], model: Classifier) -> None:
    """Refuse a mask for a classifier that stands behind one already."""
    behind = next((spec for spec in model.card.preprocessors if spec.partition(":")[0] in MASKS), None)
    if behind and any(_masks(defence) for defence in defences):
        raise BadInput("harden", f"the model stands behind a mask already ({behind})", model.card.name, "Keep one.")


def _masks(defence: Defence) -> bool:
    return defence.name in MASKS or (isinstance(defence, TrainingDefence) and "mask" in defence.roles)


def _held_out(data: Dataset, validation: Dataset | None, seed: int) -> tuple[Dataset, Dataset]:
    """Training and validation images; a tenth of the training images where none are given."""
    if validation is not None:
        return data, validation
    n = min(HELD_OUT, len(data) // 10)
    if n < len(data.classes):
        raise BadInput("harden", "too few images to hold some out for validation", len(data), "Pass validation=...")
    held = torch.zeros(len(data), dtype=torch.bool)
    held[stratified(data.labels, n, seed)] = True
    return data[~held], data[held]
