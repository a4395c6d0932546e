"""The command that attacks or proves: one-pixel certificates of the first test images that a model gets right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pixelproof.cli.kept import kept
from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, Quiet, Weights
from pixelproof.cli.progress import progress
from pixelproof.cli.refusals import check_seed
from pixelproof.cli.screen import emit, out, percent, table

if TYPE_CHECKING:
    from pixelproof.views.commands import CertificateAnswer

SHOWN = 20  # images that are listed one by one


def certify(
    model_name: Annotated[str, typer.Argument(metavar="MODEL", help="cnn, ..., model.safetensors, my_model.py:build.")],
    data_name: Annotated[str, typer.Argument(metavar="DATA", help="digits, mnist, cifar10, ... or a path.")],
    weights: Weights = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many correctly classified test images, in order.")] = 10,
    budget: Annotated[float, typer.Option("--budget", help="CPU seconds per image.")] = 600.0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Keep the proofs here; the same command goes on from there.")
    ] = None,
    data_dir: DataDir = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**63 - 1, help="Of the training of a network that has no weights."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """For each of the first n images: a one-pixel attack, or a proof that there is none, or what is still open."""
    from pixelproof import data
    from pixelproof.errors import BadInput
    from pixelproof.measure.predictions import first_right
    from pixelproof.models.classes import NONE_RIGHT
    from pixelproof.prove import Journal, certify_one_pixel
    from pixelproof.results import CertificateRecord, catalogue
    from pixelproof.views.commands import certified

    check_seed(seed, model_name, weights)
    test = data.load(data_name, "test", data_dir)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, "cpu", seed or 0, tell)
        rows = first_right(model, test, n)
        if not len(rows):
            raise BadInput("certify", "needs an image that the model gets right", f"0 of {len(test)}", NONE_RIGHT)
        chosen = test[rows]
        pixels = chosen.shape[1] * chosen.shape[2]

        def told(finished: int, done: int, all_: int) -> None:
            note = f"{finished} of {len(chosen)} images finished"
            tell("certify", finished * all_ + done, len(chosen) * all_, note)

        spec = {"command": "certify", "model": model.digest(), "data": test.digest(), "seed": seed or 0}
        with kept(folder, {**spec, "network": model.card.name, "name": test.name}, tell) as run:
            journal = Journal(None if run is None else catalogue.proofs(run), told)
            tell("certify", 0, len(chosen) * pixels, "")
            proof = certify_one_pixel(model, chosen.images, chosen.labels, budget=budget, journal=journal)
            record = CertificateRecord(chosen.index, chosen.labels, proof, int(rows[-1]) + 1, budget)
            if run is not None:
                catalogue.CERTIFICATE.save(run, record)
                run.finish({})
    answer = certified(record)
    emit(answer) if as_json else show(answer, model.card.name)


def show(found: CertificateAnswer, network: str) -> None:
    """Print the first images and both accuracies."""
    shown = [[_text(value) for value in dict(row).values()] for row in found.images[:SHOWN]]
    table(f"The first {found.n} images that {network} gets right", list(type(found.images[0]).model_fields), shown)
    first, right = f"of the first {found.offered} images", "of the correctly classified"
    out.print(f"one-pixel robust accuracy {first}: {percent(found.robust_accuracy)}")
    out.print(f"one-pixel left standing {right}: {percent(found.left_standing)}")
    out.print(f"one-pixel certified accuracy {first}: {percent(found.certified_accuracy)}")
    out.print(f"one-pixel proven {right}: {percent(found.proven)}")
    out.print(f"CPU seconds per image: mean {found.mean_seconds:.1f}, most {found.most_seconds:.1f}")


def _text(value: object) -> str:
    return "" if value is None else " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
