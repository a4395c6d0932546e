"""The ensemble and the minimal attacks beside their peers: robust accuracy, distance, CPU time; one process.

    python benchmarks/suite.py [--part ensemble apgd minimal l0 curve] [--data mnist] [--model cnn] [--norm linf]
        [--eps 0.1] [--n 200] [--who fast standard torchattacks] [--nearest ddn fmn-l2 fmn-linf fmn-l1 cw]

Peers that are not installed (torchattacks, foolbox) are left out and named.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from pixelproof import attacks, data, lp, measure, models
from pixelproof.attacks import APGD, CW, DDN, FMN, PGD, Auto, SigmaZero
from pixelproof.data import Dataset
from pixelproof.lp import Ball
from pixelproof.models import Classifier
from pixelproof.specs import number

Row = dict[str, object]
ENSEMBLES = ("fast", "standard", "torchattacks")
NEAREST = ("ddn", "fmn-l2", "fmn-linf", "fmn-l1", "cw")
PEER_NORMS = {"linf": "Linf", "l2": "L2"}
PEER_BATCH = 64  # as ours: larger batches would only slow the peers down


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--eps", default="0.1", help="such as 0.1 or 8/255")
    parser.add_argument("--who", nargs="+", choices=ENSEMBLES, default=ENSEMBLES, help="of the part ensemble")
    parser.add_argument("--nearest", nargs="+", choices=NEAREST, default=NEAREST, help="of the part minimal")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    train, test = data.load(given.data, "train"), data.load(given.data, "test").sample(given.n, given.seed)
    model = models.load(given.model, data=train)
    test = test[model.predict(test.images).argmax(1) == test.labels]
    print(f"{given.model} on {given.data}, {len(test)} correctly classified images, seed {given.seed}", flush=True)
    task = Task(model, test, given.norm, number(given.eps), tuple(given.who), tuple(given.nearest))
    for part in given.part:
        for row in PARTS[part](task):
            print(json.dumps({"part": part, **row}), flush=True)


@dataclass(frozen=True)
class Task:
    """What is attacked, how far, by which ensembles and by which minimal attacks."""

    model: Classifier
    test: Dataset
    norm: Ball
    eps: float
    who: tuple[str, ...]
    nearest: tuple[str, ...]


def ensemble(task: Task) -> Iterator[Row]:
    """auto, its standard schedule, and torchattacks' AutoAttack."""
    model, test = task.model, task.test
    for version in ("fast", "standard"):
        if version not in task.who:
            continue
        bounds: list[tuple[float, int]] = []
        started = time.process_time()

        def note(live: measure.Live, bounds: list = bounds, started: float = started) -> None:
            bounds.append((time.process_time() - started, live.bound.hits))

        found = measure.evaluate(model, test, Auto(task.eps, task.norm, version), tell=note)
        spent = time.process_time() - started
        final = found.robust_accuracy.hits
        near = next(seconds for seconds, standing in bounds if standing - final <= 0.02 * len(test))
        facts = {
            "within_2_points_after_s": round(near, 2),
            "gradients_per_image": round(float(found.passes[:, 1].double().mean()), 1),
        }
        yield {"attack": f"auto:{version}", "robust": round(final / len(test), 4), "cpu_s": round(spent, 2), **facts}
    if "torchattacks" in task.who and (peer := _peer("torchattacks")):
        whole = peer.AutoAttack(model, norm=PEER_NORMS[task.norm], eps=task.eps, seed=0, n_classes=len(test.classes))
        yield _run_peer("torchattacks AutoAttack", whole, model, test)


def apgd(task: Task) -> Iterator[Row]:
    """APGD-CE with 100 steps: float32, bfloat16 gradients, torchattacks."""
    model, test = task.model, task.test
    for precision in ("float32", "auto"):
        attack = APGD(task.eps, norm=task.norm, precision=precision)  # type: ignore[arg-type]
        found, spent = _timed(lambda attack=attack: attacks.mount(attack, model, test))
        yield {
            "attack": f"apgd {precision}",
            "robust": round(float(found.robust_accuracy), 4),
            "cpu_s": round(spent, 2),
        }
    if peer := _peer("torchattacks"):
        attack = peer.APGD(model, norm=PEER_NORMS[task.norm], eps=task.eps, steps=100, seed=0)
        yield _run_peer("torchattacks APGD", attack, model, test)


