"""What a guard says of pictures and of test images, as plain values for the terminal or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixelproof.attacks import AdversarialSet
from pixelproof.data import Dataset, read_images
from pixelproof.detect import Guard, Verdict, adapt
from pixelproof.detect.building import Tell
from pixelproof.detect.evaluation.evaluate import alarms_on_clean, on_attack, on_clean, summary
from pixelproof.errors import BadInput
from pixelproof.models import Classifier
from pixelproof.types import Images

STEPS = 40  # of the attacks that know the guard


def pictures(model: Classifier, path: Path) -> tuple[Images, tuple[str, ...]]:
    """The pictures at a path and their names; BadInput when the model expects another shape."""
    pixels, names = read_images(path, channels=model.card.input_shape[0])
    if tuple(pixels.shape[1:]) != model.card.input_shape:
        expected = f"{model.card.name} expects images {model.card.input_shape} (channels, height, width)"
        raise BadInput(str(path), expected, tuple(pixels.shape[1:]), "Resize or convert them first.")
    return pixels.float() / 255, tuple(names)


def judged(guard: Guard, model: Classifier, images: Images, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The verdict on each picture, with its neighbours where the guard has them."""
    verdict, predicted = guard(model, images), model.predict(images).argmax(1)
    classes = model.card.classes
    return [
        {
            "image": name,
            "predicted": classes[int(predicted[row])],
            "score": float(verdict.score[row]),
            "threshold": verdict.threshold,
            "p_value": float(verdict.p_value[row]),
            "alarm": bool(verdict.alarm[row]),
            "recovered": None if verdict.recovered[row] < 0 else classes[int(verdict.recovered[row])],
            "layers": _evidence(verdict, row, classes),
        }
        for row, name in enumerate(names)
    ]


def _evidence(verdict: Verdict, row: int, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "layer": layer.layer,
            "alarm": bool(layer.alarm[row]),
            "votes": {classes[label]: count for label, count in enumerate(layer.votes[row].tolist()) if count},
            "recovered": None if layer.recovered[row] < 0 else classes[int(layer.recovered[row])],
            "neighbours": layer.index[row].tolist(),
            "distances": [round(value, 6) for value in layer.distance[row].tolist()],
        }
        for layer in verdict.evidence
    ]


def measured(
    guard: Guard, model: Classifier, test: Dataset, found: dict[str, AdversarialSet], seed: int
) -> dict[str, Any]:
    """False alarms on test images, natural errors, and the figures against each attack that ever succeeded."""
    clean_verdict, right = on_clean(guard, model, test)
    alarms = alarms_on_clean(clean_verdict, right)
    attacked = []
    for spec, one in found.items():
        row: dict[str, Any] = {"attack": spec, "fooled": int(one.success.sum()), "attacked": len(one)}
        if one.success.any():
            figures = summary(on_attack(guard, model, one, seed=seed), clean_verdict, right, seed=seed)
            row |= {
                "auroc": figures.figures.auroc.value,
                "auroc_interval": [figures.figures.auroc.low, figures.figures.auroc.high],
                "alarms": figures.alarms,
                "recovered": figures.recovered,
                "remark": figures.remark,
                "second_class": figures.second,
                "milliseconds_per_image": round(1000 * figures.seconds_per_image, 3),
            }
        attacked.append(row)
    return {
        "test_images": len(test),
        "false_alarms": alarms.false_alarms,
        "natural_error_alarms": alarms.on_wrong,
        "attacks": attacked,
    }


def known(
    guard: Guard, model: Classifier, test: Dataset, n: int, found: dict[str, AdversarialSet], seed: int, tell: Tell
) -> dict[str, Any]:
    """What attacks that know the guard reach, at the largest linf budget of the attacks that were asked for."""
    eps = max((one.eps for one in found.values() if one.norm == "linf" and one.eps is not None), default=8 / 255)
    tell("attacks that know the guard", 0, 1, f"eps {eps:.3g}")
    known = adapt(guard, model, test.sample(n, seed), eps=eps, steps=STEPS, seed=seed)
    tell("attacks that know the guard", 1, 1, f"eps {eps:.3g}")
    return {"eps": eps, "steps": STEPS, "attacks": list(known.attacks), "evaded": known.lost}
