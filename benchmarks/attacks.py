"""Attacks against the bare loop, foolbox and torchattacks, on paper 1's network and MNIST, measured in turns.

The bare loop is nothing but steps x (forward + backward to the input), eager, with frozen weights, at its best batch
size and memory layout. All contenders attack the same correctly classified images one after the other in every round,
in one process and one thread; ratios are medians over rounds of ratios within a round, so that other jobs on the
machine hit both sides. Success is always our own re-prediction of the returned images. Peers are optional.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings

import torch
from torch import Tensor

from benchmarks.contenders import Attack, Scene
from benchmarks.meters import peak_extra
from pixelproof import data
from pixelproof.attacks import FGSM, PGD, mount, sweep

GRID = [round(0.025 * k, 3) for k in range(1, 9)]
ROUNDS = {"FGSM": 5, "BIM": 3, "PGD": 2, "DeepFool": 1}  # of a full run; a quick one has one of each


def compare(contenders: dict[str, Attack | None], rounds: int, scene: Scene, norm: str) -> dict[str, dict[str, float]]:
    """Milliseconds per image, ratio to the first contender, success and median distance of every contender."""
    spent: dict[str, list[tuple[float, float]]] = {}
    images: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, run in contenders.items():
            if run is None:
                continue
            wall, used = time.perf_counter(), time.process_time()
            images[name] = run()
            spent.setdefault(name, []).append((time.process_time() - used, time.perf_counter() - wall))
    first = next(iter(spent.values()))
    table = {}
    for name, times in spent.items():
        delta = (images[name] - scene.images.images).flatten(1)
        size = delta.abs().amax(1) if norm == "linf" else torch.linalg.vector_norm(delta, dim=1)
        table[name] = {
            "cpu_ms": 1e3 * statistics.median(row[0] for row in times) / len(delta),
            "wall_ms": 1e3 * statistics.median(row[1] for row in times) / len(delta),
            "cpu_ratio": statistics.median(row[0] / base[0] for row, base in zip(times, first, strict=True)),
            "wall_ratio": statistics.median(row[1] / base[1] for row, base in zip(times, first, strict=True)),
            "success": scene.success(images[name]),
            "median_distance": float(size.median()),
        }
    return table


def curves(scene: Scene) -> dict[str, object]:
    """The curve over eight budgets by `sweep`, beside eight separate bare PGD-40 runs."""
    started = time.process_time()
    separate = [scene.bare(eps, 40, relative=2.5 / 40, random=True) for eps in GRID]
    between = time.process_time()
    curve = sweep(PGD(0.1), scene.model, scene.images, GRID)
    floor, own = between - started, time.process_time() - between
    robust = [float(found.left_standing) for found in curve]
    apart = [1 - scene.success(images) for images in separate]
    return {
        "cpu_ratio": own / floor,
        "cpu_s": own,
        "bare_cpu_s": floor,
        "eps": GRID,
        "left_standing": robust,
        "left_standing_separate": apart,
        "largest_excess": max(mine - theirs for mine, theirs in zip(robust, apart, strict=True)),
        "monotone": robust == sorted(robust, reverse=True),
        "passes": float(curve[0].backwards.double().mean()),
    }


def memory(scene: Scene) -> dict[str, dict[str, float]]:
    """Peak memory of a mount that grows eightfold, beside what the images and the results themselves take."""
    test = data.load("mnist", "test")
    table = {}
    mount(FGSM(0.1), scene.model, test[:1000])
    for n in (1000, 2000, 4000, 8000):
        kept = 2 * 4 * 784 * n / 1e6  # float32 clean and adversarial images in the result
        table[str(n)] = {"peak_mb": peak_extra(lambda n=n: mount(FGSM(0.1), scene.model, test[:n])), "kept_mb": kept}
    return table


def measure(full: bool, n: int | None) -> dict[str, object]:
    """Every figure of the table in docs/benchmarks.md."""
    torch.set_num_threads(1)
    scene = Scene.of(n or (1000 if full else 64))
    rounds = ROUNDS if full else dict.fromkeys(ROUNDS, 1)
    held = memory(scene)
    rows = {}
    for title, contenders in scene.contenders(full).items():
        kind = title.partition("-")[0].partition(" ")[0]
        print(f"{title} ...", file=sys.stderr, flush=True)
        rows[title] = compare(contenders, rounds[kind], scene, "l2" if title.endswith("l2") else "linf")
    return {
        "images": len(scene.images),
        "rounds": rounds,
        "bare_batch": scene.bare_batch,
        "bare_layout": "channels_last" if scene.bare_model is scene.model else "contiguous",
        "rows": rows,
        "reference": {
            f"{name} eps {eps}": scene.reference(eps, steps)
            for eps in (0.1, 0.2)
            for name, steps in (("FGSM", 1), ("BIM-10", 10))
        },
        "sweep": curves(scene),
        "memory": held,
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="1000 images and several rounds: half an hour")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--images", type=int, default=None, help="how many images (64, or 1000 with --full)")
    options = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # foolbox and torchattacks warn about their own dependencies
        found = measure(options.full, options.images)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"n={found['images']}, rounds {found['rounds']}, 1 thread; bare loop at its best: batch {found['bare_batch']},"
        f" {found['bare_layout']}"
    )
    print(
        f"{'attack':18} {'by':15} {'CPU ms':>8} {'wall ms':>8} {'CPU x':>7} {'wall x':>7} {'success':>8} {'median':>8}"
    )
    for title, row in found["rows"].items():
        for name, cell in row.items():
            print(
                f"{title:18} {name:15} {cell['cpu_ms']:8.2f} {cell['wall_ms']:8.2f} {cell['cpu_ratio']:7.2f}"
                f" {cell['wall_ratio']:7.2f} {cell['success']:8.4f} {cell['median_distance']:8.4f}"
            )
    print(
        "success of a plain loop, any iterate:", *(f"{name} {rate:.4f};" for name, rate in found["reference"].items())
    )
    curve = found["sweep"]
    print(
        f"sweep over 8 budgets: {curve['cpu_ratio']:.3f} of eight bare PGD-40 runs, {curve['passes']:.0f} passes/image"
    )
    print("  eps     ", *(f"{eps:6.3f}" for eps in curve["eps"]))
    print("  sweep   ", *(f"{rate:6.3f}" for rate in curve["left_standing"]))
    print("  separate", *(f"{rate:6.3f}" for rate in curve["left_standing_separate"]))
    for n, cell in found["memory"].items():
        print(f"mount of {n} images: peak +{cell['peak_mb']:.0f} MB, of which {cell['kept_mb']:.0f} MB are its images")


if __name__ == "__main__":
    main()
