"""One-pixel candidates and attacks: CPU time of pixelproof, its peers, and plain forward passes, in one process.

Three tables: CPU time per 1000 candidates (incremental against the best batch of full forward passes); attacks on the
same images (success, CPU seconds per image); growth of both with image size and width. Without --weights the network
is untrained and the images are random: the times hold, the success rates mean nothing. torchattacks and ART (the extra
`peers`) are measured where they are installed. One thread; costs are medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from benchmarks.meters import cpu
from benchmarks.one_pixel import Contender, own, peers
from pixelproof.attacks.pixel import OnePixel, OnePixelDE
from pixelproof.attacks.pixel.engine import executor
from pixelproof.attacks.pixel.incremental import Incremental
from pixelproof.attacks.pixel.margins import colour_grid
from pixelproof.models import Card, Classifier, open_saved
from pixelproof.models.nets import build
from pixelproof.types import Goal

CLASSES = tuple(str(k) for k in range(10))
BATCHES = (16, 32, 64, 128)
MOST_PLACES = 1024  # pixels of a sweep; on larger images a random choice


def rounds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each, measured in turn so that noise falls on all alike."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(cpu(work))
    return {name: median(values) for name, values in times.items()}


def widened(width: float) -> nn.Sequential:
    """The cifar-cnn with its channels multiplied by `width`."""
    few, many = int(32 * width), int(64 * width)
    return nn.Sequential(
        nn.Conv2d(3, few, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(few, few, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(few, many, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(many, many, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(many * 36, int(512 * width)),
        nn.ReLU(),
        nn.Linear(int(512 * width), 10),
    ).to(memory_format=torch.channels_last)


def per_thousand(model: Classifier, repeats: int, levels: tuple[int, ...] = (2, 3)) -> dict[str, float]:
    """CPU milliseconds per 1000 candidates: full passes at their best batch, and incremental sweeps."""
    shape = model.card.input_shape
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    engine = executor(model, image)
    places = torch.randperm(shape[1] * shape[2], generator=torch.Generator().manual_seed(0))[:MOST_PLACES]
    works: dict[str, Callable[[], object]] = {}
    counts: dict[str, int] = {}
    for size in BATCHES:
        batch = image.repeat(size, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        works[f"full batch {size}"] = lambda batch=batch: [model(batch) for _ in range(256 // len(batch))]
        counts[f"full batch {size}"] = 256
    for level in levels:
        colours = colour_grid(shape[0], level)
        name = f"incremental {len(colours)} colours"
        works[name] = lambda colours=colours: engine.focus(image).logits(places, colours.expand(len(places), -1, -1))
        counts[name] = len(places) * len(colours)
    with torch.no_grad():
        found = {name: 1e6 * seconds / counts[name] for name, seconds in rounds(works, repeats).items()}
    found["best full batch"] = min(value for name, value in found.items() if name.startswith("full"))
    found["arithmetic"] = engine.plan.gain if isinstance(engine, Incremental) else 1.0
    return found


def trained(weights: Path | None, n: int, *, fallen: bool) -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    """The network, and the first `n` test images that it gets right (random ones without weights).

    With `fallen` those of them that some pixel fools: elsewhere no attack can succeed, and all of them look alike.
    """
    if weights is None:
        net = build("cifar-cnn", (3, 32, 32), 10, 0)
        model = Classifier(net, Card("cifar-cnn", CLASSES, (3, 32, 32))).eval()
        images = torch.rand((n, 3, 32, 32), generator=torch.Generator().manual_seed(0))
        return model, images, model.predict(images).argmax(1)
    from pixelproof import data

    model = open_saved(weights, torch.device("cpu"))
    test = data.load("cifar10", split="test")[torch.arange((20 if fallen else 4) * n + 50)]
    right = (model.predict(test.images).argmax(1) == test.labels).nonzero()[:, 0]
    if fallen:
        found: list[int] = []
        for row in right.tolist():
            image, goal = test[row : row + 1].images, Goal(test.labels[row : row + 1])
            if len(found) < n and OnePixel().search(model, image, goal).success.all():
                found.append(row)
        right = torch.tensor(found)
    right = right[:n]
    return model, test[right].images, test[right].labels


def attacks(
    model: Classifier, images: torch.Tensor, labels: torch.Tensor, *, slow: int, evolution: tuple[int, int]
) -> list[dict]:
    """Success, queries and CPU seconds per image; the evolutionary attacks get the first `slow` images only.

    `evolution` is (population, generations); `beyond one-pixel` counts images that an attack fools and `one-pixel` not.
    """
    population, iterations = evolution
    contenders: dict[str, tuple[int, Contender | None]] = {
        "one-pixel": (len(images), own(model, OnePixel())),
        "one-pixel, ranked only": (len(images), own(model, OnePixel(sweep="never"))),
        "one-pixel, first images": (slow, own(model, OnePixel())),
        "one-pixel, ranked only, first images": (slow, own(model, OnePixel(sweep="never"))),
        "one-pixel-de": (slow, own(model, OnePixelDE(population, iterations))),
    }
    contenders |= {name: (slow, attack) for name, attack in peers(model, population, iterations).items()}
    rows = []
    swept = torch.zeros(len(images), dtype=torch.bool)
    for name, (n, attack) in contenders.items():
        if attack is None:
            rows.append({"attack": name, "n": 0})
            continue
        np.random.seed(0)  # the peers draw from numpy's global generator
        began = time.process_time()
        best, queries = attack(images[:n], labels[:n])
        seconds = time.process_time() - began
        hit = model.predict(best.float().clamp(0, 1)).argmax(1) != labels[:n]
        swept = hit if name == "one-pixel" else swept
        row = {"attack": name, "n": n, "fooled": int(hit.sum()), "beyond one-pixel": int((hit & ~swept[:n]).sum())}
        rows.append({**row, "queries_per_image": queries / n, "cpu_seconds_per_image": seconds / n})
    return rows


def growth(full: bool) -> list[dict]:
    """Milliseconds per 1000 candidates by image size and by width."""
    rows = []
    for size in (28, 32, 64, 96) if full else (28, 64):
        net = build("cifar-cnn", (3, size, size), 10, 0)
        found = per_thousand(Classifier(net, Card("cifar-cnn", CLASSES, (3, size, size))).eval(), 3, (2,))
        rows.append({"network": f"{size} x {size}", **found})
    for width in (0.5, 1.0, 2.0) if full else (0.5,):
        found = per_thousand(Classifier(widened(width), Card("cifar-cnn", CLASSES, (3, 32, 32))).eval(), 3, (2,))
        rows.append({"network": f"width x {width:g}", **found})
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="75 generations, more images and sizes: an hour")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument(
        "--weights",
        type=Path,
        help="model.safetensors of 'pixelproof train --model cifar-cnn' (needs the CIFAR-10 files)",
    )
    parser.add_argument("--slow", type=int, help="images for the evolutionary attacks (12 with --full, else 1)")
    parser.add_argument("--fallen", action="store_true", help="attack images that some pixel fools, and no others")
    parser.add_argument("--population", type=int, default=400, help="of the evolutionary attacks")
    parser.add_argument("--generations", type=int, help="of the evolutionary attacks (75 with --full, else 1)")
    parser.add_argument("--only", choices=("costs", "attacks", "growth"), help="one of the three tables")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    slow = options.slow or (12 if options.full else 1)
    iterations = options.generations or (75 if options.full else 1)
    n = slow if options.fallen else max(slow, 60 if options.full else 4)
    model, images, labels = trained(options.weights, n, fallen=options.fallen)
    wanted = [options.only] if options.only else ["costs", "attacks", "growth"]
    evolution = (options.population, iterations)
    report = {
        "per_1000_candidates_ms": per_thousand(model, 9 if options.full else 3) if "costs" in wanted else {},
        "attacks": attacks(model, images, labels, slow=slow, evolution=evolution) if "attacks" in wanted else [],
        "growth_ms_per_1000": growth(options.full) if "growth" in wanted else [],
        "population": options.population,
        "generations": iterations,
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return
    costs = report["per_1000_candidates_ms"]
    for name, value in costs.items():
        print(f"{name:28} {value:8.1f} " + ("times fewer multiplications" if name == "arithmetic" else "ms / 1000"))
    for name, value in costs.items():
        if name.startswith("incremental"):
            print(f"{name}: {costs['best full batch'] / value:.1f} times cheaper than the best full batch")
    for row in report["attacks"]:
        if not row["n"]:
            print(f"{row['attack']:36} not installed")
            continue
        fooled = f"fooled {row['fooled']}/{row['n']}, {row['beyond one-pixel']} that one-pixel does not"
        spent = f"{row['queries_per_image']:.0f} queries, {row['cpu_seconds_per_image']:.3f} CPU s / image"
        print(f"{row['attack']:36} {fooled}, {spent}")
    for row in report["growth_ms_per_1000"]:
        cheap, best = row["incremental 8 colours"], row["best full batch"]
        times = f"{best / cheap:5.1f} x ({row['arithmetic']:.1f} x by arithmetic)"
        print(f"{row['network']:12} full {best:8.1f}  incremental {cheap:7.1f}  {times}")


if __name__ == "__main__":
    main()
