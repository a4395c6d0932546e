"""Attacks against the bare loop, foolbox and torchattacks, on paper 1's network and MNIST, measured in turns.

The bare loop is nothing but steps x (forward + backward to the input), eager, with frozen weights, at its best batch
size and memory layout. All contenders attack the same correctly classified images one after the other in every round,
in one process and one thread; ratios are medians over rounds of ratios within a round, so that other jobs on the
machine hit both sides. Success is always our own re-prediction of the returned images. Peers are optional.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import importlib
import json
import platform
import statistics
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pixelproof import data, models
from pixelproof.attacks import BIM, FGSM, PGD, DeepFool, mount, sweep
from pixelproof.data import Dataset
from pixelproof.draws import Draws
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal

GRID = [round(0.025 * k, 3) for k in range(1, 9)]
PEER_BATCH = 64
ROUNDS = {"FGSM": 5, "BIM": 3, "PGD": 2, "DeepFool": 1}  # of a full run; a quick one has one of each
Attack = Callable[[], Tensor]


@dataclass
class Scene:
    """The network, the images, and the bare loop's best batch size and layout."""

    model: Classifier
    images: Dataset
    bare_model: Classifier
    bare_batch: int

    @classmethod
    def of(cls, n: int) -> Scene:
        model = models.load("cnn", data=data.load("mnist"), training=models.Training(), device="cpu")
        test = data.load("mnist", "test")
        correct = model.predict(test.images).argmax(1) == test.labels
        scene = cls(model, test[correct].sample(n, seed=0), model, 64)
        contiguous = copy.deepcopy(model)
        contiguous.net = contiguous.net.to(memory_format=torch.contiguous_format)
        timed = []
        for net in (model, contiguous):
            for batch in (32, 64, 125, 250):
                scene.bare_model, scene.bare_batch = net, batch
                few = scene.images[:250]
                scene.bare(0.1, 1, images=few)
                timed.append((min(cpu(lambda few=few: scene.bare(0.1, 1, images=few)) for _ in range(3)), batch, net))
        _, scene.bare_batch, scene.bare_model = min(timed, key=lambda row: row[0])
        return scene

    def bare(
        self, eps: float, steps: int, *, relative: float = 1.0, random: bool = False, images: Dataset | None = None
    ) -> Tensor:
        """FGSM (one step), BIM and PGD without anything that would spare a pass."""
        images, found = self.images if images is None else images, []
        generator = torch.Generator().manual_seed(1)
        with frozen(self.bare_model):
            for part in images.batches(self.bare_batch):
                clean, x = part.images, part.images
                low, high = (clean - eps).clamp(0, 1), (clean + eps).clamp(0, 1)
                if random:
                    x = (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
                for _ in range(steps):
                    x = x.detach().requires_grad_()
                    loss = F.cross_entropy(self.bare_model(x), part.labels, reduction="sum")
                    (gradient,) = torch.autograd.grad(loss, x)
                    x = torch.minimum(torch.maximum(x.detach() + relative * eps * gradient.sign(), low), high)
                found.append(x)
        return torch.cat(found)

    def reference(self, eps: float, steps: int) -> float:
        """Success of BIM written plainly, an image counting as fooled when any iterate fools; not timed.

        The bare loop keeps the last iterate only, and now and then an image that was fooled on the way is not at the
        end. An attack that stops at the first success cannot lose those, so it is compared with this.
        """
        relative = 2.0 / steps if steps > 1 else 1.0
        fooled = torch.zeros(len(self.images), dtype=torch.bool)
        x = self.images.images
        for _ in range(steps):
            gradients = []
            for part in range(0, len(x), PEER_BATCH):
                leaf = x[part : part + PEER_BATCH].clone().requires_grad_()
                loss = F.cross_entropy(self.model(leaf), self.images.labels[part : part + PEER_BATCH], reduction="sum")
                gradients.append(torch.autograd.grad(loss, leaf)[0])
            x = x + relative * eps * torch.cat(gradients).sign()
            x = (self.images.images + (x - self.images.images).clamp(-eps, eps)).clamp(0, 1)
            fooled |= self.model.predict(x).argmax(1) != self.images.labels
        return float(fooled.double().mean())

    def called(self, attack) -> Attack:
        """Our attack called by itself."""
        images, goal = self.images.images, Goal(self.images.labels)

        def run() -> Tensor:
            with frozen(self.model):
                return attack(self.model, images, goal, Draws.keyed(0, self.images.index)).detach()

        return run

    def mounted(self, attack) -> Attack:
        """Our attack through the harness: selection, verification, and judging in float32 and in 8 bits included."""
        return lambda: mount(attack, self.model, self.images).images

    def foolbox(self, name: str, eps: float | None, **settings) -> Attack | None:
        foolbox = optional("foolbox")
        if foolbox is None:
            return None

        def run() -> Tensor:
            wrapped = foolbox.PyTorchModel(self.model, bounds=(0, 1), device="cpu")
            attack = getattr(foolbox.attacks, name)(**settings)
            kind = foolbox.criteria.Misclassification
            parts = self.images.batches(PEER_BATCH)
            found = torch.cat([attack(wrapped, part.images, kind(part.labels), epsilons=eps)[1] for part in parts])
            self.model.zero_grad(set_to_none=True)
            return found

        return run

    def torchattacks(self, name: str, **settings) -> Attack | None:
        torchattacks = optional("torchattacks")
        if torchattacks is None:
            return None

        def run() -> Tensor:
            attack = getattr(torchattacks, name)(self.model, **settings)
            found = torch.cat([attack(part.images, part.labels) for part in self.images.batches(PEER_BATCH)])
            self.model.zero_grad(set_to_none=True)
            return found.detach()

        return run

    def success(self, images: Tensor) -> float:
        return float((self.model.predict(images).argmax(1) != self.images.labels).double().mean())

    def contenders(self, full: bool) -> dict[str, dict[str, Attack | None]]:
        """Per row of the table, who takes part; the first is what the others are divided by."""
        rows: dict[str, dict[str, Attack | None]] = {}
        for eps in (0.1, 0.2):
            rows[f"FGSM eps {eps}"] = {
                "bare loop": lambda eps=eps: self.bare(eps, 1),
                **self._ours(FGSM(eps)),
                "foolbox": self.foolbox("LinfFastGradientAttack", eps),
                "torchattacks": self.torchattacks("FGSM", eps=eps),
            }
            rows[f"BIM-10 eps {eps}"] = {
                "bare loop": lambda eps=eps: self.bare(eps, 10, relative=0.2),
                **self._ours(BIM(eps)),
                "foolbox": self.foolbox(
                    "LinfBasicIterativeAttack", eps, steps=10, rel_stepsize=0.2, random_start=False
                ),
                "torchattacks": self.torchattacks("BIM", eps=eps, alpha=0.2 * eps, steps=10),
            }
            rows[f"PGD-40 eps {eps}"] = {
                "bare loop": lambda eps=eps: self.bare(eps, 40, relative=2.5 / 40, random=True),
                **self._ours(PGD(eps)),
                "ours, float32": self.called(PGD(eps, precision="float32")),
                "foolbox": self.foolbox("LinfPGD", eps, steps=40, rel_stepsize=2.5 / 40),
                "torchattacks": self.torchattacks("PGD", eps=eps, alpha=2.5 / 40 * eps, steps=40),
            }
        rows["DeepFool-50 linf"] = {
            "foolbox": self.foolbox("LinfDeepFoolAttack", None, steps=50),
            **self._ours(DeepFool()),
        }
        rows["DeepFool-50 l2"] = {
            "foolbox": self.foolbox("L2DeepFoolAttack", None, steps=50),
            **self._ours(DeepFool(norm="l2")),
            "torchattacks": self.torchattacks("DeepFool", steps=50) if full else None,
        }
        return rows

    def _ours(self, attack) -> dict[str, Attack | None]:
        return {"ours": self.called(attack), "ours, mounted": self.mounted(attack)}


def optional(name: str):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError:
        return None


def cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


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
    robust = [float(found.robust_accuracy) for found in curve]
    apart = [1 - scene.success(images) for images in separate]
    return {
        "cpu_ratio": own / floor,
        "cpu_s": own,
        "bare_cpu_s": floor,
        "eps": GRID,
        "robust_accuracy": robust,
        "robust_accuracy_separate": apart,
        "largest_excess": max(mine - theirs for mine, theirs in zip(robust, apart, strict=True)),
        "monotone": robust == sorted(robust, reverse=True),
        "passes": float(curve[0].backwards.double().mean()),
    }


def peak_extra(work: Callable[[], object]) -> float:
    """Megabytes of resident memory that `work` adds at its peak, sampled every 2 ms."""
    read = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6  # noqa: E731
    gc.collect()
    if platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)
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
    print("  sweep   ", *(f"{rate:6.3f}" for rate in curve["robust_accuracy"]))
    print("  separate", *(f"{rate:6.3f}" for rate in curve["robust_accuracy_separate"]))
    for n, cell in found["memory"].items():
        print(f"mount of {n} images: peak +{cell['peak_mb']:.0f} MB, of which {cell['kept_mb']:.0f} MB are its images")


if __name__ == "__main__":
    main()
