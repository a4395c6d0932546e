"""audit: is this robustness believable? The verdict first, then every red flag."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.amounts import duration, size
from pixelproof.cli.audit_shown import show
from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import GATE, AsJson, DataDir, Device, Quiet, Seed, Weights
from pixelproof.cli.progress import progress
from pixelproof.cli.screen import emit

if TYPE_CHECKING:
    from pixelproof.attacks import Attack
    from pixelproof.models import Classifier


def audit(
    model_name: Annotated[str, typer.Argument(metavar="MODEL", help="cnn, ..., model.safetensors, my_model.py:build.")],
    data_name: Annotated[str, typer.Argument(metavar="DATA", help="digits, mnist, cifar10, or a path to your own.")],
    eps: Annotated[str, typer.Option("--eps", help="Size of the allowed change, such as 8/255 or 0.5.")] = "8/255",
    norm: Annotated[str, typer.Option("--norm", help="linf or l2.")] = "linf",
    n: Annotated[int | None, typer.Option("--n", min=1, help="A seeded stratified sample of n images.")] = None,
    trained_with: Annotated[
        str | None,
        typer.Option(
            "--trained-with",
            help="The attack of its training, such as pgd:eps=0.3,steps=7 or fgsm-rs:eps=0.1 (default: by its file).",
        ),
    ] = None,
    reported: Annotated[
        str | None, typer.Option("--reported", help="The attack whose figure is quoted (default: pgd, 40 steps).")
    ] = None,
    surrogate: Annotated[
        str | None, typer.Option("--surrogate", help="Another model, named as MODEL is, to transfer attacks from.")
    ] = None,
    noise: Annotated[int, typer.Option("--noise", min=1, help="Uniform draws per image that must not win.")] = 10_000,
    width: Annotated[float, typer.Option("--width", help="The widest interval to accept, as a share.")] = 0.2,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Time to spend: 10m or 2h; what is left out is said (default: all).")
    ] = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Keep it here; the same command goes on.")] = None,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 3 where the model is not shown robust.")] = False,
    weights: Weights = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say what may be said of MODEL's robustness: a bound, or "not shown robust" with the reasons."""
    started = time.monotonic()  # loading counts as well as attacking
    from pixelproof import attacks, data, measure
    from pixelproof.errors import UnknownName
    from pixelproof.results import catalogue
    from pixelproof.views.commands import audited

    if norm not in ("linf", "l2"):
        raise UnknownName("--norm", "norm of an audit", norm, ("linf", "l2"))
    largest = size(eps, "linf" if norm == "linf" else "l2")
    seconds = None if budget is None else duration(budget)
    effort = measure.Effort(noise=noise, width=width)
    quoted = None if reported is None else attacks.parse(reported, eps=largest)
    images = data.load(data_name, "test", data_dir)
    images = images if n is None else images.sample(n, seed)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
        other = None if surrogate is None else chosen_model(surrogate, None, data_name, data_dir, device, seed, tell)
        trained = _trained(model, trained_with, largest)
        spec: dict[str, object] = {"command": "audit", "model": model.digest(), "data": images.digest()}
        spec |= {"eps": largest, "norm": norm}
        spec |= {"trained_with": trained_with, "reported": reported, "surrogate": other and other.digest()}
        with kept(out_folder, {**spec, "effort": asdict(effort), "seed": seed}, tell) as run:
            found = measure.audit(
                model,
                images,
                eps=largest,
                norm="l2" if norm == "l2" else "linf",
                trained_with=trained,
                reported=quoted,
                surrogate=other,
                effort=effort,
                seed=seed,
                budget=None if seconds is None else max(1e-9, seconds - (time.monotonic() - started)),
                run=run,
                tell=tell,
            )
            bound = measure.lower_bound(model, images, largest, norm=found.evaluation.norm)
            if run is not None and catalogue.AUDIT.has(run):
                catalogue.LOWER_BOUND.save(run, bound)
                said = {"verdict": found.verdict, "believable": found.believable}
                run.finish({**said, "seconds": {"evaluation": found.evaluation.seconds}})
    answer = audited(found, bound.proven, eps)
    emit(answer) if as_json else show(answer)
    if fail and not found.believable:
        raise typer.Exit(GATE)


def _trained(model: Classifier, spec: str | None, eps: float) -> Attack | str | None:
    """The attack of the training: the one named, as an attack or as a defence, else that of the model's defences."""
    from pixelproof import attacks, defend

    wanted = model.card.defences if spec is None else (spec,)
    own = [text for text in wanted if text.partition(":")[0].strip() in defend.DEFENCES]
    if own or spec is None:
        return defend.trained_with(defend.parse(own))
    return attacks.parse(spec, eps=eps)
