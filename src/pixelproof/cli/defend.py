"""defend: harden a model with one or several defences, and say at once what that did and did not do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli import amounts
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, DataName, Device, ModelName, Quiet, Seed, Weights
from pixelproof.cli.screen import emit, err, loud, out, percent, progress, table
from pixelproof.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from pixelproof.data import Dataset
    from pixelproof.models import Classifier
    from pixelproof.types import Rate

PGD_STEPS = 40


def defend(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="DEFENCE...", help="For example mask:ratio=0.3,fill=noise,when=train gradient-noise."),
    ],
    data_name: DataName = "digits",
    model_name: ModelName = "mlp",
    weights: Weights = None,
    settings: Annotated[str, typer.Option("--training", help="For example epochs=5,batch=128.")] = "",
    start: Annotated[
        str, typer.Option("--start", help="fresh: new weights (our networks); given: go on from the model's; auto.")
    ] = "auto",
    out_file: Annotated[Path, typer.Option("--out", help="Where the hardened model goes (.safetensors).")] = Path(
        "hardened.safetensors"
    ),
    eps: Annotated[str, typer.Option("--eps", help="Size of the linf change that both models are tried with.")] = "0.1",
    n: Annotated[int, typer.Option("--n", min=1, help="Test images to try both models on.")] = 300,
    data_dir: DataDir = None,
    device: Device = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Harden a model with the DEFENCEs, all in one training, and save it.

    Both models are tried with FGSM and PGD on the same test images. That is a first look and no proof: `pixelproof
    evaluate` bounds the robust accuracy, `pixelproof audit` says whether it can be believed.
    """
    from pixelproof import data, models, prove
    from pixelproof import defend as library
    from pixelproof.measure import flags
    from pixelproof.specs import parse

    if out_file.suffix != ".safetensors":
        out_file = out_file.with_name(f"{out_file.name}.safetensors")  # models are found by it
    if start not in ("auto", "fresh", "given"):
        raise UnknownName("--start", "start", start, ("auto", "fresh", "given"))
    training = parse(f"training:{settings}", {"training": models.Training}) if settings else None
    chosen = library.Hardening(library.parse(specs), training, start)  # type: ignore[arg-type]
    for option, used in (("--training", bool(settings)), ("--start", start != "auto")):
        if used and not chosen.trains:
            raise BadInput(option, "needs a defence that is trained", ", ".join(specs), f"Leave {option} out.")
    size = amounts.size(eps, "linf")
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, device, seed, tell)
        hardened = chosen.conduct(
            model,
            data.load(data_name, "train", data_dir),
            validation=data.load(data_name, "val", data_dir),
            seed=seed,
            progress=lambda done, total, note: tell("harden", done, total, note),
        )
        models.save(hardened.model, out_file)
        test = data.load(data_name, "test", data_dir).sample(n, seed)
        rows = {
            "before": _tried(model, test, size, seed),
            "after": _tried(hardened.model, test, size, seed),
        }
        bounded = any(isinstance(item, library.IntervalTraining) for item in chosen.defences)
        proven = None
        if bounded and prove.has_bounds(hardened.model):
            proven = prove.certified(hardened.model, test, size)
    warnings = [
        f"{name}: {warning}"
        for name, model_ in (("before", model), ("after", hardened.model))
        if (warning := flags.chance(rows[name]["clean"], len(model_.card.classes)))
    ]
    card = hardened.model.card
    facts = {
        "model": str(out_file),
        "network": card.name,
        "defences": list(card.defences),
        "parent": card.parent,
        "cpu_seconds": round(hardened.cpu_seconds, 2),
        "stochastic": card.stochastic,
        "training": None if hardened.training is None else asdict(hardened.training),
        "stopped": hardened.stopped,
        "data": test.name,
        "n": len(test),
        "eps": size,
        "eps_given": eps,
        "warnings": warnings,
        "seed": seed,
        "certified": proven,
        **rows,
    }
    if as_json:
        emit(facts)
        return
    columns = ["", "clean", f"fgsm eps={eps}", f"pgd-{PGD_STEPS} eps={eps}"]
    table(
        f"{', '.join(card.defences)} on {test.name}",
        columns,
        [(name, *(percent(rate) for rate in row.values())) for name, row in rows.items()],
    )
    loud(warnings)
    if hardened.stopped:
        err.print(f"training ended early, its best epoch is kept: {hardened.stopped}", style="yellow", highlight=False)
    if proven is not None:
        out.print(f"proven at eps {eps} by interval bounds: {percent(proven)} of the test images", highlight=False)
    out.print(f"{hardened.cpu_seconds:.1f} CPU seconds, n={len(test)}, seed {seed}", highlight=False)
    load = f"--model {card.name} --weights {out_file}" if card.name not in models.NETS else f"--model {out_file}"
    out.print(f"model: {load}", soft_wrap=True, highlight=False)
    if not quiet:
        hint = "two attacks prove nothing: 'pixelproof audit' asks whether this robustness can be believed"
        err.print(hint, style="dim")


def _tried(model: Classifier, test: Dataset, eps: float, seed: int) -> dict[str, Rate]:
    """Accuracy on all test images: clean, under FGSM and under PGD; random models are attacked in expectation."""
    from pixelproof import attacks
    from pixelproof.attacks.stochastic import expect
    from pixelproof.types import Rate

    right = model.predict(test.images).argmax(1) == test.labels
    found = {"clean": Rate(int(right.sum()), len(test))}
    target = expect(model, 10) if model.card.stochastic else model
    for attack in (attacks.FGSM(eps), attacks.PGD(eps, steps=PGD_STEPS)):
        standing = 0
        if right.any():
            standing = int((~attacks.mount(attack, target, test, seed=seed).success).sum())
        found[attack.name] = Rate(standing, len(test))
    return found
