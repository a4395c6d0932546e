"""Hardened models beside each other: what they cost, what held, what the paper says, and what the audit says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pixelproof.results import AuditRecord, HardenedRecord, catalogue
from pixelproof.run import Run
from pixelproof.scores import Scores, confusion
from pixelproof.types import Rate

Summary = dict[str, Any]


def defences(run: Run) -> list[dict[str, Any]]:
    """One row per network and row of the study, the seeds put together; empty without a section [defences].

    A measure is {"value", "low", "high", "seeds"}: the mean over seeds and the lowest and highest seed, or with one
    seed its 95 % interval over images. "audit" and "audit_on" (with the row's mask on at test) are None where
    there was none, else {"verdict", "believable", "raised", "n"}; "audited" says whether the study audits its rows.
    """
    return summaries(run, hardened_records(run))


def hardened_records(run: Run) -> list[HardenedRecord]:
    """What was measured of every hardened model, one record per network, row and seed."""
    return list(catalogue.HARDENED.all(run))


def summaries(run: Run, found: Sequence[HardenedRecord]) -> list[Summary]:
    """The rows of `defences`, of records that are loaded already."""
    if not found:
        return []
    section = run.spec["defences"]
    asked = {row["name"]: row for row in section["rows"]}
    order = [row["name"] for row in section["rows"]]
    groups: dict[tuple[str, str], list[HardenedRecord]] = {}
    for record in found:
        groups.setdefault((record.net, record.row), []).append(record)
    rows = []
    for net, name in sorted(groups, key=lambda key: (section["nets"].index(key[0]), order.index(key[1]))):
        records, baseline = groups[net, name], groups[net, order[0]]
        rows.append(
            {
                "net": net,
                "row": name,
                "defences": list(records[0].defences),
                "seeds": len(records),
                "n": len(records[0].rows),
                "eps": records[0].eps,
                "training": _over([_training(record) for record in records], None),
                "clean": _over([_accuracy(record) for record in records], len(records[0].labels)),
                "held": _held(records),
                "cpu_seconds": sum(record.cpu_seconds for record in records) / len(records),
                "cost": _cost(records, baseline),
                "parameters": records[0].parameters,
                "size_bytes": records[0].size_bytes,
                "seconds_per_image": min(record.seconds_per_image for record in records),
                "features": records[0].features,
                "certified": _certified(records),
                "macro": _macro(records[0]),
                "history": _history(records[0]),
                "paper": asked[name]["paper"],
                "audited": bool(section.get("audit")),
                "audit": _audited(run, net, name, mask_on=False),
                "audit_on": _audited(run, net, name, mask_on=True),
            }
        )  # fmt: skip
    return rows


def budgets(run: Run) -> list[dict[str, Any]]:
    """The eps found for each network, in the study's order, and every eps that was tried."""
    found = list(catalogue.BUDGETS.all(run))
    if not found:
        return []
    order = run.spec["defences"]["nets"]
    return [
        {
            "net": record.net,
            "eps": record.eps,
            "wanted": record.wanted,
            "accuracy": record.accuracy,
            "n": record.n,
            "tried": list(record.tried),
            "reached": list(record.reached),
        }
        for record in sorted(found, key=lambda record: order.index(record.net))
    ]


def utilities(run: Run) -> list[dict[str, Any]]:
    """Paper 2's utility (Eq. 34) of each row of its table, here (1 - w) clean + w robust, under three readings.

    "claimed" takes the paper's own figures, "naive" ours with the mask on at test under one FGSM step without
    expectation, "ensemble" the ensemble with the mask off. The best of each reading is marked; under "ensemble" only a
    row that the audit lets stand can be, and `shown` says whether it does (None: a study without audits).
    """
    rows = [row for row in defences(run) if row["paper"]["robust"] is not None]
    if not rows:
        return []
    weight = run.spec["defences"]["weight"]
    found = []
    for row in rows:
        held, paper = row["held"], row["paper"]
        naive = held.get("on:naive fgsm", held["fgsm"])["value"]
        clean = held.get("on:clean", row["clean"])["value"]
        found.append(
            {
                "net": row["net"],
                "row": row["row"],
                "weight": weight,
                "claimed": (1 - weight) * paper["clean"] + weight * paper["robust"],
                "naive": (1 - weight) * clean + weight * naive,
                "ensemble": (1 - weight) * row["clean"]["value"] + weight * held["auto"]["value"],
                "shown": shown(row),
                "shown_on": None if row["audit_on"] is None else row["audit_on"]["believable"],
            }
        )
    for net in {entry["net"] for entry in found}:
        group = [entry for entry in found if entry["net"] == net]
        for key in ("claimed", "naive", "ensemble"):
            able = [entry for entry in group if key != "ensemble" or entry["shown"] is not False]
            best = max((entry[key] for entry in able), default=None)
            for entry in group:
                entry[f"best_{key}"] = entry in able and entry[key] == best
    return found


def shown(row: dict[str, Any]) -> bool | None:
    """Whether the audit of a row, its mask off, lets its robust accuracy stand; None in a study that audits nothing.

    A row that its study should have audited but has not is not shown: what is missing must not speak for it.
    """
    if row["audit"] is None:
        return False if row["audited"] else None
    return bool(row["audit"]["believable"])


def front(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows that no other beats in clean accuracy and in accuracy under the ensemble at once."""

    def point(row: dict[str, Any]) -> tuple[float, float]:
        return row["clean"]["value"], row["held"]["auto"]["value"]

    def beaten(row: dict[str, Any]) -> bool:
        clean, robust = point(row)
        return any(other[0] >= clean and other[1] >= robust and other != (clean, robust) for other in map(point, rows))

    return [row["row"] for row in rows if not beaten(row)]


def searched(run: Run) -> list[dict[str, Any]]:
    """Every setting of the random search, best utility first."""
    if not catalogue.SEARCH.has(run):
        return []
    record = catalogue.SEARCH.load(run)
    order = record.utility.argsort(descending=True).tolist()
    return [
        {
            "net": record.net,
            "eps": record.eps,
            "n": record.n,
            "mask": record.specs[k],
            "training": record.trainings[k],
            "clean": float(record.clean[k]),
            "robust": float(record.robust[k]),
            "utility": float(record.utility[k]),
            "cpu_seconds": float(record.cpu_seconds[k]),
        }
        for k in order
    ]


def _audited(run: Run, net: str, row: str, *, mask_on: bool) -> Summary | None:
    place = catalogue.audits(mask_on).name(net=net, row=row)
    if not run.has(place):
        return None
    said = run.load(place, AuditRecord)
    return {"verdict": said.verdict, "believable": said.believable, "raised": list(said.raised), "n": said.n}


def _held(records: Sequence[HardenedRecord]) -> dict[str, Summary]:
    n = len(records[0].rows)
    return {name: _over([float(record.held[name].mean()) for record in records], n) for name in records[0].held}


def _over(values: Sequence[float], n: int | None) -> Summary:
    """Mean, lowest and highest over seeds; with one seed its interval over `n` images."""
    mean = sum(values) / len(values)
    low, high = min(values), max(values)
    if len(values) == 1 and n is not None:
        low, high = Rate(round(mean * n), n).interval
    return {"value": mean, "low": low, "high": high, "seeds": len(values)}


def _certified(records: Sequence[HardenedRecord]) -> Summary | None:
    values = [record.certified for record in records if record.certified is not None]
    return _over(values, len(records[0].rows)) if values else None


def _training(record: HardenedRecord) -> float:
    return float(record.history.training[record.history.kept, 1])


def _accuracy(record: HardenedRecord) -> float:
    return float((record.labels == record.predicted).float().mean())


def _cost(records: Sequence[HardenedRecord], baseline: Sequence[HardenedRecord]) -> float:
    """CPU seconds relative to the baseline of the same seeds."""
    plain = {record.seed: record.cpu_seconds for record in baseline}
    shared = [record for record in records if plain.get(record.seed)]
    return sum(record.cpu_seconds / plain[record.seed] for record in shared) / max(1, len(shared))


def _macro(record: HardenedRecord) -> dict[str, float]:
    matrix: Tensor = confusion(record.labels, record.predicted, int(record.labels.max()) + 1)
    scores = Scores.of(matrix)
    return {"accuracy": scores.accuracy, **scores.macro}


def _history(record: HardenedRecord) -> dict[str, Any]:
    history = record.history
    return {
        "columns": list(history.COLUMNS),
        "training": history.training.tolist(),
        "validation": history.validation.tolist(),
        "kept": history.kept,
        "stopped": history.stopped,
        "confusion": confusion(record.labels, record.predicted, int(torch.max(record.labels)) + 1).tolist(),
    }
