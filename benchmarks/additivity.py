"""Does an explanation add up? Sixteen ways to write a network, explained by shap, captum and DeepShap.

For every network: mean |sum of the map - (logit - mean logit of the backgrounds)| / mean |logit - mean logit|, over
8 images and 10 classes with 20 backgrounds. Below 1e-5 is exact in float32. An error is shown by its name, with the
hooks that it leaves on the model.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from pixelproof.explain import DeepShap

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "explain"))
from architectures import ARCHITECTURES, CLASSES, build, sample


def by_shap(model, images, background):
    import shap

    values = shap.DeepExplainer(model, background).shap_values(images, check_additivity=False)
    return torch.tensor(values, dtype=torch.float32).permute(0, 4, 1, 2, 3)


def by_captum(model, images, background):
    from captum.attr import DeepLiftShap

    method = DeepLiftShap(model)
    return torch.stack([method.attribute(images, background, target=k).detach() for k in range(CLASSES)], 1)


def by_pixelproof(model, images, background):
    return DeepShap(background).all_classes(model, images).values


METHODS: dict[str, Callable] = {"shap": by_shap, "captum": by_captum, "pixelproof": by_pixelproof}


def judge(method: Callable, name: str) -> dict[str, object]:
    """The relative error of one method on one network, and what it leaves on the model."""
    model = build(name)
    images, background = sample()
    moved = model.predict(images) - model.predict(background).mean(0)
    entries = len(model.state_dict())
    found: dict[str, object] = {}
    try:
        values = method(model, images, background)
        found["error"] = float((values.flatten(2).sum(2) - moved).abs().mean() / moved.abs().mean())
    except Exception as reason:  # a peer may fail in any way; that it does is the finding
        found["failed"] = type(reason).__name__
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    found["hooks"] = sum(len(getattr(part, kind)) for part in model.modules() for kind in kinds)
    found["new_entries"] = len(model.state_dict()) - entries
    return found


def cell(found: dict[str, object]) -> str:
    text = f"{found['error']:.0e}" if "error" in found else str(found["failed"])
    if found["hooks"]:
        text += f", {found['hooks']} hooks left"
    if found["new_entries"]:
        text += f", state_dict +{found['new_entries']}"
    return f"**{text}**" if found.get("error", 1.0) > 1e-5 else text


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the same table: it takes seconds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers warn about their own hooks
        table = {name: {peer: judge(method, name) for peer, method in METHODS.items()} for name in ARCHITECTURES}
    if options.json:
        print(json.dumps(table, indent=2))
        return
    print("| network | " + " | ".join(METHODS) + " |\n|" + "---|" * (1 + len(METHODS)))
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(cell(row[peer]) for peer in METHODS) + " |")


if __name__ == "__main__":
    main()
