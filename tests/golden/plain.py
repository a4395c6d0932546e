"""Any answer as plain JSON that is the same on every machine: floats to six digits, big arrays by a summary."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel

DIGITS = 6


def jsonable(value: Any, most: int) -> Any:
    """The value as JSON would hold it; arrays, and lists of more than `most` plain values, by a summary."""
    if isinstance(value, BaseModel):
        return jsonable(dict(value), most)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name), most) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item, most) for key, item in value.items()}
    if isinstance(value, torch.Tensor):
        return array(value.detach().cpu().float().numpy(), most)
    if isinstance(value, np.ndarray | np.generic):
        return array(np.asarray(value), most)
    if isinstance(value, bytes):
        return picture(value)
    if isinstance(value, Set):
        return jsonable(sorted(value, key=str), most)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return listed([jsonable(item, most) for item in value], most)
    if isinstance(value, float):
        return rounded(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def rounded(value: float) -> float | str:
    """The number to six significant digits; a word where JSON has no number."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)


def listed(items: list[Any], most: int) -> Any:
    """The list, or a summary of one that has more than `most` plain values, or more than three times as many rows."""
    if len(items) > 3 * most and all(isinstance(item, dict) and item.keys() == items[0].keys() for item in items):
        columns = {key: listed([item[key] for item in items], most) for key in items[0]}
        return {"length": len(items), "first": items[:2], "columns": columns}
    if len(items) <= most or not all(item is None or isinstance(item, bool | int | float | str) for item in items):
        return items
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in items):
        return array(np.asarray(items), 0)
    floats = [item for item in items if isinstance(item, float)]
    exact = [item if not isinstance(item, float) else "number" for item in items]
    found = {"count": len(items), "sha256": hashlib.sha256(json.dumps(exact).encode()).hexdigest()[:16]}
    return found | ({"numbers": array(np.asarray(floats), 0)} if floats else {})


def array(values: np.ndarray, most: int) -> Any:
    """The numbers of an array, or its shape, ends, mean and a mean weighted by place, so that order counts."""
    if values.size <= most:
        return jsonable(values.astype(float).tolist() if values.dtype.kind == "f" else values.tolist(), most)
    flat = values.astype(float).ravel()
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return {"shape": list(values.shape), "finite": 0}
    weights = np.linspace(0, 1, len(flat))[np.isfinite(flat)]
    numbers = {"min": finite.min(), "max": finite.max(), "mean": finite.mean(), "ordered": (finite * weights).mean()}
    spread = {"size": float(np.abs(finite).max())}  # what a difference of the other numbers is small against
    shown = {key: rounded(float(number)) for key, number in {**numbers, **spread}.items()}
    return {"shape": list(values.shape), "finite": int(finite.size)} | shown


def picture(content: bytes) -> Any:
    """A PNG by its pixels: how they are packed differs between libraries."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return {"png": array(pixels.astype(float), 0)}


def write(path: Path, value: Any) -> None:
    """JSON with one line per entry of the first two levels, so that a change shows as few lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            inner = ",\n".join(f"  {json.dumps(name)}: {_one(entry)}" for name, entry in item.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        elif isinstance(item, list) and item:
            inner = ",\n".join(f"  {_one(entry)}" for entry in item)
            lines.append(f" {json.dumps(key)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {_one(item)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _one(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