def minimal(task: Task) -> Iterator[Row]:
    """DDN, FMN and CW against foolbox's, with foolbox's numbers of steps."""
    model, test = task.model, task.test
    ours = {"ddn": DDN(), "fmn-l2": FMN("l2"), "fmn-linf": FMN("linf"), "fmn-l1": FMN("l1"), "cw": CW(searches=4)}
    foolbox = _peer("foolbox")
    for name, attack in ours.items():
        if name not in task.nearest:
            continue
        found, spent = _timed(lambda attack=attack: attacks.mount(attack, model, test))
        median = float(found.minimal(attack.norm).median())
        yield _distances(name, median, float(found.success.float().mean()), spent)
        if foolbox is None:
            continue
        theirs = {
            "ddn": lambda: foolbox.attacks.DDNAttack(steps=100),
            "fmn-l2": lambda: foolbox.attacks.L2FMNAttack(steps=100),
            "fmn-linf": lambda: foolbox.attacks.LInfFMNAttack(steps=100),
            "fmn-l1": lambda: foolbox.attacks.L1FMNAttack(steps=100),
            "cw": lambda: foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=4, steps=1000),
        }[name]()
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        images, spent = _timed(
            lambda theirs=theirs, wrapped=wrapped: torch.cat(
                [theirs(wrapped, part.images, part.labels, epsilons=None)[1] for part in test.batches(PEER_BATCH)]
            )
        )
        fooled = model.predict(images).argmax(1) != test.labels
        distance = torch.where(fooled, lp.norm(images - test.images, attack.norm), torch.inf)
        yield _distances(f"foolbox {name}", float(distance.median()), float(fooled.float().mean()), spent)


def fewest(task: Task) -> Iterator[Row]:
    """sigma-zero with 100 and with 1000 steps, and FMN-l0: how many pixels, and how many values, must change."""
    for attack in (SigmaZero(100), SigmaZero(), FMN("l0", 100), FMN("l0", 1000)):
        found, spent = _timed(lambda attack=attack: attacks.mount(attack, task.model, task.test))
        values = (found.images != found.clean).flatten(1).sum(1).float()
        row = _distances(f"{attack.name} {attack.steps}", float(found.minimal("l0").median()), 1, spent)
        fooled = round(float(found.success.float().mean()), 4)
        yield {**row, "fooled": fooled, "median_values": float(values[found.success].median())}


def curve(task: Task) -> Iterator[Row]:
    """Eight budgets up to twice eps: eight PGD-40 runs, and the better of bisection and FMN image by image."""
    model, test, norm = task.model, task.test, task.norm
    budgets = [2 * task.eps * (k + 1) / 8 for k in range(8)]
    each = [PGD(budget, norm=norm) for budget in budgets]
    runs, naive = _timed(lambda: [attacks.mount(attack, model, test) for attack in each])
    found, spent = _timed(lambda: measure.curve(model, test, budgets, norm=norm))
    held = [round(float(run.robust_accuracy), 4) for run in runs]
    yield {"attack": "eight PGD-40 runs", "robust": held, "cpu_s": round(naive, 2)}
    held = [round(float(rate), 4) for rate in found.robust_accuracy]
    yield {"attack": "bisection and FMN", "robust": held, "cpu_s": round(spent, 2)}


PARTS: dict[str, Callable[[Task], Iterator[Row]]] = {
    "ensemble": ensemble,
    "apgd": apgd,
    "minimal": minimal,
    "l0": fewest,
    "curve": curve,
}


def _timed(work: Callable) -> tuple:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def _run_peer(name: str, attack: Callable, model: Classifier, test: Dataset) -> Row:
    images, spent = _timed(lambda: torch.cat([attack(part.images, part.labels) for part in test.batches(PEER_BATCH)]))
    held = model.predict(images).argmax(1) == test.labels
    return {"attack": name, "robust": float(held.float().mean()), "cpu_s": round(spent, 2)}


def _distances(name: str, median: float, fooled: float, spent: float) -> Row:
    return {"attack": name, "median": round(median, 4), "fooled": round(fooled, 4), "cpu_s": round(spent, 2)}


def _peer(name: str):
    if importlib.util.find_spec(name) is None:
        print(f"{name} is not installed: left out", flush=True)
        return None
    return importlib.import_module(name)


if __name__ == "__main__":
    main()
