"""Plain against hardened models on the same images, and what the audit says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pixelproof.measure.significance import Difference, nested, paired
from pixelproof.results import HardenedRecord
from pixelproof.views.answer import Lacking
from pixelproof.views.defences import hardened_records, summaries
from pixelproof.views.open_run import OpenRun

ON = "on:"
PAIRED = ("clean", "pgd", "auto")
SAME = ("net", "row", "defences", "seeds", "n", "eps", "certified", "cost")


def hardened(opened: OpenRun) -> dict[str, Any]:
    """One row per network and defence of [defences]; the first row of each network is the plain one."""
    records = hardened_records(opened.run)
    if not records:
        raise Lacking("hardened models", "This run hardened no model.", "Add [defences] with its rows to the study.")
    rows = summaries(opened.run, records)
    plain: dict[str, str] = {}
    for row in rows:
        plain.setdefault(row["net"], row["row"])
    return {
        "rows": [
            {
                **{key: row[key] for key in SAME},
                "plain": row["row"] == plain[row["net"]],
                "held": _held(row),
                "audits": _audits(row),
                "against": _against(records, row, plain[row["net"]]),
            }
            for row in rows
        ]
    }


def _held(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Accuracy by attack; the budget stands after an @ in the record's names, and "on:" before them."""
    found = []
    for name, spread in row["held"].items():
        attack, _, size = name.removeprefix(ON).partition("@")
        eps = 0.0 if attack == "clean" else float(size or row["eps"])
        found.append({"attack": attack, "eps": eps, "mask_on": name.startswith(ON), "accuracy": spread})
    return found


def _audits(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What was said without the mask and, where the study tries it, with the mask on."""
    sides = ((False, row["audit"]), (True, row["audit_on"]))
    return [{"mask_on": on, **said} for on, said in sides if said is not None]


def _against(records: Sequence[HardenedRecord], row: dict[str, Any], plain: str) -> list[dict[str, Any]]:
    """The difference to the plain model on the same images, seeds and attack; of the plain model itself none."""
    if row["row"] == plain:
        return []
    sides = [
        {record.seed: record for record in records if (record.net, record.row) == (row["net"], name)}
        for name in (plain, row["row"])
    ]
    seeds = sorted(set(sides[0]) & set(sides[1]))
    return [
        {"attack": attack, "n": row["n"], "seeds": len(seeds), "difference": asdict(_difference(sides, seeds, attack))}
        for attack in PAIRED
        if seeds
    ]


def _difference(sides: list[dict[int, HardenedRecord]], seeds: list[int], attack: str) -> Difference:
    """Images are resampled in pairs and, where there are several, seeds within each side."""
    first, second = (np.stack([side[seed].held[attack].numpy() > 0.5 for seed in seeds]) for side in sides)
    if len(seeds) > 1:
        return nested(first, second, seed=0)
    return paired(int((first & ~second).sum()), int((second & ~first).sum()), first.shape[1], seed=0)
