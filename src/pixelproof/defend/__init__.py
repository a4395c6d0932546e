"""Can it resist: defences that harden a classifier, alone or together."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from pixelproof import specs
from pixelproof.defend.adversarial import FastAdversarial, PgdAdversarial, Trades, trained_with
from pixelproof.defend.defence import Defence, TrainingDefence
from pixelproof.defend.distillation import Distillation
from pixelproof.defend.gradients import GradientClipping, GradientNoise, GradientSmoothing
from pixelproof.defend.harden import EnsembleTraining, Hardened, Hardening
from pixelproof.defend.interval import IntervalTraining
from pixelproof.defend.learned import LearnedMask, kept_features
from pixelproof.defend.masking import Mask, generate_mask
from pixelproof.defend.penalties import InputGradientPenalty, InputGradientSmoothing
from pixelproof.defend.regular import Augmentation, Dropout, LabelSmoothing, WeightAverage, WeightDecay
from pixelproof.models.preprocessors import AdaptiveSmoothing, BitDepth, Jpeg, Masked, Median, TotalVariation

DEFENCES: Mapping[str, Callable[..., Defence]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Mask,
            LearnedMask,
            GradientNoise,
            GradientClipping,
            GradientSmoothing,
            InputGradientPenalty,
            InputGradientSmoothing,
            FastAdversarial,
            PgdAdversarial,
            Trades,
            IntervalTraining,
            WeightDecay,
            Dropout,
            Augmentation,
            LabelSmoothing,
            WeightAverage,
            Distillation,
            EnsembleTraining,
            Masked,
            BitDepth,
            Median,
            Jpeg,
            AdaptiveSmoothing,
            TotalVariation,
        )
    }
)


def parse(wanted: Sequence[str]) -> tuple[Defence, ...]:
    """The defences that spec strings name, such as ["mask:ratio=0.3,fill=noise,when=train", "fgsm-rs:eps=0.1"].

    A mask for the test alone needs no training and becomes what it is: something that stands before the network.
    """
    found = (specs.parse(spec, DEFENCES, "defence") for spec in wanted)
    return tuple(item.preprocessor() if isinstance(item, Mask) and item.when == "test" else item for item in found)


__all__ = [
    "DEFENCES",
    "Augmentation",
    "Defence",
    "Distillation",
    "Dropout",
    "EnsembleTraining",
    "FastAdversarial",
    "GradientClipping",
    "GradientNoise",
    "GradientSmoothing",
    "Hardened",
    "Hardening",
    "InputGradientPenalty",
    "InputGradientSmoothing",
    "IntervalTraining",
    "LabelSmoothing",
    "LearnedMask",
    "Mask",
    "PgdAdversarial",
    "Trades",
    "TrainingDefence",
    "WeightAverage",
    "WeightDecay",
    "generate_mask",
    "kept_features",
    "parse",
    "trained_with",
]
