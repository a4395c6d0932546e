"""compare: two models on the same images, clean and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.amounts import sizes
from pixelproof.cli.compare_shown import show
from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, Device, Quiet, Seed
from pixelproof.cli.progress import progress
from pixelproof.cli.screen import emit
from pixelproof.errors import BadInput

if TYPE_CHECKING:
    from pixelproof.attacks import Attack


def compare(
    first_name: Annotated[str, typer.Argument(metavar="MODEL_A", help="cnn, ..., model.safetensors, my_model.py:f.")],
    second_name: Annotated[str, typer.Argument(metavar="MODEL_B", help="The other one, named in the same ways.")],
    data_name: Annotated[str, typer.Argument(metavar="DATA", help="digits, mnist, cifar10, or a path to your own.")],
    specs: Annotated[
        str, typer.Option("--attacks", help="Attacks separated by blanks, such as 'fgsm pgd:steps=40 auto'.")
    ] = "pgd auto",
    budgets: Annotated[
        str | None, typer.Option("--eps", help="Budgets separated by commas, such as 2/255,8/255 (default: 8/255).")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="A seeded stratified sample of n images.")] = None,
    weights_a: Annotated[Path | None, typer.Option("--weights-a", help="Weights for MODEL_A.")] = None,
    weights_b: Annotated[Path | None, typer.Option("--weights-b", help="Weights for MODEL_B.")] = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Keep the comparison in this run folder.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare two models on the same images: exact tests, intervals, adjusted for the number of cells."""
    from pixelproof import data, measure
    from pixelproof.results import catalogue
    from pixelproof.specs import write
    from pixelproof.views.commands import compared

    if budgets is not None and not specs.split():
        raise BadInput("--eps", "a budget needs an attack", "none in --attacks", "Leave --eps out, or name an attack.")
    eps = sizes(budgets or "8/255")
    chosen = [swept(spec, eps) for spec in specs.split()]
    images = data.load(data_name, "test", data_dir)
    images = images if n is None else images.sample(n, seed)
    with progress(silent=quiet or as_json) as tell:
        both = [
            chosen_model(name, weights, data_name, data_dir, device, seed, tell).carrying(name=f"{letter} ({name})")
            for letter, name, weights in (("A", first_name, weights_a), ("B", second_name, weights_b))
        ]  # what cannot be loaded is said before the first attack
        one, two = (model.digest() for model in both)
        spec: dict[str, object] = {
            "command": "compare",
            "first": one,
            "second": two,
            "data": images.digest(),
            "seed": seed,
        }
        spec |= {"eps": eps, "attacks": [write(attack) for attack in chosen]}
        with kept(out_folder, spec, tell) as run:
            found = None if run is None else catalogue.COMPARISON.find(run)
            if found is None:
                sides = [measure.predictions(model, images, chosen, eps, seed=seed, tell=tell) for model in both]
                found = measure.compare_predictions(*sides, seed=seed)
            if run is not None:
                catalogue.COMPARISON.save(run, found)
                run.finish({})
    answer = compared(found)
    emit(answer) if as_json else show(answer, (_named(first_name, weights_a), _named(second_name, weights_b)))


def _named(name: str, weights: Path | None) -> str:
    return name if weights is None else f"{name} with {weights.name}"


def swept(spec: str, eps: list[float]) -> Attack:
    """The attack of a spec, checked at each of the budgets; a budget of its own would be dropped and is refused."""
    from pixelproof import attacks
    from pixelproof.specs import given

    if "eps" in given(spec, attacks.ATTACKS, "attack"):
        raise BadInput("--attacks", "the budgets are those of --eps", f"'{spec}'", "Leave eps out of the attack.")
    return [attacks.parse(spec, eps=each) for each in reversed(eps)][-1]
