"""The command that attacks or proves: one-pixel certificates of the first test images that a model gets right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pixelproof.cli.model import chosen_model
from pixelproof.cli.options import AsJson, DataDir, Quiet, Seed, Weights
from pixelproof.cli.screen import emit, out, percent, progress, table

if TYPE_CHECKING:
    from pixelproof.prove import OnePixelCertificate

LOOKED_AT = 256  # images classified at a time to find those that the model gets right
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
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """For each of the first n images: a one-pixel attack, or a proof that there is none, or what is still open."""
    from pixelproof import data
    from pixelproof.errors import BadInput
    from pixelproof.prove import Journal, certify_one_pixel

    test = data.load(data_name, "test", data_dir)
    with progress(silent=quiet or as_json) as tell:
        model = chosen_model(model_name, weights, data_name, data_dir, "cpu", seed, tell)
        right: list[int] = []
        for start in range(0, len(test), LOOKED_AT):
            part = test[start : start + LOOKED_AT]
            hit = (model.predict(part.images).argmax(1) == part.labels).nonzero()[:, 0]
            right = [*right, *(hit + start).tolist()][:n]
            if len(right) == n:
                break
        if not right:
            raise BadInput("certify", "needs an image that the model gets right", f"0 of {len(test)}", "Train first.")
        chosen = test[right]
        pixels = chosen.shape[1] * chosen.shape[2]
        journal = Journal(
            folder,
            lambda finished, done, all_: tell(
                "certify", finished * all_ + done, len(chosen) * all_, f"{finished} of {len(chosen)} images finished"
            ),
        )
        tell("certify", 0, len(chosen) * pixels, "")
        proof = certify_one_pixel(model, chosen.images, chosen.labels, budget=budget, journal=journal)
    facts = _facts(proof, right[-1] + 1)
    rows = [_row(proof, chosen.index.tolist(), row) for row in range(len(chosen))]
    if as_json:
        emit({**facts, "images": rows})
        return
    shown = [[_text(value) for value in row.values()] for row in rows[:SHOWN]]
    table(f"The first {len(rows)} images that {model.card.name} gets right", list(rows[0]), shown)
    for name, of in (
        ("robust_accuracy", f"of the first {facts['offered']} images"),
        ("left_standing", "of the correctly classified"),
        ("certified_accuracy", f"of the first {facts['offered']} images"),
        ("proven", "of the correctly classified"),
    ):
        out.print(f"one-pixel {name.replace('_', ' ')} {of}: {percent(facts[name])}")
    out.print(f"CPU seconds per image: mean {facts['mean_seconds']:.1f}, most {facts['most_seconds']:.1f}")


def _facts(proof: OnePixelCertificate, offered: int) -> dict[str, Any]:
    from pixelproof.types import Rate

    return {
        "n": len(proof.wrong),
        "offered": offered,
        "attacked": int(proof.attacked.sum()),
        "certified": int(proof.certified.sum()),
        "undecided": int(proof.undecided.sum()),
        "robust_accuracy": Rate(proof.robust_accuracy.hits, offered),
        "left_standing": proof.robust_accuracy,
        "certified_accuracy": Rate(proof.certified_accuracy.hits, offered),
        "proven": proof.certified_accuracy,
        "mean_seconds": float(proof.seconds.mean()),
        "most_seconds": float(proof.seconds.max()),
        "boxes": int(proof.boxes.sum()),
    }


def _row(proof: OnePixelCertificate, index: list[int], row: int) -> dict[str, Any]:
    verdict = "attacked" if proof.attacked[row] else "certified" if proof.certified[row] else "undecided"
    position, width = int(proof.position[row]), proof.open.shape[2]
    attacked = verdict == "attacked"
    return {
        "image": index[row],
        "verdict": verdict,
        "row": position // width if attacked else None,
        "column": position % width if attacked else None,
        "colour": [round(255 * value) for value in proof.colour[row].tolist()] if attacked else None,
        "open_pixels": int(proof.open[row].sum()),
        "boxes": int(proof.boxes[row]),
        "cpu_seconds": round(float(proof.seconds[row]), 2),
    }


def _text(value: object) -> str:
    return "" if value is None else " ".join(map(str, value)) if isinstance(value, list) else str(value)
