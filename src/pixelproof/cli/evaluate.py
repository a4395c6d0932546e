"""evaluate: the strongest evaluation that a time budget buys."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.amounts import budgets_up_to, duration, share, size
from pixelproof.cli.evaluate_shown import show
from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import GATE, AsJson, DataDir, Device, Quiet, Seed, Weights
from pixelproof.cli.progress import line, progress
from pixelproof.cli.screen import emit
from pixelproof.errors import BadInput

if TYPE_CHECKING:
    from pixelproof.measure import Live

EVALUATION = 0.8  # share of the time budget, when the curve wants some of it


def evaluate(
    model_name: Annotated[str, typer.Argument(metavar="MODEL", help="cnn, ..., model.safetensors, my_model.py:build.")],
    data_name: Annotated[str, typer.Argument(metavar="DATA", help="digits, mnist, cifar10, or a path to your own.")],
    norm: Annotated[str, typer.Option("--norm", help="linf, l2 or l1.")] = "linf",
    eps: Annotated[str, typer.Option("--eps", help="Size of the allowed change, such as 8/255 or 0.5.")] = "8/255",
    version: Annotated[str, typer.Option("--version", help="fast, or standard: AutoAttack's schedule.")] = "fast",
    budget: Annotated[
        str | None, typer.Option("--budget", help="Time to spend: 90s, 10m or 2h (default: all).")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="A seeded stratified sample of n images.")] = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Keep it here; the same command goes on.")] = None,
    points: Annotated[
        int | None, typer.Option("--curve", min=2, help="Also the curve at so many budgets, up to twice eps.")
    ] = None,
    target: Annotated[int | None, typer.Option("--target", help="Broken means taken for this class.")] = None,
    fail_under: Annotated[
        str | None, typer.Option("--fail-under", help="Exit with 3 where the bound is lower, such as 40% or 0.4.")
    ] = None,
    weights: Weights = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Bound the robust accuracy of MODEL on DATA from above, as far down as the time allows."""
    started = time.monotonic()  # loading counts as well as attacking
    import torch

    from pixelproof import attacks, data, measure
    from pixelproof.attacks.mount import LOOKED_AT
    from pixelproof.attacks.stochastic import is_stochastic
    from pixelproof.measure.evaluate import OUT_OF_TIME
    from pixelproof.views.commands import evaluated

    attack = attacks.parse(f"auto:eps={eps},norm={norm},version={version}")
    assert isinstance(attack, attacks.Auto)
    if points is not None and target is not None:
        raise BadInput("evaluate", "the curve is untargeted", "--curve with --target", "Leave one of them out.")
    seconds = None if budget is None else duration(budget)
    size(eps, attack.norm)
    least = None if fail_under is None else share(fail_under)
    images = data.load(data_name, "test", data_dir)
    images = images if n is None else images.sample(n, seed)
    if target is not None:
        images = images[images.labels != target]
    targets = None if target is None else torch.full_like(images.labels, target)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
    if points is not None and is_stochastic(model, images[:LOOKED_AT].images):
        raise BadInput(
            "--curve", "the model must be deterministic", "a random one", "Evaluate it at each budget instead."
        )
    spec: dict[str, object] = {
        "command": "evaluate",
        "model": model.digest(),
        "data": images.digest(),
        "attack": str(attack),
    }
    spec |= {"seed": seed, "target": target}
    with line(silent=quiet or as_json) as say, kept(out_folder, spec, lambda what, *_: say(what, True)) as run:
        known = [-1]

        def heard(live: Live) -> None:
            left = "" if live.left is None else f", {live.left:.0f} s left"
            bound = str(live.bound).partition(", n=")[0]
            text = f"robust accuracy <= {bound} after {live.seconds:.1f} s{left}"
            say(f"{text}; {live.part}, {live.done}/{live.total}", live.bound.hits != known[0])
            known[0] = live.bound.hits

        def left(most: float = 1.0) -> float | None:
            return None if seconds is None else max(1e-9, most * (seconds - (time.monotonic() - started)))

        part = left(1.0 if points is None else EVALUATION)
        found = measure.evaluate(model, images, attack, targets=targets, seed=seed, budget=part, run=run, tell=heard)
        curve = None
        if points is not None:
            curve = measure.curve(
                model,
                images,
                budgets_up_to(attack, points),
                norm=attack.norm,
                seed=seed,
                known=found,
                budget=left(),
                run=run,
                tell=lambda done, total: say(f"curve, {done} of {total} images", done == total),
            )
        if run is not None and found.ended != OUT_OF_TIME:
            run.finish({"seconds": {"evaluation": found.seconds}, "ended": found.ended})
    answer = evaluated(found, curve, eps)
    emit(answer) if as_json else show(answer)
    if least is not None and float(found.robust_accuracy) < least:
        raise typer.Exit(GATE)
