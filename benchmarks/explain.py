"""DeepShap against shap.DeepExplainer and the autograd floor, on paper 1's network and MNIST, measured in turns.

The floor is plain autograd with frozen weights: one forward and one backward pass to the input per pair and no rule
at all. Every method explains the same images in every round, one after the other in one process and one thread; the
ratios are medians over the rounds of ratios within a round, so that other jobs on the machine hit both sides.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from pixelproof import data, models
from pixelproof.explain import DeepShap

BACKGROUNDS = 100
FLOOR_CHUNK = 50


def floor(model, images, background, classes) -> None:
    """One forward and one backward pass per (image, background) pair; `classes` (n, k) logits are pulled back."""
    with models.frozen(model):
        for image, wanted in zip(images, classes, strict=True):
            for part in background.split(FLOOR_CHUNK):
                rows = image.expand(len(part), -1, -1, -1).clone().requires_grad_()
                logits = model(rows)
                for position, k in enumerate(wanted.tolist()):
                    torch.autograd.grad(logits[:, k].sum(), rows, retain_graph=position + 1 < len(wanted))


def peak_extra(work: Callable[[], object]) -> float:
    """Megabytes of resident memory that `work` adds at its peak, sampled every 2 ms."""
    gc.collect()
    if platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)
    page = 4096 / 1e6
    read = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * page  # noqa: E731
    before, peak, done = read(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, read())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(0.0, peak - before)


def rounds(work: dict[str, tuple[Callable[[], object], int]], times: int) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds per image of every method, `times` rounds of all of them in turn, after a warm-up."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for run, _ in work.values():
        run()
    for _ in range(times):
        for name, (run, images) in work.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            spent[name].append(((time.process_time() - cpu) / images, (time.perf_counter() - wall) / images))
    return spent


def summary(spent: dict[str, list[tuple[float, float]]], own: str) -> dict[str, dict[str, float]]:
    """Median seconds per image, and how many times longer each method takes than `own`, CPU and wall."""
    table = {}
    for name, rows in spent.items():
        entry = {"cpu_s_per_image": statistics.median(row[0] for row in rows)}
        entry["wall_s_per_image"] = statistics.median(row[1] for row in rows)
        for axis, key in enumerate(("cpu_ratio", "wall_ratio")):
            entry[key] = statistics.median(row[axis] / ours[axis] for row, ours in zip(rows, spent[own], strict=True))
        table[name] = entry
    return table


def measure(full: bool) -> dict[str, object]:
    """Every figure of the table in docs/explain.md."""
    import shap

    torch.set_num_threads(1)
    train = data.load("mnist", "train")
    model = models.load("cnn", data=train, device="cpu")
    images = data.load("mnist", "test").images[: 40 if full else 10]
    background = train.images[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:BACKGROUNDS]]
    few, fewer = images[: 20 if full else 5], images[: 5 if full else 2]
    rng = torch.Generator()
    own, peer = DeepShap(background), shap.DeepExplainer(model, background)
    predicted = own(model, images, None, rng).classes
    everything = torch.arange(10).expand(len(images), -1)

    def explained(n: int) -> Callable[[], object]:
        return lambda: own(model, images[:n], None, rng)

    one = {
        "pixelproof": (explained(len(images)), len(images)),
        "floor": (lambda: floor(model, few, background, predicted[: len(few), None]), len(few)),
        "shap": (lambda: peer.shap_values(few, ranked_outputs=1, check_additivity=False), len(few)),
    }
    every = {
        "pixelproof": (lambda: own.all_classes(model, few), len(few)),
        "floor": (lambda: floor(model, fewer, background, everything[: len(fewer)]), len(fewer)),
        "shap": (lambda: peer.shap_values(fewer, check_additivity=False), len(fewer)),
    }
    times = 7 if full else 3
    theirs = torch.tensor(peer.shap_values(fewer, check_additivity=False)).permute(0, 4, 1, 2, 3)
    ours = own.all_classes(model, fewer)
    difference = float((theirs - ours.values).abs().max())
    memory = {
        "pixelproof": peak_extra(explained(5)),
        f"pixelproof, {len(images)} images": peak_extra(explained(len(images))),
        "pixelproof, all classes": peak_extra(lambda: own.all_classes(model, fewer)),
        "shap": peak_extra(lambda: peer.shap_values(images[:5], ranked_outputs=1, check_additivity=False)),
        "shap, all classes": peak_extra(lambda: peer.shap_values(fewer, check_additivity=False)),
    }
    return {
        "accuracy": model.card.accuracy,
        "backgrounds": BACKGROUNDS,
        "rounds": times,
        "images": {"one": [work[1] for work in one.values()], "every": [work[1] for work in every.values()]},
        "largest_difference_to_shap": difference,
        "largest_gap": float(ours.gap.max()),
        "one": summary(rounds(one, times), "pixelproof"),
        "every": summary(rounds(every, times), "pixelproof"),
        "memory_mb": memory,
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more images and rounds: minutes instead of seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shap and matplotlib warn about their own dependencies
        found = measure(options.full)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['backgrounds']} backgrounds, {found['rounds']} rounds, 1 thread; images per round {found['images']}")
    for kind, label in (("one", "predicted class"), ("every", "all ten classes")):
        for name, row in found[kind].items():
            cpu, wall = 1e3 * row["cpu_s_per_image"], 1e3 * row["wall_s_per_image"]
            print(
                f"{label:16} {name:11} CPU {cpu:8.1f} ms/image = {row['cpu_ratio']:5.2f}x ours,"
                f" wall {wall:8.1f} ms/image = {row['wall_ratio']:5.2f}x ours"
            )
    print("peak extra memory, MB:", {name: round(size) for name, size in found["memory_mb"].items()})
    print(f"largest difference to shap {found['largest_difference_to_shap']:.1e}, gap {found['largest_gap']:.1e}")


if __name__ == "__main__":
    main()
