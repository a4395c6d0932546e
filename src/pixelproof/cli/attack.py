"""attack: one attack on the correctly classified images of a test set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, DataName, Device, ModelName, Quiet, Seed, Weights
from pixelproof.cli.progress import progress
from pixelproof.cli.screen import emit, err, percent, table

if TYPE_CHECKING:
    from pixelproof.attacks import AdversarialSet


def attack(
    spec: Annotated[str, typer.Argument(metavar="ATTACK", help="For example pgd:eps=8/255,steps=40 (see 'list').")],
    data_name: DataName = "digits",
    model_name: ModelName = "cnn",
    weights: Weights = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Attack a seeded stratified sample of n images.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Make every image be taken for this class.")] = None,
    surrogate: Annotated[
        str | None, typer.Option("--surrogate", help="Search on this model instead; --model only judges (transfer).")
    ] = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write images and facts to this .npz file.")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Attack a model on the correctly classified images of a test set and print what stands."""
    from pixelproof import attacks, data
    from pixelproof.types import Rate

    chosen = attacks.parse(spec)
    images = data.load(data_name, "test", data_dir)
    images = images if n is None else images.sample(n, seed)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
        targets = None
        if target is not None:
            images = images[images.labels != target]
            targets = images.labels.new_full((len(images),), target)
        attacked = (
            model if surrogate is None else chosen_model(surrogate, None, data_name, data_dir, device, seed, tell)
        )

        def told(done: int, total: int) -> None:
            tell(f"attack {chosen.name} on {attacked.card.name}", done, total, "")

        if surrogate is None:
            found = attacks.mount(chosen, model, images, targets=targets, seed=seed, progress=told)
        else:
            found = attacks.transfer(chosen, attacked, model, images, targets=targets, seed=seed, progress=told)
    if save is not None:
        _save(found, save)
    facts = _facts(found) if surrogate is None else {**_facts(found), "searched_on": attacked.card.name}
    if as_json:
        emit(facts)
        return
    rows = [
        (key.replace("_", " "), percent(value) if isinstance(value, Rate) else value) for key, value in facts.items()
    ]
    table(found.attack, ["", ""], [row for row in rows if row[1] is not None])
    if chosen.name == "fgsm" and not quiet:
        err.print("FGSM alone says little: run pgd at the same eps beside it", style="dim")


def _facts(found: AdversarialSet) -> dict[str, Any]:
    from pixelproof.scores import median

    looked = found.success & (found.first_break >= 0)
    return {
        "attack": found.attack,
        **({"settings": found.used} if found.used != found.attack else {}),
        "data": found.data,
        "model": found.model,
        "seed": found.seed,
        "n": len(found),
        "offered": found.offered,
        "fooled": int(found.success.sum()),
        "fooled_8bit": int(found.success_8bit.sum()),
        "robust_accuracy": found.robust_accuracy,
        "left_standing": found.left_standing,
        **({} if found.rate is None else {"expected_robust_accuracy": round(found.expected_robust_accuracy, 6)}),
        **({"notes": "; ".join(found.notes)} if found.notes else {}),
        f"median_{found.norm}_of_fooled": median(found.distance[found.norm][found.success]),
        "median_first_break": median(found.first_break[looked]),
        "forwards_per_image": round(float(found.forwards.double().mean()), 2),
        "backwards_per_image": round(float(found.backwards.double().mean()), 2),
        "seconds": round(found.seconds, 3),
    }


def _save(found: AdversarialSet, path: Path) -> None:
    """Images and facts as a plain .npz file, written whole or not at all."""
    import numpy as np

    from pixelproof.atomic import replacing

    tensors = {
        "clean": found.clean,
        "images": found.images,
        "labels": found.labels,
        "predicted": found.predicted,
        "success": found.success,
        "success_8bit": found.success_8bit,
        "index": found.index,
        **{f"distance_{norm}": values for norm, values in found.distance.items()},
    }
    arrays: Any = {name: tensor.numpy() for name, tensor in tensors.items()}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)
