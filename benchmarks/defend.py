"""What each ingredient of a hardening adds to an epoch: paired ratios of CPU time, inference, size and peak memory.

    python benchmarks/defend.py [--nets mlp masking-cnn] [--rounds 7] [--images 6000] [--only mask fgsm-rs]

Each round times one plain epoch and one epoch with each ingredient, in turn, in this process; the figure is the median
of the rounds' ratios. "plain again" is a second plain epoch: the noise floor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from pixelproof import data, defend
from pixelproof.data import Dataset
from pixelproof.defend import Hardening
from pixelproof.models import Card, Classifier, Training, train
from pixelproof.models.nets import build

try:
    from benchmarks.meters import cpu, peak_extra
except ImportError:  # run as a file
    from meters import cpu, peak_extra

ROWS = {
    "plain again": (),
    "mask 30 %, fill 0": ("mask:ratio=0.3,fill=0,when=train",),
    "mask 30 %, noise": ("mask:ratio=0.3,fill=noise,when=train",),
    "mask 30 %, block": ("mask:ratio=0.3,fill=0,when=train,pattern=block",),
    "mask 30 %, fixed": ("mask:ratio=0.3,fill=0,when=train,pattern=fixed",),
    "gradient-noise": ("gradient-noise:scale=1e-5",),
    "gradient-clip": ("gradient-clip:norm=1",),
    "gradient-smoothing": ("gradient-smoothing:memory=0.9",),
    "input-gradient": ("input-gradient:weight=1",),
    "fgsm-rs half": ("fgsm-rs:eps=0.1,share=0.5,collapse=0",),
    "fgsm-rs full": ("fgsm-rs:eps=0.1,share=1,collapse=0",),
    "pgd-at 7": ("pgd-at:eps=0.1,steps=7,collapse=0",),
    "ibp": ("ibp:eps=0.1,begin=0,ramp=0",),
}
SLOW = ("pgd-at 7",)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=["mlp", "masking-cnn"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--only", nargs="+", help="Rows whose name holds one of these words.")
    parser.add_argument("--full", action="store_true", help="All training images, 11 rounds.")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    images = data.load("mnist", "train")
    if not given.full:
        images = images.sample(given.images, 0)
    few = images.sample(200, 1)
    rows = {
        name: specs
        for name, specs in ROWS.items()
        if not given.only or name == "plain again" or any(word in name for word in given.only)
    }
    for net in given.nets:
        base, ratios = paired(net, images, few, rows, 11 if given.full else given.rounds)
        facts = {"net": net, "images": len(images), "plain_s": round(base, 3), **cost(net, few)}
        print(json.dumps(facts), flush=True)
        for name, values in ratios.items():
            spread = [round(100 * (value - 1), 1) for value in (min(values), max(values))]
            middle = round(100 * (statistics.median(values) - 1), 1)
            print(json.dumps({"net": net, "row": name, "added_percent": middle, "range": spread}), flush=True)
        memory = {
            name: round(peak_extra(lambda net=net, specs=specs: epoch(net, images, few, specs)), 1)
            for name, specs in rows.items()
        }
        print(json.dumps({"net": net, "peak_extra_mb": memory}), flush=True)


def paired(
    net: str, images: Dataset, few: Dataset, rows: dict[str, tuple[str, ...]], rounds: int
) -> tuple[float, dict[str, list[float]]]:
    """Seconds of a plain epoch, and for each row its ratio to the plain epoch of the same round."""
    epoch(net, images, few, ())  # the first one warms caches and allocators
    base: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds):
        for name, specs in rows.items():
            if name in SLOW and number > 2:
                continue
            before = cpu(lambda: epoch(net, images, few, ()))
            spent = cpu(lambda specs=specs: epoch(net, images, few, specs))
            after = cpu(lambda: epoch(net, images, few, ()))
            base.append(min(before, after))
            ratios[name].append(spent / ((before + after) / 2))
    return statistics.median(base), ratios


def epoch(net: str, images: Dataset, few: Dataset, specs: tuple[str, ...]) -> None:
    """One epoch of training, nothing evaluated but 200 images at its end."""
    card = Card(net, images.classes, images.shape)
    model = Classifier(build(net, images.shape, len(images.classes), 0), card)
    settings = Training(epochs=1)
    if specs:
        Hardening(defend.parse(specs), settings).conduct(model, images, validation=few)
    else:
        train(model, images, few, settings)


def cost(net: str, few: Dataset) -> dict[str, float]:
    """Inference time per image in batches, and the size of the weights; no ingredient of training changes either."""
    card = Card(net, few.classes, few.shape)
    model = Classifier(build(net, few.shape, len(few.classes), 0), card).eval()
    pixels = few.images.repeat(5, 1, 1, 1)
    model.predict(pixels)
    started = time.process_time()
    for _ in range(5):
        model.predict(pixels)
    spent = (time.process_time() - started) / 5 / len(pixels)
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    return {"inference_us": round(1e6 * spent, 2), "size_mb": round(size / 1e6, 3)}


if __name__ == "__main__":
    main()
